//! Endpoint slices: who answers for a service.

use crate::world::{cluster, lines, removes, upserts};

const SERVICE: &str = "{apiVersion: v1, kind: Service, metadata: {namespace: x, name: s},
    spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80, targetPort: web},
    {name: dns, port: 53, protocol: UDP}]}}";

fn slice(name: &str, ports: &str, endpoints: &str) -> String {
    format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, \
         metadata: {{namespace: x, name: {name}, labels: {{kubernetes.io/service-name: s}}}}, \
         ports: [{ports}], endpoints: [{endpoints}]}}"
    )
}

/// The backends of port `http` with these slices.
fn backends(service: &str, slices: &[String]) -> String {
    let mut translator = cluster();
    let slices = slices.iter().flat_map(|text| upserts(text));
    let outcome = translator.apply(slices.chain(upserts(service)));
    let line = lines(&outcome).into_iter().find(|line| line.starts_with("backends x/s:http"));
    line.unwrap().trim_start_matches("backends x/s:http ").to_owned()
}

const HTTP: &str = "{name: http, port: 8080}";

#[test]
fn endpoints_are_joined_by_the_ports_name_and_protocol() {
    let one = "{addresses: [10.0.0.1, 10.0.0.9]}";
    let labelled =
        |label: &str| slice("a", HTTP, one).replace("-name: s}", &format!("-name: s, {label}}}"));
    let two = "{addresses: [10.0.0.2]}";
    for (case, slices, expected) in [
        ("one slice", vec![slice("a", HTTP, one)], "[10.0.0.1:8080@/]"),
        (
            "ports differ by slice",
            vec![slice("a", HTTP, one), slice("b", "{name: http, port: 8081}", two)],
            "[10.0.0.1:8080@/, 10.0.0.2:8081@/]",
        ),
        ("another protocol", vec![slice("a", "{name: http, port: 1, protocol: UDP}", one)], "[]"),
        ("another name", vec![slice("a", "{name: dns, port: 53}", one)], "[]"),
        ("no number", vec![slice("a", "{name: http}", one)], "[]"),
        ("no slice", vec![], "[]"),
        ("names instead of addresses", vec![slice("a", HTTP, one).replace("IPv4", "FQDN")], "[]"),
        ("another proxy's", vec![labelled("service.kubernetes.io/service-proxy-name: p")], "[]"),
        (
            "made while there was no address",
            vec![labelled("service.kubernetes.io/headless: ''")],
            "[]",
        ),
        ("another service's", vec![slice("a", HTTP, one).replace("-name: s}", "-name: t}")], "[]"),
        (
            "listed twice, the useful form counts",
            vec![
                slice("a", HTTP, "{addresses: [10.0.0.1], conditions: {ready: false}}"),
                slice("b", HTTP, one),
                slice("c", HTTP, "{addresses: [10.0.0.1], conditions: {ready: false}}"),
            ],
            "[10.0.0.1:8080@/]",
        ),
    ] {
        assert_eq!(backends(SERVICE, &slices), expected, "{case}");
    }
}

#[test]
fn conditions_have_their_defaults_and_hints_are_kept() {
    let unready = SERVICE.replace("spec: {", "spec: {publishNotReadyAddresses: true, ");
    for (endpoint, service, expected) in [
        ("conditions: {}", SERVICE, "@/"),
        ("conditions: {ready: true}", SERVICE, "@/"),
        ("conditions: {ready: false}", SERVICE, "@/-"),
        ("conditions: {ready: false, serving: false}", SERVICE, "@/-!"),
        ("conditions: {ready: false, terminating: true}", SERVICE, "@/-~"),
        ("conditions: {ready: false, serving: false}", &unready, "@/!"),
        ("nodeName: n1, zone: a", SERVICE, "@n1/a"),
        (
            "hints: {forZones: [{name: a}, {name: b}], forNodes: [{name: n1}]}",
            SERVICE,
            "@/ for [\"a\", \"b\"] [\"n1\"]",
        ),
    ] {
        let endpoint = format!("{{addresses: [10.0.0.1], {endpoint}}}");
        let expected = format!("[10.0.0.1:8080{expected}]");
        assert_eq!(backends(service, &[slice("a", HTTP, &endpoint)]), expected, "{endpoint}");
    }
}

#[test]
fn slices_come_and_go_in_any_order() {
    let mut translator = cluster();
    let a = slice("a", HTTP, "{addresses: [10.0.0.1]}");
    assert_eq!(lines(&translator.apply(upserts(&a))), [""; 0]);
    assert_eq!(
        lines(&translator.apply(upserts(SERVICE))),
        [
            "backends x/s:dns []",
            "backends x/s:http [10.0.0.1:8080@/]",
            "service x/s:dns [Cluster UDP 10.96.0.1:53] Hints(None) Cluster/Cluster []",
            "service x/s:http [Cluster TCP 10.96.0.1:80] Hints(None) Cluster/Cluster []",
        ]
    );
    assert_eq!(lines(&translator.apply(upserts(&a))), [""; 0]);
    let moved = a.replace("-name: s}", "-name: t}");
    assert_eq!(lines(&translator.apply(upserts(&moved))), ["backends x/s:http []"]);
    assert_eq!(lines(&translator.apply(upserts(&a))), ["backends x/s:http [10.0.0.1:8080@/]"]);
    assert_eq!(lines(&translator.apply(removes(&a))), ["backends x/s:http []"]);
    assert_eq!(lines(&translator.apply(removes(SERVICE))).len(), 4);
}
