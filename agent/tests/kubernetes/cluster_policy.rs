//! ClusterNetworkPolicy, and the older kinds that became it.

use zonegate::kubernetes::Effect;

use crate::world::{lines, translated};

#[test]
fn subjects_tiers_and_actions() {
    let outcome = translated(&policy(
        "tier: Admin, priority: 7, subject: {pods: {namespaceSelector: {matchLabels: {team: a}},
         podSelector: {matchLabels: {app: web}}}}, ingress: [
         {name: from-y, action: Accept, from: [{namespaces: {matchLabels: {team: b}}}]},
         {action: Pass, from: [{pods: {podSelector: {matchLabels: {app: db}}}}]},
         {action: Deny, from: [{namespaces: {}}]}], egress: []",
    ));
    assert_eq!(outcome.problems, []);
    assert_eq!(
        lines(&outcome),
        [
            "set pods/{team=a}/{app=web} [10.0.0.1/32]",
            "set pods/{team=b}/{} [10.0.1.1/32, fd00::1/128]",
            "set pods/{}/{app=db} [10.0.0.2/32]",
            "set pods/{}/{} [10.0.0.1/32, 10.0.0.2/32, 10.0.1.1/32, fd00::1/128]",
            "policy clusternetworkpolicy/p Admin 7 on pods/{team=a}/{app=web}",
            " ingress from-y: Accept pods/{team=b}/{} *",
            " ingress ingress[1]: Pass pods/{}/{app=db} *",
            " ingress ingress[2]: Deny pods/{}/{} *",
        ]
    );
}

#[test]
fn egress_reaches_nodes_and_networks() {
    let outcome = translated(&policy(
        "tier: Baseline, priority: 0, subject: {namespaces: {matchLabels: {team: b}}}, egress: [
         {action: Deny, to: [{nodes: {matchLabels: {os: linux}}}]},
         {action: Accept, to: [{nodes: {}}, {networks: [10.1.2.3/8, '::/0']}]}]",
    ));
    assert_eq!(outcome.problems, []);
    assert_eq!(
        lines(&outcome),
        [
            "set cidr/10.0.0.0/8,::/0 [10.0.0.0/8, ::/0]",
            "set nodes/{os=linux} [192.0.2.1/32]",
            "set nodes/{} [192.0.2.1/32, 192.0.2.2/32]",
            "set pods/{team=b}/{} [10.0.1.1/32, fd00::1/128]",
            "policy clusternetworkpolicy/p Baseline 0 on pods/{team=b}/{}",
            " egress egress[0]: Deny nodes/{os=linux} *",
            " egress egress[1]: Accept nodes/{}|cidr/10.0.0.0/8,::/0 *",
        ]
    );
}

#[test]
fn protocols_are_numbers_and_ranges() {
    let outcome = translated(&ingress(
        "{action: Accept, from: [{namespaces: {}}], protocols: [
          {tcp: {destinationPort: {number: 80}}},
          {udp: {destinationPort: {range: {start: 1, end: 9}}}},
          {sctp: {destinationPort: {number: 65535}}}]},
         {action: Deny, from: [{namespaces: {}}], protocols: null}",
    ));
    assert_eq!(outcome.problems, []);
    assert_eq!(
        lines(&outcome)[2..],
        [
            " ingress ingress[0]: Accept pods/{}/{} TCP/80,UDP/1-9,SCTP/65535",
            " ingress ingress[1]: Deny pods/{}/{} *",
        ]
    );
}

#[test]
fn what_is_not_understood_fails_closed() {
    for (case, direction, rest, field) in [
        ("a peer of tomorrow", "ingress", "from: [{future: {}}]", "from[0]"),
        ("one of several", "ingress", "from: [{namespaces: {}}, {future: {}}]", "from[1]"),
        ("two kinds in one", "ingress", "from: [{namespaces: {}, pods: {}}]", "from[0]"),
        ("nodes as a source", "ingress", "from: [{nodes: {}}]", "from[0]"),
        ("networks as a source", "ingress", "from: [{networks: [10.0.0.0/8]}]", "from[0]"),
        ("no peers", "ingress", "from: []", "from"),
        ("peers left out", "egress", "from: [{namespaces: {}}]", "to"),
        ("names", "egress", "to: [{domainNames: [a.example]}]", "to[0].domainNames"),
        (
            "a protocol of tomorrow",
            "egress",
            "to: [{nodes: {}}], protocols: [{quic: {}}]",
            PROTOCOL,
        ),
        ("a protocol alone", "egress", "to: [{nodes: {}}], protocols: [{tcp: {}}]", PROTOCOL),
        (
            "a port of tomorrow",
            "egress",
            "to: [{nodes: {}}], protocols: [{udp: {destinationPort: {}}}]",
            PROTOCOL,
        ),
    ] {
        let rules =
            ["Accept", "Deny", "Pass"].map(|action| format!("{{action: {action}, {rest}}}"));
        let outcome = translated(&policy(&format!("{SPEC}, {direction}: [{}]", rules.join(","))));
        let rule = |index: usize, what: &str| format!(" {direction} {direction}[{index}]: {what}");
        let policy = lines(&outcome);
        let expected = [rule(0, "Accept - -"), rule(1, "Deny * *"), rule(2, "Deny * *")];
        assert_eq!(policy[policy.len() - 3..], expected, "{case}");
        assert_eq!(outcome.problems.len(), 3, "{case}");
        for (index, problem) in outcome.problems.iter().enumerate() {
            assert_eq!(problem.effect, Effect::RuleFailsClosed, "{case}");
            assert_eq!(problem.field, format!("spec.{direction}[{index}].{field}"), "{case}");
        }
    }
}

#[test]
fn admin_network_policies_are_of_the_admin_tier() {
    let outcome = translated(
        "{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy,
          metadata: {name: p}, spec: {priority: 9, subject: {namespaces: {}}, egress: [
          {name: out, action: Allow, to: [{namespaces: {}}], ports: [
            {portNumber: {port: 80}}, {portNumber: {protocol: UDP, port: 53}},
            {portRange: {protocol: SCTP, start: 1, end: 9}}]},
          {action: Pass, to: [{networks: [10.0.0.0/8]}]},
          {action: Deny, to: [{nodes: {}}], ports: [{portName: x}]}]}}",
    );
    assert_eq!(outcome.problems.len(), 1);
    assert_eq!(
        lines(&outcome)[2..],
        [
            "policy adminnetworkpolicy/p Admin 9 on pods/{}/{}",
            " egress out: Accept pods/{}/{} TCP/80,UDP/53,SCTP/1-9",
            " egress egress[1]: Pass cidr/10.0.0.0/8 *",
            " egress egress[2]: Deny * *",
        ]
    );
}

#[test]
fn peers_of_the_first_version_have_their_selector_further_in() {
    let outcome = translated(
        "{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy,
          metadata: {name: p}, spec: {priority: 9, subject: {namespaces: {}}, egress: [
          {action: Allow, to: [{namespaces: {namespaceSelector: {matchLabels: {team: a}}}}]},
          {action: Allow, to: [{pods: {namespaces: {namespaceSelector: {matchLabels: {team: a}}},
            podSelector: {matchLabels: {app: web}}}}]},
          {action: Deny, to: [{namespaces: {sameLabels: [team]}}]},
          {action: Allow, to: [{pods: {namespaces: {notSameLabels: [team]}, podSelector: {}}}]}]}}",
    );
    let problems: Vec<_> = outcome.problems.iter().map(|it| it.field.as_str()).collect();
    assert_eq!(
        problems,
        [
            "spec.egress[2].to[0].namespaces.sameLabels",
            "spec.egress[3].to[0].pods.namespaces.notSameLabels",
        ]
    );
    let rules = lines(&outcome).into_iter().filter(|line| line.starts_with(" egress"));
    assert_eq!(
        rules.collect::<Vec<_>>(),
        [
            " egress egress[0]: Accept pods/{team=a}/{} *",
            " egress egress[1]: Accept pods/{team=a}/{app=web} *",
            " egress egress[2]: Deny * *",
            " egress egress[3]: Accept - -",
        ]
    );
}

#[test]
fn the_baseline_comes_last() {
    let outcome = translated(
        "{apiVersion: policy.networking.k8s.io/v1alpha1, kind: BaselineAdminNetworkPolicy,
          metadata: {name: default}, spec: {subject: {namespaces: {}}, ingress: [
          {action: Deny, from: [{namespaces: {}}], ports: [{namedPort: http}]}]}}",
    );
    assert_eq!(outcome.problems, []);
    let policies = lines(&outcome).into_iter().filter(|line| !line.starts_with("set "));
    assert_eq!(
        policies.collect::<Vec<_>>(),
        [
            "policy baselineadminnetworkpolicy/default#1 Baseline 1000 on pods/{}/{}[http=]",
            " ingress ingress[0]: Deny pods/{}/{} -",
            "policy baselineadminnetworkpolicy/default#2 Baseline 1000 on pods/{}/{}[http=TCP/80]",
            " ingress ingress[0]: Deny pods/{}/{} TCP/80",
            "policy baselineadminnetworkpolicy/default#3 Baseline 1000 on pods/{}/{}[http=TCP/8080]",
            " ingress ingress[0]: Deny pods/{}/{} TCP/8080",
        ]
    );
}

fn policy(spec: &str) -> String {
    format!(
        "{{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, \
         metadata: {{name: p}}, spec: {{{spec}}}}}"
    )
}

fn ingress(rules: &str) -> String {
    policy(&format!("{SPEC}, ingress: [{rules}]"))
}

const SPEC: &str = "tier: Admin, priority: 1, subject: {namespaces: {}}";
const PROTOCOL: &str = "protocols[0]";
