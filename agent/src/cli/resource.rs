//! Resources as people see them: `kind` beside the fields.

use proto::v1::{Resource, ResourceKey, resource, resource_key};
use serde::Serialize;
use serde_norway::{Mapping, Value};

use super::kind::kind_name;

/// The resource's kind and name; `None` when no kind is set.
pub fn key(resource: &Resource) -> Option<ResourceKey> {
    use resource::Kind;
    use resource_key::Kind as K;
    let (kind, name) = match resource.kind.as_ref()? {
        Kind::Node(it) => (K::Node, &it.name),
        Kind::Workload(it) => (K::Workload, &it.name),
        Kind::AddressSet(it) => (K::AddressSet, &it.name),
        Kind::Policy(it) => (K::Policy, &it.name),
        Kind::BackendSet(it) => (K::BackendSet, &it.name),
        Kind::Service(it) => (K::Service, &it.name),
    };
    Some(ResourceKey { kind: kind.into(), name: name.clone() })
}

/// For example `Service "shop/web:80"`.
pub fn describe(resource: &Resource) -> String {
    key(resource).map_or_else(|| "(nothing)".to_owned(), |key| describe_key(&key))
}

pub fn describe_key(key: &ResourceKey) -> String {
    format!("{} {:?}", kind_name(key.kind()), key.name)
}

/// The document that [`super::manifest`] reads as this resource.
pub fn document(resource: &Resource) -> Result<Value, serde_norway::Error> {
    use resource::Kind;
    match &resource.kind {
        None => Ok(Value::Null),
        Some(Kind::Node(it)) => with_kind("Node", it),
        Some(Kind::Workload(it)) => with_kind("Workload", it),
        Some(Kind::AddressSet(it)) => with_kind("AddressSet", it),
        Some(Kind::Policy(it)) => with_kind("Policy", it),
        Some(Kind::BackendSet(it)) => with_kind("BackendSet", it),
        Some(Kind::Service(it)) => with_kind("Service", it),
    }
}

fn with_kind(kind: &str, message: &impl Serialize) -> Result<Value, serde_norway::Error> {
    let mut document = Mapping::new();
    document.insert("kind".into(), kind.into());
    if let Value::Mapping(fields) = serde_norway::to_value(message)? {
        document.extend(fields);
    }
    Ok(Value::Mapping(document))
}
