//! What the documents show works.

use crate::{program::says, server::Server};

const RESOURCES: &str = include_str!("../../../docs/resources.md");

/// The fenced blocks of a language.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    let after = document.split(&opening).skip(1);
    after.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

const MANIFESTS: &str = include_str!("../../../docs/manifests.md");

#[test]
fn the_documented_manifests_are_followed_and_can_be_applied() {
    let directory = tempfile::tempdir().unwrap();
    let text = blocks(MANIFESTS, "yaml").concat();
    std::fs::write(directory.path().join("shop.yaml"), &text).unwrap();
    let server = Server::following(directory.path());
    let status = server.until(&["status"], |said| said.contains("ready      yes"));
    assert!(!status.contains("PROBLEMS"), "{status}");
    let policies = server.yaml("policies");
    says(&policies, &["networkpolicy/shop/web", "8080"]);

    let other = Server::start();
    let run = other.apply(&text, &[]);
    assert_eq!(run.stderr, "");
    run.success();
    assert_eq!(other.yaml("policies"), policies.replace("owner manifests", "owner cli"));
}

#[test]
fn the_documented_resources_are_accepted_and_printed_back() {
    let server = Server::start();
    let manifest = blocks(RESOURCES, "yaml").join("---\n");
    let report = server.apply(&manifest, &[]).success();
    for kind in ["Node", "Workload", "AddressSet", "Policy", "BackendSet", "Service"] {
        assert!(report.lines().any(|line| line.starts_with(kind)), "no {kind} in {report}");
        assert!(!server.yaml(kind).is_empty(), "{kind}");
    }
}
