use super::*;
use crate::model::{Key, Kind};

const ISOLATE_WEB: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: web}
spec: {podSelector: {matchLabels: {app: web}}}
";

fn pod(name: &str, address: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{namespace: shop, name: {name}}}\n\
         spec: {{nodeName: n1, containers: []}}\nstatus: {{podIPs: [{{ip: {address}}}]}}\n"
    )
}

fn contents(files: &[(&str, &str)]) -> Contents {
    files.iter().map(|(name, text)| ((*name).to_owned(), Ok((*text).to_owned()))).collect()
}

/// What an outcome does, such as `+Workload "shop/a"`.
fn changes(outcome: &Outcome) -> Vec<String> {
    let upserts = outcome.upserts.iter().map(|it| format!("+{}", it.key()));
    upserts.chain(outcome.removes.iter().map(|key| format!("-{key}"))).collect()
}

fn workloads(directory: &Directory) -> Vec<String> {
    let keys = directory.resources().map(Resource::key);
    keys.filter(|key| key.kind == Kind::Workload).map(|key| key.name).collect()
}

fn addresses(directory: &Directory, name: &str) -> Vec<String> {
    let workload = directory.resources().find_map(|resource| match resource {
        Resource::Workload(workload) if workload.name == name => Some(workload),
        _ => None,
    });
    workload.unwrap().addresses.iter().map(ToString::to_string).collect()
}

fn said(directory: &Directory) -> Vec<String> {
    directory.problems().iter().map(ToString::to_string).collect()
}

#[test]
fn only_what_is_different_is_told() {
    let mut directory = Directory::default();
    let (a, b) = (pod("a", "10.0.0.1"), pod("b", "10.0.0.2"));
    let both = [("1.yaml", &*a), ("2.json", &*b), ("policy.yaml", ISOLATE_WEB)];
    let first = directory.update(contents(&both));
    assert_eq!(changes(&first).len(), first.upserts.len());
    assert_eq!(workloads(&directory), ["shop/a", "shop/b"]);
    assert_eq!(changes(&directory.update(contents(&both))), [""; 0]);

    let moved = pod("b", "10.0.0.3");
    let outcome = directory.update(contents(&[both[0], ("2.json", &moved), both[2]]));
    assert_eq!(changes(&outcome), ["+Workload \"shop/b\""]);
    let outcome = directory.update(contents(&[both[0], both[2]]));
    assert_eq!(changes(&outcome), ["-Workload \"shop/b\""]);
    assert_eq!(said(&directory), [""; 0]);
}

#[test]
fn a_file_may_have_many_documents_and_lists() {
    let mut directory = Directory::default();
    let list = "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {namespace: shop, name: c}\n  \
                spec: {nodeName: n1, containers: []}\n  status: {podIP: 10.0.0.3}\n";
    let text = [&pod("a", "10.0.0.1"), &pod("b", "10.0.0.2"), "---\n", list].concat();
    directory.update(contents(&[("all.yaml", &text)]));
    assert_eq!(workloads(&directory), ["shop/a", "shop/b", "shop/c"]);
}

#[test]
fn an_object_that_moves_between_files_in_one_change_stays_as_it_is() {
    let mut directory = Directory::default();
    let (a, b) = (pod("a", "10.0.0.1"), pod("b", "10.0.0.2"));
    directory.update(contents(&[("1.yaml", &[&*a, &*b].concat()), ("2.yaml", "")]));
    let outcome = directory.update(contents(&[("1.yaml", &a), ("2.yaml", &b)]));
    assert_eq!(changes(&outcome), [""; 0]);
    let outcome = directory.update(contents(&[("3.yaml", &[&*a, &*b].concat())]));
    assert_eq!(changes(&outcome), [""; 0]);
}

#[test]
fn a_broken_file_keeps_its_last_good_objects_and_the_others_go_on() {
    let mut directory = Directory::default();
    let (a, b) = (pod("a", "10.0.0.1"), pod("b", "10.0.0.2"));
    directory.update(contents(&[("1.yaml", &a), ("2.yaml", &b)]));
    for (broken, parts) in [
        ("a: 1\nb: [\n", ["2.yaml:3:", "the file's last good objects hold"]),
        (
            "apiVersion: v1\nkind: Pod\nmetadata:\n  nmae: b\n",
            ["2.yaml:4:", "metadata.name: is missing"],
        ),
    ] {
        let moved = pod("a", "10.0.0.9");
        let outcome = directory.update(contents(&[("1.yaml", &moved), ("2.yaml", broken)]));
        assert_eq!(changes(&outcome), ["+Workload \"shop/a\""], "{broken}");
        let [said] = &said(&directory)[..] else { panic!("{broken}") };
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        directory.update(contents(&[("1.yaml", &a), ("2.yaml", broken)]));
        assert_eq!(workloads(&directory), ["shop/a", "shop/b"]);
    }
    let gone = Contents::from([("2.yaml".to_owned(), Err("Permission denied".to_owned()))]);
    directory.update(gone);
    assert_eq!(workloads(&directory), ["shop/b"]);
    assert_eq!(said(&directory), ["2.yaml: Permission denied (the file's last good objects hold)"]);
    assert_eq!(changes(&directory.update(Contents::new())), ["-Workload \"shop/b\""]);
    assert_eq!(said(&directory), [""; 0]);
}

#[test]
fn a_file_that_was_never_good_is_known_as_such() {
    let mut directory = Directory::default();
    directory.update(contents(&[("1.yaml", "a: ["), ("2.yaml", "")]));
    assert_eq!(directory.unknown(|_| false), ["1.yaml"]);
    assert!(said(&directory)[0].ends_with("(nothing of the file holds)"));
    directory.update(contents(&[("1.yaml", ""), ("2.yaml", "")]));
    assert!(directory.unknown(|_| true).is_empty());
}

#[test]
fn a_service_that_cannot_be_used_had_a_form() {
    let mut directory = Directory::default();
    let service = |address: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: Service, metadata: {{namespace: shop, name: web}}, \
             spec: {{clusterIP: {address}, ports: [{{port: 80}}]}}}}\n"
        )
    };
    let web = Key { kind: Kind::Service, name: "shop/web".to_owned() };
    directory.update(contents(&[("1.yaml", &service("ten")), ("2.yaml", "")]));
    assert_eq!(directory.unknown(|key| *key == web), ["1.yaml"]);
    assert!(directory.unknown(|_| false).is_empty());
    // Whoever has seen it used knows what it was.
    directory.update(contents(&[("1.yaml", &service("10.96.0.1")), ("2.yaml", "")]));
    directory.update(contents(&[("1.yaml", &service("ten")), ("2.yaml", "")]));
    assert!(directory.unknown(|_| true).is_empty());
}

#[test]
fn an_object_that_cannot_be_read_keeps_its_form_and_the_rest_goes_on() {
    let mut directory = Directory::default();
    let wrong = pod("a", "10.0.0.9").replace("nodeName: n1", "nodeName: 7");
    let text = [wrong.clone(), pod("b", "10.0.0.2")].concat();
    directory.update(contents(&[("1.yaml", &text)]));
    assert_eq!(workloads(&directory), ["shop/b"], "it never had another form");
    let web = Key { kind: Kind::Workload, name: "shop/a".to_owned() };
    assert_eq!(directory.unknown(|key| *key == web), ["1.yaml"]);
    assert!(directory.unknown(|_| false).is_empty());
    let [problem] = &directory.problems()[..] else { panic!() };
    assert_eq!((problem.file.as_str(), problem.line), ("1.yaml", 5));
    assert_eq!(
        (problem.object.as_str(), problem.field.as_str()),
        ("Pod \"shop/a\"", "spec.nodeName")
    );
    assert_eq!(problem.effect, "the object is left out");

    directory.update(contents(&[("1.yaml", &pod("a", "10.0.0.1"))]));
    directory.update(contents(&[("1.yaml", &text)]));
    assert_eq!(workloads(&directory), ["shop/a", "shop/b"]);
    assert_eq!(addresses(&directory, "shop/a"), ["10.0.0.1"]);
    assert_eq!(directory.problems()[0].effect, "its last accepted form holds");
    directory.update(contents(&[("1.yaml", "")]));
    assert_eq!(workloads(&directory), [""; 0]);
}

#[test]
fn a_policy_that_cannot_be_used_keeps_its_form_and_is_named_with_its_line() {
    let mut directory = Directory::default();
    let wrong = format!("{ISOLATE_WEB}  ").replace(
        "spec: {podSelector: {matchLabels: {app: web}}}",
        "spec:\n  podSelector: {}\n  ingress:\n  - ports:\n    - {port: 1}\n    - {port: 70000}\n",
    );
    let policies = |directory: &Directory| {
        let of = |it: &&Resource| matches!(it, Resource::Policy(_));
        directory.resources().filter(of).cloned().collect::<Vec<_>>()
    };
    directory.update(contents(&[("p.yaml", ISOLATE_WEB)]));
    let before = policies(&directory);
    directory.update(contents(&[("p.yaml", &wrong)]));
    assert_eq!(policies(&directory), before);
    let [problem] = &directory.problems()[..] else { panic!() };
    assert_eq!((problem.line, problem.object.as_str()), (10, "NetworkPolicy \"shop/web\""));
    assert_eq!(problem.field, "spec.ingress[0].ports[1].port");
    assert_eq!(problem.effect, "its last accepted form holds");
}

#[test]
fn of_two_files_with_one_object_the_first_has_it() {
    let mut directory = Directory::default();
    let (first, second) = (pod("a", "10.0.0.1"), pod("a", "10.0.0.2"));
    directory.update(contents(&[("2.yaml", &second)]));
    assert_eq!(addresses(&directory, "shop/a"), ["10.0.0.2"]);
    directory.update(contents(&[("1.yaml", &first), ("2.yaml", &second)]));
    assert_eq!(addresses(&directory, "shop/a"), ["10.0.0.1"]);
    assert_eq!(
        said(&directory),
        ["2.yaml:2:1: Pod \"shop/a\": 1.yaml:2 has the same object (the object is left out)"]
    );
    directory.update(contents(&[("2.yaml", &second)]));
    assert_eq!(addresses(&directory, "shop/a"), ["10.0.0.2"]);
    assert_eq!(said(&directory), [""; 0]);

    directory.update(contents(&[("2.yaml", &[first, second].concat())]));
    assert_eq!(addresses(&directory, "shop/a"), ["10.0.0.1"]);
    assert_eq!(
        said(&directory),
        ["2.yaml:8:1: Pod \"shop/a\": 2.yaml:2 has the same object (the object is left out)"]
    );
}

#[test]
fn an_object_that_stays_may_change_all_that_refers_to_it() {
    let mut directory = Directory::default();
    let web = pod("a", "10.0.0.1").replace("name: a", "name: a, labels: {app: web}");
    directory.update(contents(&[("pods.yaml", &web), ("policy.yaml", ISOLATE_WEB)]));
    let sets = |outcome: &Outcome| {
        let keys = outcome.upserts.iter().map(Resource::key);
        keys.filter(|key: &Key| key.kind == Kind::AddressSet).count()
    };
    let outcome = directory.update(contents(&[("policy.yaml", ISOLATE_WEB)]));
    assert_eq!(sets(&outcome), 1, "the set of the policy's pods lost one: {outcome:?}");
}
