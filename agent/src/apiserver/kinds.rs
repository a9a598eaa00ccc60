//! What is asked for of each kind.

use kube::{
    Api, Client,
    api::DynamicObject,
    core::{ApiResource, GroupVersionKind},
    runtime::watcher,
};

use crate::kubernetes::ObjectKind;

/// The kind as the apiserver's paths say it.
pub(super) fn resource(kind: ObjectKind) -> ApiResource {
    let (group, version) = kind.api_version().split_once('/').unwrap_or(("", kind.api_version()));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind.to_string()))
}

/// All objects of the kind.
pub(super) fn api(client: Client, kind: ObjectKind) -> Api<DynamicObject> {
    Api::all_with(client, &resource(kind))
}

/// Kinds of a `CustomResourceDefinition`, which a cluster may not have.
pub(super) fn is_optional(kind: ObjectKind) -> bool {
    kind.api_version().starts_with("policy.networking.k8s.io/")
}

/// Lists in pages, watches with bookmarks, and leaves out on the apiserver's side what nothing
/// here is about: pods that are done, and what kube-proxy leaves to others, too
/// (`ProxyServer::Run` in `cmd/kube-proxy`).
pub(super) fn query(kind: ObjectKind) -> watcher::Config {
    let config = watcher::Config::default().page_size(PAGE);
    match kind {
        ObjectKind::Pod => config.fields("status.phase!=Succeeded,status.phase!=Failed"),
        ObjectKind::Service => config.labels("!service.kubernetes.io/service-proxy-name"),
        ObjectKind::EndpointSlice => config
            .labels("!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless"),
        _ => config,
    }
}

/// Whole objects are held for as long as a page takes.
const PAGE: u32 = 250;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_where_the_apiserver_has_them() {
        let paths = ObjectKind::ALL.map(|kind| {
            let it = resource(kind);
            format!("{}/{}/{}", it.group, it.version, it.plural)
        });
        let expected = [
            "/v1/nodes",
            "/v1/namespaces",
            "/v1/pods",
            "networking.k8s.io/v1/networkpolicies",
            "policy.networking.k8s.io/v1alpha2/clusternetworkpolicies",
            "policy.networking.k8s.io/v1alpha1/adminnetworkpolicies",
            "policy.networking.k8s.io/v1alpha1/baselineadminnetworkpolicies",
            "/v1/services",
            "discovery.k8s.io/v1/endpointslices",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn only_definitions_of_custom_resources_may_be_missing() {
        let optional: Vec<ObjectKind> =
            ObjectKind::ALL.into_iter().filter(|kind| is_optional(*kind)).collect();
        let expected = [
            ObjectKind::ClusterNetworkPolicy,
            ObjectKind::AdminNetworkPolicy,
            ObjectKind::BaselineAdminNetworkPolicy,
        ];
        assert_eq!(optional, expected);
    }
}
