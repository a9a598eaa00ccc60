//! Ports of nodes that lead to pods, and whose they are.

use zonegate::kubernetes::{Effect, ObjectKey, Translator, whole};

use crate::world::{cluster, lines, removes, upserts};

/// A pod in `x` on a node, with its ports and more of its `metadata`, `spec` and `status`.
fn pod(name: &str, node: &str, ports: &str, [metadata, spec, status]: [&str; 3]) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{namespace: x, name: {name}, {metadata}}}, \
         spec: {{nodeName: {node}, {spec} containers: [{{name: c, ports: [{ports}]}}]}}, \
         status: {{podIPs: [{{ip: 10.0.2.1}}, {{ip: 'fd00::2'}}], {status}}}}}"
    )
}

fn plain(name: &str, node: &str, address: &str, port: &str) -> String {
    pod(name, node, &format!("{{containerPort: 80, hostPort: 8080{port}}}"), [""; 3])
        .replace("{ip: 10.0.2.1}, {ip: 'fd00::2'}", &format!("{{ip: {address}}}"))
}

/// The services of host ports that hold: name and frontends.
fn held(translator: &Translator) -> Vec<String> {
    let resources = translator.resources().cloned().collect();
    let lines = lines(&zonegate::kubernetes::Outcome { upserts: resources, ..<_>::default() });
    let ports = lines.iter().filter_map(|line| line.strip_prefix("service hostport/"));
    ports.map(|line| line[..=line.find("] Hints").unwrap()].to_owned()).collect()
}

fn problems(translator: &Translator) -> Vec<String> {
    translator.problems().map(ToString::to_string).collect()
}

#[test]
fn a_port_of_the_node_leads_to_the_pod_in_each_family() {
    let mut translator = cluster();
    let web = pod("w", "n1", "{containerPort: 80, hostPort: 8080}", [""; 3]);
    assert_eq!(
        lines(&translator.apply(upserts(&web))),
        [
            "workload x/w n1 [10.0.2.1, fd00::2]",
            "backends hostport/x/w:80/TCP [10.0.2.1:80@n1/, [fd00::2]:80@n1/]",
            "service hostport/x/w:80/TCP [HostPort TCP 0.0.0.0:8080, HostPort TCP [::]:8080] \
             Hints(None) Cluster/Local []",
        ]
    );
    // What it goes with, for who asks whether it is forgotten.
    let keys = translator.resources().map(zonegate::model::Resource::key);
    let key = keys.into_iter().find(|key| key.name.starts_with("hostport/")).unwrap();
    let ObjectKey { namespace, name, .. } = upserts_key(&web);
    assert_eq!(whole(&key).to_string(), format!("Workload \"{namespace}/{name}\""));
    assert_eq!(
        lines(&translator.apply(removes(&web))),
        ["-Workload x/w", "-BackendSet hostport/x/w:80/TCP", "-Service hostport/x/w:80/TCP"]
    );
}

fn upserts_key(yaml: &str) -> ObjectKey {
    crate::world::objects(yaml)[0].key().clone()
}

#[test]
fn ports_are_read_as_the_kubelet_reads_them() {
    let one = "{containerPort: 80, hostPort: 8080}";
    let both = "HostPort TCP 0.0.0.0:8080, HostPort TCP [::]:8080";
    let with = |more: &str| format!("{{containerPort: 80, hostPort: 8080, {more}}}");
    for (case, ports, fields, expected) in [
        ("no host port", "{containerPort: 80}".to_owned(), [""; 3], vec![]),
        (
            "UDP",
            with("protocol: UDP"),
            [""; 3],
            vec![format!("x/w:80/UDP [{}]", both.replace("TCP", "UDP"))],
        ),
        (
            "SCTP",
            with("protocol: SCTP"),
            [""; 3],
            vec![format!("x/w:80/SCTP [{}]", both.replace("TCP", "SCTP"))],
        ),
        ("no address", with("hostIP: ''"), [""; 3], vec![format!("x/w:80/TCP [{both}]")]),
        (
            "all of IPv4",
            with("hostIP: 0.0.0.0"),
            [""; 3],
            vec!["x/w:80/TCP [HostPort TCP 0.0.0.0:8080]".into()],
        ),
        (
            "all of IPv6",
            with("hostIP: '::'"),
            [""; 3],
            vec!["x/w:80/TCP [HostPort TCP [::]:8080]".into()],
        ),
        (
            "one",
            with("hostIP: 192.0.2.1"),
            [""; 3],
            vec!["x/w:80/TCP [HostPort TCP 192.0.2.1:8080]".into()],
        ),
        (
            "loopback",
            with("hostIP: 127.0.0.2"),
            [""; 3],
            vec!["x/w:80/TCP [HostPort TCP 127.0.0.1:8080]".into()],
        ),
        (
            "two ports to one",
            format!("{one}, {{containerPort: 80, hostPort: 81, hostIP: 0.0.0.0}}"),
            [""; 3],
            vec![format!("x/w:80/TCP [{both}, HostPort TCP 0.0.0.0:81]")],
        ),
        ("the node's network", one.into(), ["", "hostNetwork: true,", ""], vec![]),
        (
            "not ready",
            one.into(),
            ["", "", "conditions: [{type: Ready, status: 'False'}]"],
            vec![format!("x/w:80/TCP [{both}]")],
        ),
        ("succeeded", one.into(), ["", "", "phase: Succeeded"], vec![]),
        ("failed", one.into(), ["", "", "phase: Failed"], vec![]),
        (
            "a sidecar, and what is over before",
            String::new(),
            [
                "",
                "initContainers: [{name: a, ports: [{containerPort: 1, hostPort: 1}]}, \
               {name: b, restartPolicy: Always, ports: [{containerPort: 2, hostPort: 2, hostIP: 0.0.0.0}]}],",
                "",
            ],
            vec!["x/w:2/TCP [HostPort TCP 0.0.0.0:2]".into()],
        ),
    ] {
        let mut translator = cluster();
        translator.apply(upserts(&pod("w", "n1", &ports, fields)));
        assert_eq!(held(&translator), expected, "{case}");
        assert_eq!(problems(&translator), [""; 0], "{case}");
    }
}

#[test]
fn what_is_wrong_with_a_port_leaves_it_out() {
    for (port, field, reason) in [
        ("hostPort: 70000", "hostPort", "port 70000 is outside 1-65535"),
        ("hostPort: 1, hostIP: here", "hostIP", "\"here\" is not an IP address"),
        ("hostPort: 1, hostIP: 192.0.2.9", "hostPort", "192.0.2.9 is no address of the node n1"),
        ("hostPort: 1, protocol: X", "protocol", "\"X\" is none of TCP, UDP and SCTP"),
    ] {
        let mut translator = cluster();
        let outcome = translator.apply(upserts(&pod(
            "w",
            "n1",
            &format!("{{containerPort: 80, {port}}}"),
            [""; 3],
        )));
        assert_eq!(held(&translator), [""; 0], "{port}");
        let [problem] = &outcome.problems[..] else { panic!("{port}: {:?}", outcome.problems) };
        assert_eq!(problem.field, format!("spec.containers[0].ports[0].{field}"), "{port}");
        assert_eq!((problem.reason.as_str(), problem.effect), (reason, Effect::FieldIgnored));
    }
    // The node may have the address later.
    let mut translator = cluster();
    let port = "{containerPort: 80, hostPort: 8080, hostIP: 192.0.2.9}";
    translator.apply(upserts(&pod("w", "n1", port, [""; 3])));
    translator.apply(upserts(
        "{apiVersion: v1, kind: Node, metadata: {name: n1},
          status: {addresses: [{type: ExternalIP, address: 192.0.2.9}]}}",
    ));
    assert_eq!(held(&translator), ["x/w:80/TCP [HostPort TCP 192.0.2.9:8080]"]);
    assert_eq!(problems(&translator), [""; 0]);
}

#[test]
fn of_two_pods_on_a_node_the_older_one_has_a_port() {
    let mut translator = cluster();
    let created = |pod: String, hour: u8| {
        pod.replace(
            "metadata: {",
            &format!("metadata: {{creationTimestamp: '2026-01-01T{hour:02}:00:00Z', "),
        )
    };
    let first = created(plain("b", "n1", "10.0.2.1", ""), 1);
    let second = created(plain("a", "n1", "10.0.2.2", ""), 2);
    translator.apply(upserts(&second));
    assert_eq!(held(&translator), ["x/a:80/TCP [HostPort TCP 0.0.0.0:8080]"]);
    translator.apply(upserts(&first));
    assert_eq!(held(&translator), ["x/b:80/TCP [HostPort TCP 0.0.0.0:8080]"]);
    assert_eq!(
        problems(&translator),
        ["Pod \"x/a\", spec.containers[0].ports[0].hostPort: TCP 0.0.0.0 port 8080 belongs to \
          Pod \"x/b\", which is older (ignored)"]
    );
    // Elsewhere, at one address, and for another protocol there is no such conflict.
    for (name, node, address, port) in [
        ("c", "n2", "10.0.2.3", ""),
        ("d", "n1", "10.0.2.4", ", hostIP: 192.0.2.1"),
        ("e", "n1", "10.0.2.5", ", protocol: UDP"),
    ] {
        translator.apply(upserts(&plain(name, node, address, port)));
    }
    assert_eq!(held(&translator).len(), 4);
    assert_eq!(problems(&translator).len(), 1);
    translator.apply(removes(&first));
    assert_eq!(held(&translator).len(), 4);
    assert_eq!(problems(&translator), [""; 0]);
}

#[test]
fn a_service_comes_before_pods() {
    let service = |port: u16| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{namespace: y, name: s}}, spec: \
             {{type: NodePort, clusterIP: 10.96.0.1, ports: [{{port: 80, nodePort: {port}}}]}}}}"
        )
    };
    let mut translator = cluster();
    translator.apply(upserts(&plain("w", "n1", "10.0.2.1", "")));
    translator.apply(upserts(&plain("v", "n1", "10.0.2.2", ", hostIP: 192.0.2.1")));
    assert_eq!(held(&translator).len(), 2);
    translator.apply(upserts(&service(8080)));
    assert_eq!(held(&translator), ["x/v:80/TCP [HostPort TCP 192.0.2.1:8080]"]);
    assert_eq!(
        problems(&translator),
        ["Pod \"x/w\", spec.containers[0].ports[0].hostPort: TCP 0.0.0.0 port 8080 belongs to \
          the service y/s (ignored)"]
    );
    for other in [service(8081), service(8080)] {
        translator.apply(upserts(&other));
    }
    assert_eq!(problems(&translator).len(), 1);
    translator.apply(removes(&service(8080)));
    assert_eq!(held(&translator).len(), 2);
    assert_eq!(problems(&translator), [""; 0]);
}

#[test]
fn a_pod_that_lost_its_address_has_no_port_for_it() {
    let mut translator = cluster();
    let first = plain("b", "n1", "10.0.2.1", "");
    translator.apply(upserts(&first));
    let later = "metadata: {creationTimestamp: '2026-01-01T00:00:00Z', ";
    let heir = "{apiVersion: v1, kind: Pod, metadata: {namespace: x, name: h}, spec: \
                {nodeName: n1, containers: []}, status: {podIPs: [{ip: 10.0.2.1}]}}"
        .replace("metadata: {", later);
    translator.apply(upserts(&heir));
    assert_eq!(held(&translator), [""; 0]);
    translator.apply(removes(&heir));
    assert_eq!(held(&translator), ["x/b:80/TCP [HostPort TCP 0.0.0.0:8080]"]);
}
