//! A change says what it changes, and nothing else.

use crate::{
    network_policy::policy,
    world::{cluster, lines, removes, upserts},
};

#[test]
fn only_what_changed_is_given_out() {
    let mut translator = cluster();
    let spec = "{podSelector: {matchLabels: {app: web}},
        ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}}]}]}";
    translator.apply(upserts(&policy(spec)));
    let client = |labels: &str, address: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{namespace: y, name: more, \
             labels: {{{labels}}}}}, spec: {{nodeName: n2, containers: []}}, \
             status: {{podIP: {address}}}}}"
        )
    };
    let team = |label: &str| {
        format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: y, labels: {{team: {label}}}}}}}"
        )
    };
    let peers = |prefixes: &str| format!("set pods/{{team=b}}/{{}} [{prefixes}]");
    for (case, changes, expected) in [
        ("the same policy again", upserts(&policy(spec)), vec![]),
        (
            "a pod appears",
            upserts(&client("", "10.0.1.2")),
            vec![
                "workload y/more n2 [10.0.1.2]".into(),
                peers("10.0.1.1/32, 10.0.1.2/32, fd00::1/128"),
            ],
        ),
        ("the same pod again", upserts(&client("", "10.0.1.2")), vec![]),
        ("a label that nothing selects", upserts(&client("app: other", "10.0.1.2")), vec![]),
        (
            "a pod goes and comes at once",
            [removes(&client("", "10.0.1.2")), upserts(&client("", "10.0.1.2"))].concat(),
            vec![],
        ),
        (
            "another address",
            upserts(&client("", "10.0.1.3")),
            vec![
                "workload y/more n2 [10.0.1.3]".into(),
                peers("10.0.1.1/32, 10.0.1.3/32, fd00::1/128"),
            ],
        ),
        ("a namespace leaves", upserts(&team("c")), vec![peers("")]),
        ("its object goes", removes(&team("c")), vec![]),
        (
            "it comes back",
            upserts(&team("b")),
            vec![peers("10.0.1.1/32, 10.0.1.3/32, fd00::1/128")],
        ),
        (
            "a second policy uses the same sets",
            upserts(&policy(spec).replace("name: p", "name: q")),
            vec![
                "policy networkpolicy/x/q Network 0 on pods/x/{app=web}".into(),
                " ingress ingress[0]: Accept pods/{team=b}/{} *".into(),
            ],
        ),
        ("one policy goes", removes(&policy(spec)), vec!["-Policy networkpolicy/x/p".into()]),
        (
            "the last user of the sets goes",
            removes(&policy(spec).replace("name: p", "name: q")),
            vec![
                "-AddressSet pods/x/{app=web}".into(),
                "-AddressSet pods/{team=b}/{}".into(),
                "-Policy networkpolicy/x/q".into(),
            ],
        ),
        ("a pod goes", removes(&client("", "10.0.1.3")), vec!["-Workload y/more".into()]),
        ("what is not there goes", removes(&client("", "10.0.1.3")), vec![]),
    ] {
        let outcome = translator.apply(changes);
        assert_eq!(outcome.problems, [], "{case}");
        assert_eq!(lines(&outcome), expected, "{case}");
    }
}

#[test]
fn pods_of_an_unknown_namespace_have_its_name_to_be_selected_by() {
    let mut translator = cluster();
    let spec = "{ingress: [{from: [{namespaceSelector: {matchLabels:
        {kubernetes.io/metadata.name: z}}}]}]}";
    translator.apply(upserts(&policy(spec)));
    let pod = "{apiVersion: v1, kind: Pod, metadata: {namespace: z, name: a},
        spec: {nodeName: n1, containers: []}, status: {podIP: 10.0.2.1}}";
    assert_eq!(
        lines(&translator.apply(upserts(pod))),
        ["workload z/a n1 [10.0.2.1]", "set pods/{kubernetes.io/metadata.name=z}/{} [10.0.2.1/32]",]
    );
}

#[test]
fn names_that_are_too_long_are_cut_and_stay_distinct() {
    let mut translator = cluster();
    let long = |end: &str| format!("{}{end}", "a".repeat(250));
    let named = |name: &str| policy("{}").replace("name: p", &format!("name: {name}"));
    let changes = [upserts(&named(&long("x"))), upserts(&named(&long("y")))].concat();
    let outcome = translator.apply(changes);
    let names: Vec<_> = outcome.upserts.iter().map(|resource| resource.key().name).collect();
    assert_eq!(names.len(), 3);
    assert!(names.iter().all(|name| name.len() <= 253));
    assert_ne!(names[1], names[2]);
}

#[test]
fn of_two_pods_with_one_address_the_newer_has_it() {
    let mut translator = cluster();
    let pod = |name: &str, created: &str, addresses: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{namespace: y, name: {name}, \
             creationTimestamp: '{created}'}}, spec: {{nodeName: n2, containers: []}}, \
             status: {{podIPs: [{addresses}]}}}}"
        )
    };
    let old = pod("a", "2026-01-01T00:00:00Z", "{ip: 10.0.1.7}, {ip: 'fd00::7'}");
    let new = pod("b", "2026-01-02T00:00:00Z", "{ip: 10.0.1.7}");
    let mut apply = |changes| {
        let outcome = translator.apply(changes);
        let problems: Vec<_> = translator.problems().map(ToString::to_string).collect();
        (lines(&outcome), problems)
    };
    let (_, problems) = apply(upserts(&old));
    assert_eq!(problems, [""; 0]);
    let (given, problems) = apply(upserts(&new));
    assert_eq!(given, ["workload y/a n2 [fd00::7]", "workload y/b n2 [10.0.1.7]"]);
    assert_eq!(
        problems,
        [
            "Pod \"y/a\", status.podIPs: 10.0.1.7 is the address of Pod \"y/b\", which is newer (ignored)"
        ]
    );
    // Whichever is told of first.
    let (given, _) = apply([removes(&old), removes(&new), upserts(&new), upserts(&old)].concat());
    assert_eq!(given, [""; 0]);
    let (given, problems) = apply(removes(&new));
    assert_eq!(given, ["workload y/a n2 [10.0.1.7, fd00::7]", "-Workload y/b"]);
    assert_eq!(problems, [""; 0]);
}
