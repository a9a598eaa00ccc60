//! Objects of the kinds that ZoneGate reads.

use k8s_openapi::api::{core::v1, discovery};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    Effect, NodeObject, ObjectKey, ObjectKind, PodObject, PolicyObject, Problem, ServiceObject,
    SliceObject, key::identity, policy_object, selector::Labels,
};

/// An object, reduced to what matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    Node(NodeObject),
    Namespace(Namespace),
    Pod(PodObject),
    /// Of any of the four kinds, perhaps one that cannot be used.
    Policy(PolicyObject),
    /// Perhaps one that cannot be used.
    Service(ServiceObject),
    EndpointSlice(SliceObject),
}

/// A namespace as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    pub(super) key: ObjectKey,
    pub(super) labels: Labels,
}

/// Why a document is no [`Object`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    #[error("a Kubernetes object has apiVersion, kind and metadata; this is {0}")]
    NotAnObject(&'static str),
    #[error("{field}: {reason}")]
    Identity { field: String, reason: String },
    #[error("{kind} of {api_version} is not a kind that ZoneGate reads")]
    UnknownKind { api_version: String, kind: String },
    #[error("{key}, {field}: {reason}")]
    Unreadable { key: ObjectKey, field: String, reason: String },
}

impl Object {
    /// Reads a document with `apiVersion`, `kind` and `metadata`.
    ///
    /// A policy or service with a name is always an object, however bad the rest: the policy's
    /// pods may have to be isolated, the service's last form kept. A namespaced object without a namespace belongs to `default`.
    pub fn parse(document: Value) -> Result<Self, ObjectError> {
        let key = identity(&document)?;
        Ok(match key.kind {
            ObjectKind::Node => {
                let node = read(&key, &document)?;
                Self::Node(NodeObject::new(key, node))
            }
            ObjectKind::Namespace => {
                let namespace: v1::Namespace = read(&key, &document)?;
                let labels = namespace.metadata.labels.unwrap_or_default();
                Self::Namespace(Namespace { key, labels })
            }
            ObjectKind::Pod => {
                let pod = read(&key, &document)?;
                Self::Pod(PodObject::new(key, pod))
            }
            ObjectKind::NetworkPolicy
            | ObjectKind::ClusterNetworkPolicy
            | ObjectKind::AdminNetworkPolicy
            | ObjectKind::BaselineAdminNetworkPolicy => {
                Self::Policy(policy_object::parse(key, &document))
            }
            ObjectKind::Service => Self::Service(ServiceObject::parse(key, &document)),
            ObjectKind::EndpointSlice => {
                let slice: discovery::v1::EndpointSlice = read(&key, &document)?;
                Self::EndpointSlice(SliceObject::new(key, slice))
            }
        })
    }

    /// Reads a document that may be a list of any kind, such as `List` or `PodList`.
    ///
    /// An empty document, as YAML has them between two separators, holds nothing.
    pub fn parse_many(document: Value) -> Vec<Result<Self, ObjectError>> {
        match items(document) {
            Ok(items) => items.into_iter().map(|(_, item)| Self::parse(item)).collect(),
            Err(error) => vec![Err(error)],
        }
    }

    pub fn key(&self) -> &ObjectKey {
        match self {
            Self::Node(it) => &it.key,
            Self::Namespace(it) => &it.key,
            Self::Pod(it) => &it.key,
            Self::Policy(it) => &it.key,
            Self::Service(it) => &it.key,
            Self::EndpointSlice(it) => &it.key,
        }
    }
}

/// The documents in a document that may be a list of any kind, each with its path in it, such as
/// `items[3]`; any other document itself, with no path.
///
/// Items of a typed list may leave out `apiVersion` and `kind`.
pub fn items(document: Value) -> Result<Vec<(String, Value)>, ObjectError> {
    let Value::Object(mut list) = document else {
        let own = (String::new(), document);
        return Ok(if own.1.is_null() { Vec::new() } else { vec![own] });
    };
    let text = |field: &str| list.get(field).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion").to_owned(), text("kind").to_owned());
    let Some(kind) = kind.strip_suffix("List") else {
        return Ok(vec![(String::new(), Value::Object(list))]);
    };
    let listed = match list.remove("items") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => {
            let (field, reason) = ("items".to_owned(), "is not a list".to_owned());
            return Err(ObjectError::Identity { field, reason });
        }
    };
    let mut all = Vec::new();
    for (index, mut item) in listed.into_iter().enumerate() {
        if let Value::Object(fields) = &mut item
            && !kind.is_empty()
        {
            let default = |text: &str| Value::String(text.to_owned());
            fields.entry("apiVersion").or_insert_with(|| default(&api_version));
            fields.entry("kind").or_insert_with(|| default(kind));
        }
        for (path, inner) in items(item)? {
            let separator = if path.is_empty() { "" } else { "." };
            all.push((format!("items[{index}]{separator}{path}"), inner));
        }
    }
    Ok(all)
}

impl ObjectError {
    /// For an object that has a name, what to report of it.
    pub fn problem(&self) -> Option<Problem> {
        let Self::Unreadable { key, field, reason } = self else { return None };
        let (object, field, reason) = (key.clone(), field.clone(), reason.clone());
        Some(Problem { object, field, reason, effect: Effect::LeftOut })
    }
}

/// Reads a part of a document; the error is the path of the field and the reason.
pub(super) fn deserialize<T: DeserializeOwned>(part: &Value) -> Result<T, (String, String)> {
    serde_path_to_error::deserialize(part).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { String::new() } else { path };
        (field, error.into_inner().to_string())
    })
}

fn read<T: DeserializeOwned>(key: &ObjectKey, document: &Value) -> Result<T, ObjectError> {
    deserialize(document).map_err(|(field, reason)| ObjectError::Unreadable {
        key: key.clone(),
        field,
        reason,
    })
}
