//! Kinds and keys, both ways.

use proto::v1::{self, resource_key};

use crate::{
    model::{Key, Kind},
    refusal::Refusal,
};

pub(super) fn kind_to_proto(kind: Kind) -> resource_key::Kind {
    match kind {
        Kind::Node => resource_key::Kind::Node,
        Kind::Workload => resource_key::Kind::Workload,
        Kind::AddressSet => resource_key::Kind::AddressSet,
        Kind::Policy => resource_key::Kind::Policy,
        Kind::BackendSet => resource_key::Kind::BackendSet,
        Kind::Service => resource_key::Kind::Service,
    }
}

pub(super) fn to_proto(key: &Key) -> v1::ResourceKey {
    v1::ResourceKey { kind: kind_to_proto(key.kind).into(), name: key.name.clone() }
}

/// Why a number is not a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KindError {
    #[error("is not set")]
    Unset,
    #[error("{0} is not a kind this agent knows")]
    Unknown(i32),
}

pub(super) fn kind(number: i32) -> Result<Kind, KindError> {
    match resource_key::Kind::try_from(number) {
        Err(_) => Err(KindError::Unknown(number)),
        Ok(resource_key::Kind::Unspecified) => Err(KindError::Unset),
        Ok(resource_key::Kind::Node) => Ok(Kind::Node),
        Ok(resource_key::Kind::Workload) => Ok(Kind::Workload),
        Ok(resource_key::Kind::AddressSet) => Ok(Kind::AddressSet),
        Ok(resource_key::Kind::Policy) => Ok(Kind::Policy),
        Ok(resource_key::Kind::BackendSet) => Ok(Kind::BackendSet),
        Ok(resource_key::Kind::Service) => Ok(Kind::Service),
    }
}

/// The key that a message names.
pub fn from_proto(key: v1::ResourceKey) -> Result<Key, KindError> {
    Ok(Key { kind: kind(key.kind)?, name: key.name })
}

pub(super) fn refusal_to_proto(refusal: &Refusal) -> v1::Refusal {
    v1::Refusal {
        resource: refusal.key.as_ref().map(to_proto),
        field: refusal.field.clone(),
        reason: refusal.reason.clone(),
    }
}
