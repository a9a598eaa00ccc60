//! `apply` and `delete`.

use crate::{program::says, server::Server};

const SHOP: &str = "
kind: AddressSet
name: web
prefixes: [10.0.1.0/24]
---
kind: BackendSet
name: shop
backends:
- {address: 10.0.1.1, port: 8080, zone: zone-a}
---
kind: Service
name: shop/web:80
frontends:
- {address: 10.96.0.1, port: 80, protocol: TCP}
backendSet: shop
preference: [NODE, ZONE, ANY]
";

#[test]
fn what_was_applied_is_printed_with_its_revision_and_times() {
    let server = Server::start();
    let report = server.apply(SHOP, &[]).success();
    says(
        &report,
        &[
            "AddressSet \"web\" applied\n",
            "BackendSet \"shop\" applied\n",
            "Service \"shop/web:80\" applied\n",
            "revision 1: compiled in ",
            ", visible to packets ",
        ],
    );
    says(&server.apply(SHOP, &[]).success(), &["revision 1: "]);
}

#[test]
fn files_are_one_transaction() {
    let server = Server::start();
    let documents: Vec<&str> = SHOP.split("---").collect();
    let files: Vec<String> = (0..documents.len())
        .map(|index| {
            // The service comes first: what it refers to may be anywhere in the transaction.
            let path = server.scratch().join(format!("{index}.yaml"));
            std::fs::write(&path, documents[documents.len() - 1 - index]).unwrap();
            path.to_str().unwrap().to_owned()
        })
        .collect();
    let report = server.run(&["apply", "-f", &files[0], "-f", &files[1], &files[2]]).success();
    says(&report, &["Service", "AddressSet", "revision 1: "]);
}

#[test]
fn refusals_name_resource_field_and_reason_and_nothing_is_applied() {
    let server = Server::start();
    let manifest = "{kind: AddressSet, name: web, prefixes: [10.0.0.0/8, 10.0.0.1/8]}\n---\n\
                    {kind: AddressSet, name: good, prefixes: [10.0.0.0/8]}\n---\n\
                    {kind: Service, name: s, frontends: [{address: 10.96.0.1, port: 99999, \
                    protocol: TCP}], backendSet: none}";
    let complaint = server.apply(manifest, &[]).failure(1);
    says(
        &complaint,
        &[
            "refused: AddressSet \"web\", prefixes[1]: ",
            "host bits",
            "refused: Service \"s\", frontends[0].port: ",
            "zonegate: nothing was applied",
        ],
    );
    assert!(!complaint.contains("\"good\""), "{complaint}");
    assert_eq!(server.yaml("address-sets"), "");
}

#[test]
fn a_dry_run_says_what_would_happen_and_changes_nothing() {
    let server = Server::start();
    let report = server.apply(SHOP, &["--dry-run"]).success();
    says(&report, &["Service \"shop/web:80\" applied (dry run)", "nothing was changed"]);
    assert_eq!(server.yaml("services"), "");
    let wrong = SHOP.replace("backendSet: shop", "backendSet: other");
    says(&server.apply(&wrong, &["--dry-run"]).failure(1), &["backend_set", "other"]);
}

#[test]
fn prune_removes_what_the_files_do_not_hold_and_only_of_this_owner() {
    let server = Server::start();
    server.apply("{kind: Node, name: foreign}", &["--owner", "other"]).success();
    server.apply(SHOP, &[]).success();
    let rest = "{kind: AddressSet, name: web, prefixes: [10.0.1.0/24]}";
    let plan = server.apply(rest, &["--prune", "--dry-run"]).success();
    says(&plan, &["Service \"shop/web:80\" removed (dry run)"]);
    says(&server.yaml("services"), &["shop/web:80"]);
    let report = server.apply(rest, &["--prune"]).success();
    says(
        &report,
        &["BackendSet \"shop\" removed", "Service \"shop/web:80\" removed", "revision 3"],
    );
    assert_eq!(server.yaml("services"), "");
    says(&server.yaml("address-sets"), &["name: web"]);
    says(&server.yaml("nodes"), &["name: foreign"]);
    server.apply("", &["--prune"]).success();
    assert_eq!(server.yaml("address-sets"), "");
}

#[test]
fn an_agent_that_holds_wants_to_be_told_everything() {
    let server = Server::holding();
    let complaint = server.apply(SHOP, &[]).failure(1);
    says(&complaint, &["a complete REPLACE snapshot is needed", "--prune"]);
    says(&server.run(&["status"]).success(), &["ready      no: tables of an earlier agent"]);
    server.apply(SHOP, &["--prune"]).success();
    says(&server.run(&["status"]).success(), &["ready      yes"]);
    let next = "{kind: Node, name: n1}";
    server.apply(next, &[]).success();
}

#[test]
fn anothers_resource_is_not_touched() {
    let server = Server::start();
    server.apply("{kind: Node, name: n1, zone: a}", &["--owner", "controller"]).success();
    let complaint = server.apply("{kind: Node, name: n1, zone: b}", &[]).failure(1);
    says(&complaint, &["refused: Node \"n1\"", "controller"]);
    says(&server.run(&["delete", "node", "n1"]).failure(1), &["refused: Node \"n1\""]);
    server.run(&["delete", "node", "n1", "--owner", "controller"]).success();
}

#[test]
fn a_writer_of_an_older_epoch_is_fenced_off() {
    let server = Server::start();
    server.apply("{kind: Node, name: n1}", &["--writer-epoch", "5"]).success();
    says(&server.apply("{kind: Node, name: n2}", &[]).failure(1), &["writer epoch 0", "is over"]);
}

#[test]
fn delete_removes_all_names_at_once_and_what_is_not_held_is_no_error() {
    let server = Server::start();
    server.apply(SHOP, &[]).success();
    says(&server.run(&["delete", "backend-set", "shop"]).failure(1), &["shop"]);
    let report = server.run(&["delete", "service", "shop/web:80", "absent"]).success();
    says(&report, &["Service \"shop/web:80\" removed", "revision 2"]);
    assert_eq!(server.yaml("services"), "");
}
