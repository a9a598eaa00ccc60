//! Kinds of resource as people write them.

use std::str::FromStr;

use proto::v1::resource_key::Kind;

/// A kind as a command-line argument: `Service`, `service`, `services`, `address-sets`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindArgument(pub Kind);

/// The kinds with the names they have in manifests.
pub const KINDS: [(Kind, &str); 6] = [
    (Kind::Node, "Node"),
    (Kind::Workload, "Workload"),
    (Kind::AddressSet, "AddressSet"),
    (Kind::Policy, "Policy"),
    (Kind::BackendSet, "BackendSet"),
    (Kind::Service, "Service"),
];

/// What a kind is called in manifests.
pub fn kind_name(kind: Kind) -> &'static str {
    KINDS.iter().find(|(known, _)| *known == kind).map_or("(unknown kind)", |(_, name)| name)
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind {given:?}; the kinds are {}", KINDS.map(|(_, name)| name).join(", "))]
pub struct UnknownKind {
    given: String,
}

impl FromStr for KindArgument {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let plain: String = text
            .chars()
            .filter(|char| !matches!(char, '-' | '_'))
            .map(|char| char.to_ascii_lowercase())
            .collect();
        let named = |name: &str| {
            let name = name.to_ascii_lowercase();
            plain == name || plain == plural(&name)
        };
        KINDS
            .iter()
            .find(|(_, name)| named(name))
            .map(|(kind, _)| Self(*kind))
            .ok_or_else(|| UnknownKind { given: text.to_owned() })
    }
}

fn plural(name: &str) -> String {
    name.strip_suffix('y').map_or_else(|| format!("{name}s"), |stem| format!("{stem}ies"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_taken_in_any_case_singular_or_plural() {
        for (text, kind) in [
            ("Service", Kind::Service),
            ("services", Kind::Service),
            ("policy", Kind::Policy),
            ("Policies", Kind::Policy),
            ("AddressSet", Kind::AddressSet),
            ("address-sets", Kind::AddressSet),
            ("backend_set", Kind::BackendSet),
            ("backendsets", Kind::BackendSet),
            ("NODES", Kind::Node),
            ("workload", Kind::Workload),
        ] {
            assert_eq!(text.parse(), Ok(KindArgument(kind)), "{text}");
        }
        for text in ["", "s", "pod", "policys", "unspecified"] {
            let error = text.parse::<KindArgument>().unwrap_err();
            assert!(error.to_string().contains("BackendSet, Service"), "{error}");
        }
    }
}
