//! `apply` with Kubernetes objects.

use std::fs;

use crate::{
    program::{says, zonegate_at, zonegate_with},
    server::Server,
};

const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: web}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: client}}}]
";

fn pod(name: &str, app: &str, address: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{namespace: shop, name: {name}, labels: \
         {{app: {app}}}}}\nspec: {{nodeName: node-a, containers: []}}\nstatus: {{podIPs: [{{ip: \
         {address}}}]}}\n"
    )
}

fn shop() -> String {
    [POLICY, &pod("web-0", "web", "10.0.0.1"), &pod("client-0", "client", "10.0.0.2")].concat()
}

#[test]
fn objects_become_resources_in_one_transaction_with_others() {
    let server = Server::start();
    let text = format!("{{kind: Node, name: n1}}\n---{}", shop());
    let report = server.apply(&text, &[]).success();
    says(
        &report,
        &[
            "Node \"n1\" applied\n",
            "Workload \"shop/web-0\" applied\n",
            "Policy \"networkpolicy/shop/web\" applied\n",
            "AddressSet \"pods/shop/{app=client}\" applied\n",
            "revision 1: ",
        ],
    );
    says(&server.yaml("address-sets"), &["10.0.0.1/32", "10.0.0.2/32"]);
    says(&server.apply(&text, &[]).success(), &["revision 1: "]);
}

#[test]
fn objects_of_a_directory_are_one_transaction() {
    let server = Server::start();
    let directory = server.scratch().join("shop");
    fs::create_dir(&directory).unwrap();
    for (name, text) in [
        ("policy.yaml", POLICY),
        ("web.yml", &pod("web-0", "web", "10.0.0.1")),
        ("ignored.txt", "a: ["),
        (".ignored.yaml", "a: ["),
    ] {
        fs::write(directory.join(name), text).unwrap();
    }
    let report = server.run(&["apply", "-f", directory.to_str().unwrap()]).success();
    says(&report, &["Workload \"shop/web-0\" applied", "networkpolicy/shop/web", "revision 1: "]);
}

#[test]
fn what_goes_with_a_change_of_the_objects_goes() {
    let server = Server::start();
    server.apply(&shop(), &[]).success();
    let changed = shop().replace("matchLabels: {app: client}", "matchLabels: {app: other}");
    let report = server.apply(&changed, &[]).success();
    says(
        &report,
        &[
            "AddressSet \"pods/shop/{app=client}\" removed\n",
            "AddressSet \"pods/shop/{app=other}\"",
        ],
    );
    let done = changed.replace("10.0.0.2}]", "10.0.0.2}], phase: Succeeded");
    says(&server.apply(&done, &[]).success(), &["Workload \"shop/client-0\" removed\n"]);
}

#[test]
fn objects_that_were_forgotten_are_not_removed_by_accident() {
    let server = Server::start();
    server.apply("{kind: Node, name: n1}", &["--owner", "other"]).success();
    server.apply(&shop(), &[]).success();
    for flags in [&[][..], &["--dry-run"]] {
        let complaint = server.apply(POLICY, flags).failure(1);
        says(
            &complaint,
            &["Workload \"shop/client-0\" is not among them, nor 1 more", "--prune", "--owner"],
        );
    }
    says(&server.yaml("address-sets"), &["10.0.0.1/32", "10.0.0.2/32"]);
    let report = server.apply(POLICY, &["--prune"]).success();
    says(&report, &["Workload \"shop/web-0\" removed", "Workload \"shop/client-0\" removed"]);
    assert_eq!(server.yaml("workloads"), "");
    says(&server.yaml("nodes"), &["name: n1"]);
}

#[test]
fn resources_of_the_same_owner_are_not_removed_by_accident() {
    let server = Server::start();
    server.apply("{kind: AddressSet, name: web, prefixes: [10.0.0.0/8]}", &[]).success();
    says(&server.apply(&shop(), &[]).failure(1), &["AddressSet \"web\" is not among them"]);
    server.apply(&shop(), &["--owner", "kubernetes"]).success();
    says(&server.yaml("address-sets"), &["name: web", "pods/shop/{app=web}"]);
}

#[test]
fn an_object_that_cannot_be_used_is_reported_and_the_rest_is_applied() {
    let server = Server::start();
    let text = shop().replace(
        "{podSelector: {matchLabels: {app: client}}}]",
        "{ipBlock: {cidr: 192.0.2.0/99}}]",
    ) + &pod("bad", "web", "10.0.0.9").replace("node-a", "[7]");
    let run = server.apply(&text, &[]);
    says(
        &run.stderr,
        &[
            "zonegate: -:8:",
            "NetworkPolicy \"shop/web\", spec.ingress[0].from[0].ipBlock.cidr",
            "(the pods it selects are isolated)",
            "Pod \"shop/bad\", spec.nodeName: ",
            "(the object is left out)",
        ],
    );
    let report = run.success();
    says(
        &report,
        &["Workload \"shop/web-0\" applied", "Policy \"networkpolicy/shop/web\" applied"],
    );
    assert!(!report.contains("shop/bad"), "{report}");

    // Nothing can be made of it, so what was made of it before has to be given up by name.
    let unreadable = text.replace("nodeName: node-a, containers: []", "nodeName: [7]");
    let complaint = server.apply(&unreadable, &[]).failure(1);
    says(&complaint, &["is not among them, nor 1 more"]);
}

#[test]
fn nothing_is_sent_of_files_that_cannot_be_read() {
    let nowhere = std::path::Path::new("/nonexistent/zonegate.sock");
    let twice = [shop(), pod("web-0", "web", "10.0.0.3")].concat();
    for (text, parts) in [
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {nmae: x}\n",
            &["-, document 1: metadata.name: is missing at line 3"][..],
        ),
        (&twice, &["Pod \"shop/web-0\" was given before, in -"]),
        (
            "apiVersion: apps/v1\nkind: Deployment\n",
            &["Deployment of apps/v1 is not a kind that is read; passed over", "nothing to do"],
        ),
    ] {
        says(&zonegate_with(nowhere, &["apply", "-f", "-"], text).failure(2), parts);
    }
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.yaml"), POLICY).unwrap();
    fs::write(directory.path().join("b.yaml"), "a: [").unwrap();
    let path = directory.path().to_str().unwrap();
    says(&zonegate_at(nowhere, &["apply", "-f", path]).failure(2), &["b.yaml, document 1", "line"]);
}

#[test]
fn an_agent_that_holds_wants_all_objects() {
    let server = Server::holding();
    says(
        &server.apply(&shop(), &[]).failure(1),
        &["a complete REPLACE snapshot is needed", "--prune"],
    );
    server.apply(&shop(), &["--prune"]).success();
    says(&server.yaml("policies"), &["networkpolicy/shop/web"]);
}
