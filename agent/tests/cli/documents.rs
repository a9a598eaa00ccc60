//! What the documents show works.

use crate::server::Server;

const RESOURCES: &str = include_str!("../../../docs/resources.md");

/// The fenced blocks of a language.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    let after = document.split(&opening).skip(1);
    after.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
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
