//! What objects are: their kinds, and the names they go by.

use std::fmt;

use serde_json::Value;

use super::{ObjectError, names::bounded, pods::workload_name};
use crate::model::{Key, Kind, Protocol};

/// The kinds that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    Node,
    Namespace,
    Pod,
    NetworkPolicy,
    ClusterNetworkPolicy,
    AdminNetworkPolicy,
    BaselineAdminNetworkPolicy,
    Service,
    EndpointSlice,
}

/// What an object is called by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    pub kind: ObjectKind,
    /// Empty for kinds that belong to the whole cluster.
    pub namespace: String,
    pub name: String,
}

impl ObjectKind {
    pub const ALL: [Self; 9] = [
        Self::Node,
        Self::Namespace,
        Self::Pod,
        Self::NetworkPolicy,
        Self::ClusterNetworkPolicy,
        Self::AdminNetworkPolicy,
        Self::BaselineAdminNetworkPolicy,
        Self::Service,
        Self::EndpointSlice,
    ];

    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Node | Self::Namespace | Self::Pod | Self::Service => "v1",
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::NetworkPolicy => "networking.k8s.io/v1",
            Self::ClusterNetworkPolicy => "policy.networking.k8s.io/v1alpha2",
            Self::AdminNetworkPolicy | Self::BaselineAdminNetworkPolicy => {
                "policy.networking.k8s.io/v1alpha1"
            }
        }
    }

    pub const fn namespaced(self) -> bool {
        matches!(self, Self::Pod | Self::NetworkPolicy | Self::Service | Self::EndpointSlice)
    }
}

impl ObjectKey {
    /// The name of the policy that is made of the policy object of this key; where named ports
    /// split it into several, `#` and a number follow.
    pub fn policy_name(&self) -> String {
        let kind = self.kind.to_string().to_lowercase();
        bounded(match self.namespace.as_str() {
            "" => format!("{kind}/{}", self.name),
            namespace => format!("{kind}/{namespace}/{}", self.name),
        })
    }

    /// The resource that the object itself becomes, if it becomes one: for a policy that falls
    /// apart and for the ports of a service, [`whole`] of each.
    pub fn resource(&self) -> Option<Key> {
        let (kind, name) = match self.kind {
            ObjectKind::Namespace | ObjectKind::EndpointSlice => return None,
            ObjectKind::Node => (Kind::Node, self.name.clone()),
            ObjectKind::Pod => (Kind::Workload, workload_name(self)),
            ObjectKind::Service => (Kind::Service, format!("{}/{}", self.namespace, self.name)),
            _ => (Kind::Policy, self.policy_name()),
        };
        Some(Key { kind, name })
    }
}

/// The name of the service that leads from ports of a node to a port of a pod.
pub(super) fn host_port_name(pod: &ObjectKey, protocol: Protocol, port: u16) -> String {
    bounded(format!("{HOST_PORT}{}:{port}/{protocol}", workload_name(pod)))
}

/// The key without what tells the parts of a policy, or the ports of a service, apart. A backend
/// set is part of its service, and a host port of its pod.
pub fn whole(key: &Key) -> Key {
    let (kind, name) = match key.kind {
        Kind::Policy => match key.name.rsplit_once('#') {
            Some((name, part)) if part.parse::<usize>().is_ok() => (Kind::Policy, name),
            _ => (Kind::Policy, key.name.as_str()),
        },
        Kind::Service | Kind::BackendSet => {
            let name = key.name.rsplit_once(':').map_or(key.name.as_str(), |(name, _)| name);
            // A namespace may be called the same.
            match name.strip_prefix(HOST_PORT).filter(|pod| pod.contains('/')) {
                Some(pod) => (Kind::Workload, pod),
                None => (Kind::Service, name),
            }
        }
        kind => (kind, key.name.as_str()),
    };
    Key { kind, name: name.to_owned() }
}

/// Whether a resource is one of those that policies share, which come and go with them.
pub fn is_shared(key: &Key) -> bool {
    let prefixes = ["pods/", "nodes/", "cidr/"];
    key.kind == Kind::AddressSet && prefixes.iter().any(|prefix| key.name.starts_with(prefix))
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{} {:?}", self.kind, self.name),
            namespace => write!(f, "{} {:?}", self.kind, format!("{namespace}/{}", self.name)),
        }
    }
}

/// Reads what a document says it is.
pub(super) fn identity(document: &Value) -> Result<ObjectKey, ObjectError> {
    let fields = match document {
        Value::Object(fields) => fields,
        Value::Array(_) => return Err(ObjectError::NotAnObject("a list")),
        Value::Null => return Err(ObjectError::NotAnObject("empty")),
        _ => return Err(ObjectError::NotAnObject("a plain value")),
    };
    let metadata = fields.get("metadata").unwrap_or(&Value::Null);
    let api_version = text(fields.get("apiVersion"), "apiVersion")?;
    let kind = text(fields.get("kind"), "kind")?;
    let known = ObjectKind::ALL.into_iter();
    let mut known = known.filter(|it| it.api_version() == api_version && it.to_string() == kind);
    let Some(kind) = known.next() else {
        return Err(ObjectError::UnknownKind { api_version, kind });
    };
    let name = text(metadata.get("name"), "metadata.name")?;
    let namespace = match metadata.get("namespace") {
        _ if !kind.namespaced() => String::new(),
        None | Some(Value::Null) => DEFAULT_NAMESPACE.to_owned(),
        namespace => text(namespace, "metadata.namespace")?,
    };
    Ok(ObjectKey { kind, namespace, name })
}

fn text(value: Option<&Value>, field: &str) -> Result<String, ObjectError> {
    let refuse = |reason: &str| {
        let (field, reason) = (field.to_owned(), reason.to_owned());
        Err(ObjectError::Identity { field, reason })
    };
    match value {
        None | Some(Value::Null) => refuse("is missing"),
        Some(Value::String(text)) if text.is_empty() => refuse("is empty"),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => refuse("is not a text"),
    }
}

/// What names of host ports begin with.
const HOST_PORT: &str = "hostport/";
/// Where `kubectl` puts what names no namespace.
const DEFAULT_NAMESPACE: &str = "default";
