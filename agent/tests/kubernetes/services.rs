//! Services: their addresses, and whose they are.

use zonegate::kubernetes::{Effect, Options, Problem, Translator};

use crate::world::{cluster, lines, removes, translated, upserts};

/// A service `x/s` with these fields of its metadata, spec and status.
fn object(metadata: &str, spec: &str, status: &str) -> String {
    named("s", metadata, spec, status)
}

fn named(name: &str, metadata: &str, spec: &str, status: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{namespace: x, name: {name}, {metadata}}}, \
         spec: {{{spec}}}, status: {{{status}}}}}"
    )
}

/// The frontends of what a service becomes, each after its name.
fn frontends(yaml: &str) -> Vec<String> {
    let lines = lines(&translated(yaml));
    let services = lines.iter().filter_map(|line| line.strip_prefix("service "));
    services.map(|line| line[..=line.find("] Hints").unwrap()].to_owned()).collect()
}

const BALANCED: &str = "loadBalancer: {ingress: [{ip: 198.51.100.1}, {ip: 198.51.100.2, ipMode: \
    Proxy}, {hostname: a.example}, {ip: 198.51.100.3, ipMode: VIP}, {ip: 'fd05::1'}]}";

#[test]
fn frontends_are_where_clients_find_the_service() {
    let port = "ports: [{port: 80}]";
    for (case, spec, status, expected) in [
        ("cluster", "clusterIP: 10.96.0.1, ports: [{port: 80}]", "", "Cluster TCP 10.96.0.1:80"),
        (
            "dual stack, a node port",
            "type: NodePort, clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, 'fd96::1'],
             ports: [{port: 53, nodePort: 30053, protocol: UDP}]",
            "",
            "Cluster UDP 10.96.0.1:53, NodePort UDP 0.0.0.0:30053, Cluster UDP [fd96::1]:53, \
             NodePort UDP [::]:30053",
        ),
        (
            "balancers and external addresses of its family",
            "type: LoadBalancer, clusterIP: 10.96.0.1, ports: [{port: 80}],
             externalIPs: [203.0.113.1, 'fd05::2']",
            BALANCED,
            "Cluster TCP 10.96.0.1:80, LoadBalancer TCP 198.51.100.1:80, \
             LoadBalancer TCP 198.51.100.3:80, External TCP 203.0.113.1:80",
        ),
        (
            "one address twice",
            "clusterIP: 10.96.0.1, ports: [{port: 80}], externalIPs: [198.51.100.1]",
            "loadBalancer: {ingress: [{ip: 198.51.100.1}]}",
            "Cluster TCP 10.96.0.1:80, LoadBalancer TCP 198.51.100.1:80",
        ),
    ] {
        let text = object("", spec, status);
        let name = if spec.contains("53") { "53" } else { "80" };
        assert_eq!(frontends(&text), [format!("x/s:{name} [{expected}]")], "{case}");
        assert_eq!(translated(&text).problems, [], "{case}");
    }
    for (case, metadata, spec) in [
        ("headless", "", format!("clusterIP: None, externalIPs: [203.0.113.1], {port}")),
        ("not allocated yet", "", format!("externalIPs: [203.0.113.1], {port}")),
        ("a name", "", format!("type: ExternalName, externalName: a, clusterIP: '', {port}")),
        (
            "somebody else's",
            "labels: {service.kubernetes.io/service-proxy-name: other}",
            format!("clusterIP: 10.96.0.1, {port}"),
        ),
        ("no ports", "", "clusterIP: 10.96.0.1".to_owned()),
    ] {
        assert_eq!(frontends(&object(metadata, &spec, BALANCED)), [""; 0], "{case}");
    }
}

#[test]
fn policies_and_topology_are_read() {
    for (metadata, spec, expected) in [
        ("", "", "Hints(None) Cluster/Cluster []"),
        (
            "",
            "internalTrafficPolicy: Local, externalTrafficPolicy: Local",
            "Hints(None) Local/Local []",
        ),
        ("", "trafficDistribution: PreferClose", "Hints(Some(SameZone)) Cluster/Cluster []"),
        ("", "trafficDistribution: PreferSameZone", "Hints(Some(SameZone)) Cluster/Cluster []"),
        ("", "trafficDistribution: PreferSameNode", "Hints(Some(SameNode)) Cluster/Cluster []"),
        (
            "annotations: {zonegate.io/topology-keys: 'kubernetes.io/hostname, *'}",
            "",
            "Keys([\"kubernetes.io/hostname\", \"*\"]) Cluster/Cluster []",
        ),
        (
            "annotations: {zonegate.io/zone-spill: ''}",
            "",
            "Spill(Spill { factor: 1200, clients: {} }) Cluster/Cluster []",
        ),
        (
            "annotations: {zonegate.io/zone-spill: '1.05', zonegate.io/zone-clients: 'a=3, b=0.5'}",
            "",
            "Spill(Spill { factor: 1050, clients: {\"a\": 3000, \"b\": 500} }) Cluster/Cluster []",
        ),
        ("annotations: {zonegate.io/zone-spill: 'false'}", "", "Hints(None) Cluster/Cluster []"),
        (
            "annotations: {zonegate.io/topology-keys: ''}",
            "loadBalancerSourceRanges: [' 10.1.2.3/8 ', 'fd00::/8']",
            "Hints(None) Cluster/Cluster [10.0.0.0/8, fd00::/8]",
        ),
        (
            "",
            "sessionAffinity: None, sessionAffinityConfig: {clientIP: {timeoutSeconds: 9}}",
            "Hints(None) Cluster/Cluster []",
        ),
        ("", "sessionAffinity: ClientIP", "Hints(None) Cluster/Cluster [] keeps 10800 s"),
        (
            "",
            "sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 86400}}",
            "Hints(None) Cluster/Cluster [] keeps 86400 s",
        ),
    ] {
        let spec = format!("clusterIP: 10.96.0.1, ports: [{{port: 80}}], {spec}");
        let outcome = translated(&object(metadata, &spec, ""));
        assert_eq!(outcome.problems, [], "{spec}");
        let line = &lines(&outcome)[1];
        assert_eq!(line.split_once("] ").unwrap().1, expected, "{metadata} {spec}");
    }
}

#[test]
fn zone_spill_takes_the_place_of_traffic_distribution() {
    let metadata = "annotations: {zonegate.io/zone-spill: 'true'}";
    let spec = "clusterIP: 10.96.0.1, ports: [{port: 80}], trafficDistribution: PreferClose";
    let outcome = translated(&object(metadata, spec, ""));
    assert!(lines(&outcome)[1].contains("Spill(Spill { factor: 1200, clients: {} })"));
    check(&outcome.problems, Effect::FieldIgnored, "spec.trafficDistribution");
}

#[test]
fn local_load_balancers_have_a_port_for_health_checks() {
    for (spec, port) in [
        ("type: LoadBalancer, externalTrafficPolicy: Local", Some("31000")),
        ("type: LoadBalancer, externalTrafficPolicy: Cluster", None),
        ("type: LoadBalancer", None),
        ("type: NodePort, externalTrafficPolicy: Local", None),
    ] {
        let spec = format!(
            "{spec}, clusterIP: 10.96.0.1, ports: [{{port: 80}}], healthCheckNodePort: 31000"
        );
        let outcome = translated(&object("", &spec, ""));
        assert_eq!(outcome.problems, [], "{spec}");
        let line = &lines(&outcome)[1];
        assert_eq!(line.split_once(" checked at ").map(|(_, port)| port), port, "{spec}");
    }
}

#[test]
fn a_service_that_cannot_be_used_keeps_its_last_form() {
    for (metadata, spec, field) in [
        ("", "clusterIP: ten, ports: [{port: 80}]", "spec.clusterIPs[0]"),
        ("", "clusterIP: 10.96.0.1, ports: [{port: 0}]", "spec.ports[0].port"),
        (
            "",
            "clusterIP: 10.96.0.1, ports: [{port: 80, nodePort: 70000}]",
            "spec.ports[0].nodePort",
        ),
        ("", "clusterIP: 10.96.0.1, ports: [{port: 80, protocol: tcp}]", "spec.ports[0].protocol"),
        ("", "clusterIP: 10.96.0.1, ports: [{port: 80}, {port: 81}]", "spec.ports[1].name"),
        ("", "clusterIP: 10.96.0.1, externalIPs: [x], ports: [{port: 80}]", "spec.externalIPs[0]"),
        (
            "",
            "clusterIP: 10.96.0.1, loadBalancerSourceRanges: [10.0.0.1], ports: [{port: 80}]",
            "spec.loadBalancerSourceRanges[0]",
        ),
        (
            "",
            "clusterIP: 10.96.0.1, type: LoadBalancer, externalTrafficPolicy: Local, \
             healthCheckNodePort: 70000, ports: [{port: 80}]",
            "spec.healthCheckNodePort",
        ),
        (
            "",
            "clusterIP: 10.96.0.1, internalTrafficPolicy: Near, ports: [{port: 80}]",
            "spec.internalTrafficPolicy",
        ),
        (
            "annotations: {zonegate.io/topology-keys: '*'}",
            "clusterIP: 10.96.0.1, externalTrafficPolicy: Local, ports: [{port: 80}]",
            "metadata.annotations[zonegate.io/topology-keys]",
        ),
        (
            "annotations: {zonegate.io/zone-spill: '0.9'}",
            "clusterIP: 10.96.0.1, ports: [{port: 80}]",
            "metadata.annotations[zonegate.io/zone-spill]",
        ),
        (
            "annotations: {zonegate.io/zone-spill: '2', zonegate.io/topology-keys: '*'}",
            "clusterIP: 10.96.0.1, ports: [{port: 80}]",
            "metadata.annotations[zonegate.io/zone-spill]",
        ),
        (
            "annotations: {zonegate.io/zone-spill: '2', zonegate.io/zone-clients: 'a:3'}",
            "clusterIP: 10.96.0.1, ports: [{port: 80}]",
            "metadata.annotations[zonegate.io/zone-clients]",
        ),
        (
            "annotations: {zonegate.io/zone-spill: '2', zonegate.io/zone-clients: 'a=0'}",
            "clusterIP: 10.96.0.1, ports: [{port: 80}]",
            "metadata.annotations[zonegate.io/zone-clients]",
        ),
        (
            "",
            "clusterIP: 10.96.0.1, sessionAffinity: Cookie, ports: [{port: 80}]",
            "spec.sessionAffinity",
        ),
        (
            "",
            "clusterIP: 10.96.0.1, sessionAffinity: ClientIP, \
             sessionAffinityConfig: {clientIP: {timeoutSeconds: 0}}, ports: [{port: 80}]",
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
        ),
        ("", "ports: 7", "spec.ports"),
    ] {
        let bad = object(metadata, spec, "");
        let outcome = translated(&bad);
        assert_eq!(lines(&outcome), [""; 0], "{spec}");
        check(&outcome.problems, Effect::LeftOut, field);

        let mut translator = cluster();
        let good = object("", "clusterIP: 10.96.0.9, ports: [{port: 80}]", "");
        assert_eq!(translator.apply(upserts(&good)).problems, []);
        let outcome = translator.apply(upserts(&bad));
        assert_eq!(lines(&outcome), [""; 0], "{spec}");
        check(&outcome.problems, Effect::LastFormKept, field);
        assert_eq!(translator.problems().count(), 1);
        let gone = translator.apply(removes(&good));
        assert_eq!(lines(&gone), ["-BackendSet x/s:80", "-Service x/s:80"]);
        assert_eq!(translator.problems().count(), 0);
    }
}

#[test]
fn what_is_not_supported_is_reported_and_the_rest_holds() {
    let spec = "clusterIP: 10.96.0.1, trafficDistribution: Far, ports: [
        {name: a, port: 80}, {name: b, port: 81, protocol: SCTP}]";
    let text = object("", spec, "");
    let expected = ["x/s:a [Cluster TCP 10.96.0.1:80]", "x/s:b [Cluster SCTP 10.96.0.1:81]"];
    assert_eq!(frontends(&text), expected);
    let problems = translated(&text).problems;
    assert!(problems.iter().all(|it| it.effect == Effect::FieldIgnored));
    let fields: Vec<_> = problems.iter().map(|it| it.field.as_str()).collect();
    let expected = ["spec.trafficDistribution"];
    assert_eq!(fields, expected);
}

#[test]
fn an_address_of_the_cluster_is_never_an_external_one() {
    let takes = |address: &str| {
        let spec = format!("clusterIP: 10.96.0.1, externalIPs: [{address}], ports: [{{port: 80}}]");
        object("", &spec, "")
    };
    let other = named("other", "", "clusterIP: 10.96.0.7, ports: [{port: 443}]", "");
    let pod = "{apiVersion: v1, kind: Pod, metadata: {namespace: y, name: late},
        spec: {nodeName: n1, containers: []}, status: {podIP: 10.0.9.9}}";
    for (address, thief, reason) in [
        ("10.96.0.7", other.as_str(), "10.96.0.7 is a cluster address"),
        ("10.0.9.9", pod, "10.0.9.9 is a pod's address"),
    ] {
        let mut translator = cluster();
        let service = |translator: &Translator| {
            let names = translator.resources().map(|it| format!("{it:?}"));
            names.filter(|text| text.contains("x/s:80") && text.contains("External")).count()
        };
        translator.apply(upserts(&takes(address)));
        assert_eq!((service(&translator), translator.problems().count()), (1, 0), "{address}");
        translator.apply(upserts(thief));
        assert_eq!(service(&translator), 0, "{address}");
        let problems: Vec<Problem> = translator.problems().cloned().collect();
        check(&problems, Effect::FieldIgnored, "spec.externalIPs[0]");
        assert_eq!(problems[0].reason, reason);
        // Whoever comes later is told at once.
        let outcome = translator.apply(upserts(&takes(address)));
        assert_eq!(outcome.problems, problems);
        translator.apply(removes(thief));
        assert_eq!((service(&translator), translator.problems().count()), (1, 0), "{address}");
    }
    // A node's own address may be one.
    assert_eq!(frontends(&takes("192.0.2.1"))[0].matches("External TCP 192.0.2.1:80").count(), 1);
}

#[test]
fn external_addresses_outside_the_ranges_are_left_out() {
    let ranges = ["203.0.113.0/24", "fd05::/16"].map(|text| text.parse().unwrap()).to_vec();
    let mut translator = Translator::new(Options { external_ip_ranges: ranges });
    let spec = "clusterIPs: [10.96.0.1, 'fd96::1'], ports: [{port: 80}],
        externalIPs: [203.0.113.1, 198.51.100.9, 'fd05::2', 'fd06::2']";
    let status = "loadBalancer: {ingress: [{ip: 198.51.100.1}]}";
    let outcome = translator.apply(upserts(&object("", spec, status)));
    let found: Vec<_> = outcome.problems.iter().map(|it| (&*it.field, &*it.reason)).collect();
    let expected = [
        ("spec.externalIPs[1]", "198.51.100.9 is outside services.external_ip_ranges"),
        ("spec.externalIPs[3]", "fd06::2 is outside services.external_ip_ranges"),
    ];
    assert_eq!(found, expected);
    let line = lines(&outcome).into_iter().find(|line| line.starts_with("service ")).unwrap();
    let frontends = "[Cluster TCP 10.96.0.1:80, Cluster TCP [fd96::1]:80, \
        LoadBalancer TCP 198.51.100.1:80, External TCP 203.0.113.1:80, External TCP [fd05::2]:80]";
    assert!(line.contains(frontends), "{line}");
}

#[test]
fn of_two_services_with_one_address_and_port_one_gets_it() {
    let a =
        named("a", "", "clusterIP: 10.96.0.1, externalIPs: [203.0.113.1], ports: [{port: 80}]", "");
    let b = named(
        "b",
        "",
        "clusterIP: 10.96.0.2, externalIPs: [203.0.113.1], ports: [{name: p, port: 80}, \
         {name: q, port: 81}]",
        "",
    );
    for order in [[&a, &b], [&b, &a]] {
        let mut translator = cluster();
        for object in order {
            translator.apply(upserts(object));
        }
        let problems: Vec<Problem> = translator.problems().cloned().collect();
        check(&problems, Effect::FieldIgnored, "spec.externalIPs[0]");
        assert_eq!(problems[0].object.name, "b");
        assert_eq!(problems[0].reason, "TCP 203.0.113.1 port 80 belongs to x/a");
        let outcome = translator.apply(removes(&a));
        assert_eq!(translator.problems().count(), 0);
        assert!(lines(&outcome)[0].contains("x/b:p [Cluster TCP 10.96.0.2:80, External"));
    }
}

#[track_caller]
fn check(problems: &[Problem], effect: Effect, field: &str) {
    let [problem] = problems else { panic!("{field}: {problems:?}") };
    assert_eq!((problem.effect, problem.field.as_str()), (effect, field));
}
