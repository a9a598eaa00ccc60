//! NetworkPolicy: what each form of a spec means.

use crate::world::{lines, translated};

/// Name of the case, the spec of policy `p` in namespace `x`, the resources it becomes.
type Row = (&'static str, &'static str, &'static [&'static str]);

#[test]
fn directions_follow_policy_types() {
    check(&[
        (
            "nothing but a selector isolates ingress",
            "{podSelector: {}}",
            &[ALL_OF_X, ON_ALL, " ingress nothing"],
        ),
        ("an empty spec selects everything", "{}", &[ALL_OF_X, ON_ALL, " ingress nothing"]),
        (
            "a selector that is null is empty",
            "{podSelector: null}",
            &[ALL_OF_X, ON_ALL, " ingress nothing"],
        ),
        (
            "egress rules imply both",
            "{podSelector: {}, egress: [{}]}",
            &[ALL_OF_X, ON_ALL, " ingress nothing", " egress egress[0]: Accept * *"],
        ),
        (
            "an empty list of egress rules implies nothing",
            "{podSelector: {}, egress: []}",
            &[ALL_OF_X, ON_ALL, " ingress nothing"],
        ),
        (
            "an empty list of types is as none",
            "{podSelector: {}, policyTypes: [], egress: [{}]}",
            &[ALL_OF_X, ON_ALL, " ingress nothing", " egress egress[0]: Accept * *"],
        ),
        (
            "only what is listed counts",
            "{podSelector: {}, policyTypes: [Ingress], ingress: [{}], egress: [{}]}",
            &[ALL_OF_X, ON_ALL, " ingress ingress[0]: Accept * *"],
        ),
        (
            "egress alone",
            "{podSelector: {}, policyTypes: [Egress], ingress: [{}]}",
            &[ALL_OF_X, ON_ALL, " egress nothing"],
        ),
        (
            "both, without rules",
            "{podSelector: {}, policyTypes: [Egress, Ingress]}",
            &[ALL_OF_X, ON_ALL, " ingress nothing", " egress nothing"],
        ),
    ]);
}

#[test]
fn peers_are_pods_or_blocks() {
    check(&[
        (
            "missing and empty peers are any",
            "{ingress: [{}, {from: []}, {from: null}]}",
            &[
                ALL_OF_X,
                ON_ALL,
                " ingress ingress[0]: Accept * *",
                " ingress ingress[1]: Accept * *",
                " ingress ingress[2]: Accept * *",
            ],
        ),
        (
            "a pod selector alone looks into the policy's namespace",
            "{ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}",
            &[
                "set pods/x/{app=web} [10.0.0.1/32]",
                ALL_OF_X,
                ON_ALL,
                " ingress ingress[0]: Accept pods/x/{app=web} *",
            ],
        ),
        (
            "an empty pod selector too; one set serves subjects and peers",
            "{ingress: [{from: [{podSelector: {}}]}]}",
            &[ALL_OF_X, ON_ALL, " ingress ingress[0]: Accept pods/x/{} *"],
        ),
        (
            "a namespace selector alone means all pods there, dual stack",
            "{ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}}]}]}",
            &[
                ALL_OF_X,
                "set pods/{team=b}/{} [10.0.1.1/32, fd00::1/128]",
                ON_ALL,
                " ingress ingress[0]: Accept pods/{team=b}/{} *",
            ],
        ),
        (
            "an empty namespace selector means all namespaces",
            "{ingress: [{from: [{namespaceSelector: {}}]}]}",
            &[
                ALL_OF_X,
                "set pods/{}/{} [10.0.0.1/32, 10.0.0.2/32, 10.0.1.1/32, fd00::1/128]",
                ON_ALL,
                " ingress ingress[0]: Accept pods/{}/{} *",
            ],
        ),
        (
            "both selectors in one peer are and; in two, or",
            "{ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}},
                podSelector: {matchLabels: {app: web}}}, {podSelector: {matchLabels: {app: db}}}]}]}",
            &[
                "set pods/x/{app=db} [10.0.0.2/32]",
                ALL_OF_X,
                "set pods/{team=b}/{app=web} []",
                ON_ALL,
                " ingress ingress[0]: Accept pods/{team=b}/{app=web}|pods/x/{app=db} *",
            ],
        ),
        (
            "every namespace has its name for a label",
            "{egress: [{to: [{namespaceSelector: {matchExpressions:
                [{key: kubernetes.io/metadata.name, operator: NotIn, values: [x]}]}}]}],
                policyTypes: [Egress]}",
            &[
                ALL_OF_X,
                "set pods/{kubernetes.io/metadata.name!=x}/{} [10.0.1.1/32, fd00::1/128]",
                ON_ALL,
                " egress egress[0]: Accept pods/{kubernetes.io/metadata.name!=x}/{} *",
            ],
        ),
        (
            "a block, host bits and all, without its exceptions",
            "{ingress: [{from: [{ipBlock: {cidr: 10.1.2.3/8, except: [10.9.9.9/16, 10.0.0.0/24]}}]}]}",
            &[
                "set cidr/10.0.0.0/8-10.0.0.0/24-10.9.0.0/16 [10.0.0.0/8] \
                 except [10.0.0.0/24, 10.9.0.0/16]",
                ALL_OF_X,
                ON_ALL,
                " ingress ingress[0]: Accept cidr/10.0.0.0/8-10.0.0.0/24-10.9.0.0/16 *",
            ],
        ),
        (
            "a block of IPv6",
            "{ingress: [{from: [{ipBlock: {cidr: 'fd00::/8'}}]}]}",
            &[
                "set cidr/fd00::/8 [fd00::/8]",
                ALL_OF_X,
                ON_ALL,
                " ingress ingress[0]: Accept cidr/fd00::/8 *",
            ],
        ),
    ]);
}

#[test]
fn ports_are_numbers_ranges_or_all_of_a_protocol() {
    check(&[
        (
            "missing and empty ports are everything",
            "{ingress: [{}, {ports: []}]}",
            &[
                ALL_OF_X,
                ON_ALL,
                " ingress ingress[0]: Accept * *",
                " ingress ingress[1]: Accept * *",
            ],
        ),
        (
            "TCP unless said otherwise, every port unless one is given",
            "{ingress: [{ports: [{}, {port: 80}, {protocol: UDP}, {protocol: SCTP, port: 7},
                {port: 8000, endPort: 8080}, {port: 65535, endPort: 65535}]}]}",
            &[
                ALL_OF_X,
                ON_ALL,
                " ingress ingress[0]: Accept * TCP/1-65535,TCP/80,UDP/1-65535,SCTP/7,\
                 TCP/8000-8080,TCP/65535",
            ],
        ),
    ]);
}

#[test]
fn subjects_are_pods_of_the_policy_s_namespace() {
    check(&[
        (
            "by labels",
            "{podSelector: {matchLabels: {app: web}}}",
            &[
                "set pods/x/{app=web} [10.0.0.1/32]",
                "policy networkpolicy/x/p Network 0 on pods/x/{app=web}",
                " ingress nothing",
            ],
        ),
        (
            "by expressions",
            "{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web]}]}}",
            &[
                "set pods/x/{app!=web} [10.0.0.2/32]",
                "policy networkpolicy/x/p Network 0 on pods/x/{app!=web}",
                " ingress nothing",
            ],
        ),
        (
            "none, as yet",
            "{podSelector: {matchLabels: {app: client}}}",
            &[
                "set pods/x/{app=client} []",
                "policy networkpolicy/x/p Network 0 on pods/x/{app=client}",
                " ingress nothing",
            ],
        ),
    ]);
}

fn check(rows: &[Row]) {
    for (case, spec, expected) in rows {
        let outcome = translated(&policy(spec));
        assert_eq!(outcome.problems, [], "{case}");
        assert_eq!(lines(&outcome), *expected, "{case}");
    }
}

pub fn policy(spec: &str) -> String {
    format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, \
         metadata: {{namespace: x, name: p}}, spec: {spec}}}"
    )
}

const ALL_OF_X: &str = "set pods/x/{} [10.0.0.1/32, 10.0.0.2/32]";
const ON_ALL: &str = "policy networkpolicy/x/p Network 0 on pods/x/{}";
