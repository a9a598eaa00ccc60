//! An agent that follows a directory, with the real watcher.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use zonegate::store::Limits;

use crate::{program::says, server::Server};

const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: web}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{ipBlock: {cidr: 192.0.2.0/24}}]
";

fn pod(name: &str, address: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{namespace: shop, name: {name}, labels: {{app: \
         web}}}}\nspec: {{nodeName: node-a, containers: []}}\nstatus: {{podIPs: [{{ip: \
         {address}}}]}}\n"
    )
}

/// A directory to follow.
struct Manifests(tempfile::TempDir);

impl Manifests {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("followed")).unwrap();
        Self(directory)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("followed")
    }

    /// As editors do it: the file is there as a whole, or not at all.
    fn put(&self, name: &str, text: &str) {
        put(&self.path(), name, text);
    }
}

fn put(directory: &Path, name: &str, text: &str) {
    let new = directory.join(format!(".{name}.new"));
    fs::write(&new, text).unwrap();
    fs::rename(new, directory.join(name)).unwrap();
}

fn ready(server: &Server) -> String {
    server.until(&["status"], |said| said.contains("ready      yes"))
}

#[test]
fn every_change_of_the_directory_becomes_one_of_the_agent() {
    let manifests = Manifests::new();
    manifests.put("pods.yaml", &pod("web-0", "10.0.0.1"));
    manifests.put("policy.yml", POLICY);
    let server = Server::following(&manifests.path());
    let status = ready(&server);
    says(&status, &["revision   1 of", "manifests"]);
    assert!(!status.contains("PROBLEMS"), "{status}");
    says(&server.yaml("policies"), &["# owner manifests", "networkpolicy/shop/web"]);
    says(&server.yaml("workloads"), &["name: shop/web-0", "node: node-a"]);

    let both = format!("{}---\n{}", pod("web-0", "10.0.0.7"), pod("web-1", "10.0.0.2"));
    manifests.put("pods.yaml", &both);
    let workloads = ["get", "workloads"];
    let said = server.until(&workloads, |said| said.contains("10.0.0.7"));
    says(&said, &["shop/web-1"]);
    says(&server.run(&["status"]).success(), &["revision   2 of"]);

    fs::remove_file(manifests.path().join("policy.yml")).unwrap();
    server.until(&["get", "policies", "-o", "yaml"], str::is_empty);
    fs::remove_file(manifests.path().join("pods.yaml")).unwrap();
    server.until(&["get", "workloads", "-o", "yaml"], str::is_empty);
    says(&server.run(&["status"]).success(), &["4 accepted, 0 refused, 0 failed"]);
}

#[test]
fn a_broken_file_is_named_and_keeps_its_objects() {
    let manifests = Manifests::new();
    manifests.put("policy.yaml", POLICY);
    let server = Server::following(&manifests.path());
    ready(&server);
    manifests.put(
        "policy.yaml",
        &POLICY.replace("  name: web", "  nmae: web").replace("name: web}", "nmae: web}"),
    );
    let status = server.until(&["status"], |said| said.contains("PROBLEMS"));
    let line = "manifests: policy.yaml:4:11: metadata.name: is missing (the file's last good \
                objects hold)";
    says(&status, &[line, "ready      yes"]);
    says(&server.yaml("policies"), &["networkpolicy/shop/web"]);
    let json = server.run(&["status", "-o", "json"]).success();
    says(&json, &["\"source\": \"manifests\"", "\"file\": \"policy.yaml\"", "\"line\": 4"]);

    manifests.put("pods.yaml", &pod("web-0", "10.0.0.1"));
    server.until(&["get", "workloads"], |said| said.contains("10.0.0.1"));
    manifests.put("policy.yaml", POLICY);
    server.until(&["status"], |said| !said.contains("PROBLEMS"));
}

#[test]
fn a_policy_that_cannot_be_used_isolates_its_pods_and_the_rest_is_committed() {
    let manifests = Manifests::new();
    manifests.put("pods.yaml", &pod("web-0", "10.0.0.1"));
    manifests.put("policy.yaml", &POLICY.replace("192.0.2.0/24", "192.0.2.0/99"));
    let server = Server::following(&manifests.path());
    let status = ready(&server);
    let status = match status.contains("PROBLEMS") {
        true => status,
        false => server.until(&["status"], |said| said.contains("PROBLEMS")),
    };
    says(
        &status,
        &[
            "policy.yaml:8:",
            "NetworkPolicy \"shop/web\", spec.ingress[0].from[0].ipBlock.cidr",
            "(the pods it selects are isolated)",
        ],
    );
    says(&server.yaml("policies"), &["networkpolicy/shop/web"]);
    says(&server.yaml("workloads"), &["shop/web-0"]);
}

#[test]
fn what_the_store_refuses_is_sent_again_with_the_next_change() {
    let manifests = Manifests::new();
    let limits = Limits { addresses_per_workload: 1, ..Limits::default() };
    let server = Server::following_within(&manifests.path(), limits);
    ready(&server);
    let two = pod("web-0", "10.0.0.1").replace("10.0.0.1}", "10.0.0.1}, {ip: 10.0.0.2}");
    manifests.put("1.yaml", &format!("{two}---\n{}", pod("web-1", "10.0.0.3")));
    let status = server.until(&["status"], |said| said.contains("PROBLEMS"));
    says(&status, &["Workload \"shop/web-0\", addresses", "nothing of the last change holds"]);
    assert_eq!(server.yaml("workloads"), "");

    manifests.put("2.yaml", POLICY);
    server.until(&["status"], |said| said.contains("2 refused"));
    manifests
        .put("1.yaml", &format!("{}---\n{}", pod("web-0", "10.0.0.1"), pod("web-1", "10.0.0.3")));
    let workloads = server.until(&["get", "workloads"], |said| said.contains("10.0.0.1"));
    says(&workloads, &["shop/web-1"]);
    says(&server.yaml("policies"), &["networkpolicy/shop/web"]);
    server.until(&["status"], |said| !said.contains("PROBLEMS"));
}

#[test]
fn a_volume_of_kubernetes_is_followed_through_its_links() {
    let manifests = Manifests::new();
    let at = |name: &str| manifests.path().join(name);
    for (version, address) in [("..v1", "10.0.0.1"), ("..v2", "10.0.0.2")] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("pods.yaml"), pod("web-0", address)).unwrap();
    }
    symlink("..v1", at("..data")).unwrap();
    symlink("..data/pods.yaml", at("pods.yaml")).unwrap();
    let server = Server::following(&manifests.path());
    ready(&server);
    says(&server.yaml("workloads"), &["10.0.0.1"]);
    symlink("..v2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    server.until(&["get", "workloads"], |said| said.contains("10.0.0.2"));
}

#[test]
fn a_directory_that_vanishes_keeps_its_objects_until_there_is_one_again() {
    let manifests = Manifests::new();
    manifests.put("pods.yaml", &pod("web-0", "10.0.0.1"));
    let server = Server::following(&manifests.path());
    ready(&server);
    fs::rename(manifests.path(), manifests.0.path().join("elsewhere")).unwrap();
    let status = server.until(&["status"], |said| said.contains("PROBLEMS"));
    says(&status, &["the directory cannot be read", "its last objects hold"]);
    says(&server.yaml("workloads"), &["10.0.0.1"]);

    fs::create_dir(manifests.path()).unwrap();
    manifests.put("pods.yaml", &pod("web-0", "10.0.0.2"));
    server.until(&["get", "workloads"], |said| said.contains("10.0.0.2"));
    server.until(&["status"], |said| !said.contains("PROBLEMS"));
    manifests.put("pods.yaml", &pod("web-0", "10.0.0.3"));
    server.until(&["get", "workloads"], |said| said.contains("10.0.0.3"));
}

#[test]
fn after_a_start_nothing_is_removed_for_a_file_that_is_broken() {
    let manifests = Manifests::new();
    manifests.put("pods.yaml", &pod("web-0", "10.0.0.1"));
    manifests.put("policy.yaml", POLICY);
    let server = Server::following(&manifests.path());
    ready(&server);
    manifests.put("policy.yaml", "a: [");
    manifests.put("pods.yaml", &pod("web-0", "10.0.0.2"));
    let server = server.rebooted(&manifests.path());
    let status = server.until(&["status"], |said| said.contains("PROBLEMS"));
    says(&status, &["policy.yaml:", "all that was held before the start holds", "ready      no"]);
    says(&server.yaml("policies"), &["networkpolicy/shop/web"]);
    says(&server.yaml("workloads"), &["10.0.0.1"]);
    manifests.put("policy.yaml", POLICY);
    ready(&server);
    says(&server.yaml("workloads"), &["10.0.0.2"]);

    // The same for an object that cannot be read, if something is held of it.
    let unreadable = |name: &str| pod(name, "10.0.0.3").replace("nodeName: node-a", "nodeName: []");
    manifests.put("pods.yaml", &unreadable("web-0"));
    let server = server.rebooted(&manifests.path());
    let status = server.until(&["status"], |said| said.contains("all that was held before"));
    says(&status, &["held before they were broken is not known: pods.yaml"]);
    says(&server.yaml("workloads"), &["10.0.0.2"]);
    manifests.put("pods.yaml", &unreadable("web-1"));
    let status = ready(&server);
    says(&status, &["Pod \"shop/web-1\", spec.nodeName", "left out"]);
    assert_eq!(server.yaml("workloads"), "");
}

#[test]
fn without_its_state_nothing_is_replaced_for_a_file_that_is_broken() {
    let manifests = Manifests::new();
    manifests.put("pods.yaml", &pod("web-0", "10.0.0.1"));
    manifests.put("policy.yaml", "a: [");
    let server = Server::holding_and_following(&manifests.path());
    let status = server.until(&["status"], |said| said.contains("PROBLEMS"));
    says(&status, &["policy.yaml:", "all that was held before the start holds", "ready      no"]);
    assert_eq!(server.yaml("workloads"), "");
    manifests.put("policy.yaml", POLICY);
    says(&ready(&server), &["revision   4 of"]);
    says(&server.yaml("workloads"), &["10.0.0.1"]);
}

#[test]
fn who_follows_a_directory_is_not_ready_before_its_first_commit() {
    let manifests = Manifests::new();
    let server = Server::following(&manifests.path().join("not-there-yet"));
    server.until(&["status"], |said| said.contains("PROBLEMS"));
    server.apply("{kind: Node, name: n1}", &[]).success();
    let status = server.run(&["status"]).success();
    says(&status, &["ready      no: nothing of the source \"manifests\" was committed"]);
    fs::create_dir(manifests.path().join("not-there-yet")).unwrap();
    ready(&server);
}

#[test]
fn the_owner_of_the_manifests_is_not_written_to_by_others() {
    let manifests = Manifests::new();
    manifests.put("pods.yaml", &pod("web-0", "10.0.0.1"));
    let server = Server::following(&manifests.path());
    ready(&server);
    let node = "{kind: Node, name: n1}";
    let complaint = server.apply(node, &["--owner", "manifests"]).failure(1);
    says(&complaint, &["owner \"manifests\"", "is live"]);

    // Who insists is undone by the next change.
    server.apply(node, &["--owner", "manifests", "--writer-epoch", "9"]).success();
    manifests.put("pods.yaml", &pod("web-0", "10.0.0.2"));
    server.until(&["status"], |said| said.contains("is over: it is at 9"));
    manifests.put("pods.yaml", &pod("web-0", "10.0.0.3"));
    server.until(&["get", "workloads"], |said| said.contains("10.0.0.3"));
    server.until(&["get", "nodes", "-o", "yaml"], str::is_empty);
}
