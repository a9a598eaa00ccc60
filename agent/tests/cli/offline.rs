//! What is said when no agent answers, or none needs to.

use std::{fs, os::unix::net::UnixListener, path::Path};

use crate::program::{says, zonegate, zonegate_at, zonegate_with};

const NOWHERE: &str = "/nonexistent/zonegate.sock";

#[test]
fn help_and_version_need_no_agent() {
    let help = zonegate(&["--help"]).success();
    says(&help, &["agent", "apply", "delete", "get", "status", "flows", "--socket"]);
    says(
        &zonegate(&["agent", "--help"]).success(),
        &["--teardown", "--xdp-generic", "--uplink", "--manifests"],
    );
    assert!(zonegate(&["--version"]).success().starts_with("zonegate 0."));
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    for (arguments, part) in [
        (&[][..], "Usage"),
        (&["aply"], "unrecognized subcommand 'aply'"),
        (&["get"], "<WHAT>"),
        (&["get", "pods"], "the kinds are Node, Workload, AddressSet"),
        (&["get", "node", "n1", "--owner", "cli"], "--owner"),
        (&["get", "node", "-o", "xml"], "possible values: table, yaml, json"),
        (&["apply"], "--filename"),
        (&["delete", "node"], "<NAMES>"),
        (&["flows"], "list"),
        (&["flows", "list", "--limit", "0"], "0 is not in"),
        (&["agent", "--no-such-flag"], "--no-such-flag"),
    ] {
        says(&zonegate(arguments).failure(2), &[part]);
    }
}

#[test]
fn an_agent_that_is_not_there_ends_with_3() {
    for arguments in
        [&["status"][..], &["get", "services"], &["delete", "node", "n1"], &["flows", "list"]]
    {
        let complaint = zonegate_at(Path::new(NOWHERE), arguments).failure(3);
        says(&complaint, &["cannot reach the agent at /nonexistent/zonegate.sock: No such file"]);
        assert!(complaint.ends_with("; is it running?\n"), "{complaint}");
    }
}

#[test]
fn the_option_goes_over_the_environment() {
    let complaint = zonegate_at(Path::new(NOWHERE), &["status", "--socket", "/nowhere/else"]);
    says(&complaint.failure(3), &["/nowhere/else"]);
}

#[test]
fn a_socket_without_an_agent_behind_it_is_no_agent() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("zonegate.sock");
    drop(UnixListener::bind(&socket).unwrap());
    says(&zonegate_at(&socket, &["status"]).failure(3), &["Connection refused", "is it running?"]);
}

#[test]
fn what_is_wrong_with_a_file_is_said_without_an_agent() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shop.yaml");
    let file = path.to_str().unwrap();
    for (text, parts) in [
        ("kind: Node\nname: n1\n---\nkind: Nod\n", &["document 2", "unknown kind \"Nod\""][..]),
        ("kind: Node\nname: n1\nzoen: a\n", &["document 1", "`zoen`", "line 3"]),
        ("kind: [", &["document 1", "line 1"]),
        ("# nothing\n", &["nothing to do"]),
    ] {
        fs::write(&path, text).unwrap();
        let complaint = zonegate_at(Path::new(NOWHERE), &["apply", "-f", file]).failure(2);
        says(&complaint, parts);
    }
    let complaint = zonegate_at(Path::new(NOWHERE), &["apply", "-f", "/nonexistent.yaml"]);
    says(&complaint.failure(2), &["cannot read /nonexistent.yaml"]);
    let complaint = zonegate_with(Path::new(NOWHERE), &["apply", "-f", "-"], "kind: Nod\n");
    says(&complaint.failure(2), &["-, document 1"]);
    fs::write(&path, "kind: Node\nname: n1\n").unwrap();
    zonegate_at(Path::new(NOWHERE), &["apply", "-f", file]).failure(3);
}
