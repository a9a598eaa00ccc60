//! Policies that cannot be used: reported, and never a way in.

use zonegate::kubernetes::{Effect, Outcome};

use crate::{
    network_policy::policy,
    world::{cluster, lines, removes, translated, upserts},
};

#[test]
fn network_policies_isolate_their_pods() {
    for (spec, field, directions) in [
        ("ingress: [{from: [{}]}]", "ingress[0].from[0]", INGRESS),
        ("ingress: [{from: [{ipBlock: {cidr: 10.0.0.0}}]}]", CIDR, INGRESS),
        ("ingress: [{from: [{ipBlock: {cidr: ten/8}}]}]", CIDR, INGRESS),
        (
            "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [x]}}]}]",
            "ingress[0].from[0].ipBlock.except[0]",
            INGRESS,
        ),
        (
            "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]",
            "ingress[0].from[0]",
            INGRESS,
        ),
        (
            "ingress: [{from: [{podSelector: {matchExpressions: [{key: a, operator: Is}]}}]}]",
            "ingress[0].from[0].podSelector.matchExpressions[0].operator",
            INGRESS,
        ),
        ("ingress: [{ports: [{port: 0}]}]", PORT, INGRESS),
        ("ingress: [{ports: [{port: 65536}]}]", PORT, INGRESS),
        ("ingress: [{ports: [{port: -1}]}]", PORT, INGRESS),
        ("ingress: [{ports: [{port: '80'}]}]", PORT, INGRESS),
        ("ingress: [{ports: [{port: [80]}]}]", PORT, INGRESS),
        ("ingress: [{ports: [{port: 9, endPort: 8}]}]", PORT, INGRESS),
        ("ingress: [{ports: [{port: http, endPort: 8}]}]", "ingress[0].ports[0].endPort", INGRESS),
        ("ingress: [{ports: [{endPort: 8}]}]", "ingress[0].ports[0].endPort", INGRESS),
        ("ingress: [{ports: [{protocol: tcp}]}]", "ingress[0].ports[0].protocol", INGRESS),
        ("ingress: {}", "ingress", INGRESS),
        ("egress: [{ports: [{port: 0}]}]", "egress[0].ports[0].port", BOTH),
        ("egress: {}", "egress", BOTH),
        ("policyTypes: [Egress], egress: [7]", "egress[0]", EGRESS),
        ("policyTypes: [Exgress]", "policyTypes[0]", BOTH),
        ("policyTypes: Ingress", "policyTypes", BOTH),
    ] {
        let spec = format!("{{podSelector: {{matchLabels: {{app: web}}}}, {spec}}}");
        let outcome = translated(&policy(&spec));
        let mut expected = vec![
            "set pods/x/{app=web} [10.0.0.1/32]",
            "policy networkpolicy/x/p Network 0 on pods/x/{app=web}",
        ];
        expected.extend(directions);
        assert_eq!(lines(&outcome), expected, "{spec}");
        check(&outcome, Effect::PodsIsolated, &format!("spec.{field}"), &spec);
    }
}

#[test]
fn a_policy_whose_selector_cannot_be_read_changes_nothing() {
    for (spec, field) in [
        ("{podSelector: {matchExpressions: [{key: a, operator: Is}]}}", "spec.podSelector."),
        ("{podSelector: web}", "spec.podSelector"),
        ("web", "spec"),
    ] {
        let outcome = translated(&policy(spec));
        assert_eq!(lines(&outcome), [""; 0], "{spec}");
        assert_eq!(outcome.problems[0].effect, Effect::LeftOut, "{spec}");
        assert!(outcome.problems[0].field.starts_with(field), "{:?}", outcome.problems);
    }
}

#[test]
fn a_policy_keeps_its_last_form() {
    let good = policy("{ingress: [{ports: [{port: 80}]}]}");
    let bad = policy("{ingress: [{ports: [{port: 0}]}]}");
    let unreadable = policy("7");
    let mut translator = cluster();
    translator.apply(upserts(&good));
    for bad in [&bad, &unreadable] {
        let outcome = translator.apply(upserts(bad));
        assert_eq!(lines(&outcome), [""; 0]);
        assert_eq!(outcome.problems[0].effect, Effect::LastFormKept);
        assert_eq!(translator.problems().count(), 1);
    }
    // What is gone has no last form.
    translator.apply(removes(&good));
    assert_eq!(translator.problems().count(), 0);
    let outcome = translator.apply(upserts(&bad));
    assert_eq!(outcome.problems[0].effect, Effect::PodsIsolated);
    // What isolated its pods is no form to go back to, and what is right again is no problem.
    let outcome = translator.apply(upserts(&unreadable));
    assert_eq!(outcome.problems[0].effect, Effect::LeftOut);
    let outcome = translator.apply(upserts(&good));
    assert_eq!(outcome.problems, []);
    assert_eq!(translator.problems().count(), 0);
}

#[test]
fn exceptions_outside_their_block_are_reported() {
    let spec = "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8,
        except: [192.0.2.0/24, 'fd00::/8', 10.1.0.0/16]}}]}]}";
    let outcome = translated(&policy(spec));
    assert!(lines(&outcome)[0].starts_with("set cidr/10.0.0.0/8-10.1.0.0/16 "));
    let fields: Vec<_> = outcome.problems.iter().map(|it| it.field.as_str()).collect();
    let field = |index: usize| format!("spec.ingress[0].from[0].ipBlock.except[{index}]");
    assert_eq!(fields, [field(0), field(1)]);
    assert!(outcome.problems.iter().all(|it| it.effect == Effect::FieldIgnored));
}

#[test]
fn cluster_policies_deny_everything_where_they_have_rules() {
    let ok = "{action: Accept, from: [{namespaces: {}}]}";
    for (tier, priority, ingress, field, expected) in [
        ("Admin", "5", "{action: Allow, from: [{namespaces: {}}]}", "ingress[0].action", "Admin 5"),
        ("Baseline", "5", "7", "ingress[0]", "Baseline 5"),
        ("Admin", "1001", ok, "priority", "Admin 0"),
        ("Baseline", "-1", ok, "priority", "Baseline 0"),
        ("Base", "7", ok, "tier", "Admin 7"),
        (
            "Admin",
            "5",
            "{action: Deny, from: [{namespaces: {}}],
              protocols: [{tcp: {destinationPort: {number: 0}}}]}",
            "ingress[0].protocols[0].tcp.destinationPort.number",
            "Admin 5",
        ),
        (
            "Admin",
            "5",
            "{action: Deny, from: [{namespaces: {matchExpressions: [{key: a, operator: In}]}}]}",
            "ingress[0].from[0].namespaces.matchExpressions[0].values",
            "Admin 5",
        ),
    ] {
        let spec = format!(
            "tier: {tier}, priority: {priority}, subject: {{namespaces: {{matchLabels: \
             {{team: b}}}}}}, ingress: [{ingress}]"
        );
        let outcome = translated(&cluster_policy(&spec));
        let expected = [
            "set pods/{team=b}/{} [10.0.1.1/32, fd00::1/128]".to_owned(),
            format!("policy clusternetworkpolicy/p {expected} on pods/{{team=b}}/{{}}"),
            " ingress unusable: Deny * *".to_owned(),
        ];
        assert_eq!(lines(&outcome), expected, "{spec}");
        check(&outcome, Effect::PodsIsolated, &format!("spec.{field}"), &spec);
    }
}

#[test]
fn a_cluster_policy_without_a_subject_changes_nothing() {
    for subject in ["{}", "{namespaces: {}, pods: {}}", "{namespaces: x}", "all"] {
        let spec = format!(
            "tier: Admin, priority: 1, subject: {subject}, \
             ingress: [{{action: Deny, from: [{{namespaces: {{}}}}]}}]"
        );
        let outcome = translated(&cluster_policy(&spec));
        assert_eq!(lines(&outcome), [""; 0], "{spec}");
        assert_eq!(outcome.problems.len(), 1, "{spec}");
        assert_eq!(outcome.problems[0].effect, Effect::LeftOut, "{spec}");
    }
}

#[track_caller]
fn check(outcome: &Outcome, effect: Effect, field: &str, case: &str) {
    let [problem] = outcome.problems.as_slice() else { panic!("{case}: {:?}", outcome.problems) };
    assert_eq!((problem.effect, problem.field.as_str()), (effect, field), "{case}");
}

fn cluster_policy(spec: &str) -> String {
    format!(
        "{{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, \
         metadata: {{name: p}}, spec: {{{spec}}}}}"
    )
}

const CIDR: &str = "ingress[0].from[0].ipBlock.cidr";
const PORT: &str = "ingress[0].ports[0].port";
const INGRESS: &[&str] = &[" ingress nothing"];
const EGRESS: &[&str] = &[" egress nothing"];
const BOTH: &[&str] = &[" ingress nothing", " egress nothing"];
