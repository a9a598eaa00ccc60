//! The agent, as far as it gets without a kernel.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::PathBuf,
};

use crate::program::{Run, says, zonegate};

/// A place for an agent's files, and its configuration.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs an agent that keeps to this place; `more` is added to its configuration.
    fn agent(&self, more: &str, flags: &[&str]) -> Run {
        let text = format!(
            "socket = '{}'\nstate_dir = '{}'\n{more}\n[kernel]\nbpffs = '{}'\n",
            self.path("run/zonegate.sock").display(),
            self.path("state").display(),
            self.path("bpffs").display()
        );
        fs::write(self.path("agent.toml"), text).unwrap();
        let config = self.path("agent.toml");
        zonegate(&[&["agent", "--config", config.to_str().unwrap()], flags].concat())
    }
}

#[test]
fn a_wrong_configuration_ends_with_2_and_names_the_line() {
    let place = Place::new();
    let complaint = place.agent("sokcet = '/x'", &[]).failure(2);
    says(&complaint, &["agent.toml", "line 3", "`sokcet`"]);
    let complaint = zonegate(&["agent", "--config", "/nonexistent.toml"]).failure(2);
    says(&complaint, &["cannot read /nonexistent.toml"]);
}

#[test]
fn a_directory_of_manifests_that_is_not_there_is_named() {
    let place = Place::new();
    let missing = place.path("missing");
    let name = missing.to_str().unwrap();
    let complaint = place.agent("", &["--manifests", name]).failure(1);
    says(&complaint, &["cannot read the directory of manifests", name, "No such file"]);
    let complaint = place.agent(&format!("manifests = '{name}'"), &[]).failure(1);
    says(&complaint, &[name]);
    assert!(!place.path("bpffs").exists() && !place.path("run").exists());
}

#[test]
fn teardown_with_nothing_there_succeeds_and_makes_nothing() {
    let place = Place::new();
    let report = place.agent("", &["--teardown"]).success();
    says(&report, &["no datapath is left in", "bpffs"]);
    let elsewhere = place.path("elsewhere");
    let report = place.agent("", &["--teardown", "--bpffs", elsewhere.to_str().unwrap()]);
    says(&report.success(), &["elsewhere"]);
    for name in ["run", "state", "bpffs", "elsewhere"] {
        assert!(!place.path(name).exists(), "{name}");
    }
}

#[test]
fn a_directory_in_which_others_could_replace_the_socket_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path("run")).unwrap();
    fs::set_permissions(place.path("run"), fs::Permissions::from_mode(0o775)).unwrap();
    says(&place.agent("", &[]).failure(1), &["has mode 0775", "chmod go-w"]);
    assert!(!place.path("bpffs").exists() && !place.path("run/zonegate.sock").exists());
}

#[test]
fn a_second_agent_is_refused_before_it_changes_anything() {
    let place = Place::new();
    fs::create_dir(place.path("run")).unwrap();
    let _first = UnixListener::bind(place.path("run/zonegate.sock")).unwrap();
    says(&place.agent("", &[]).failure(1), &["another agent answers on"]);
    assert!(place.path("run/zonegate.sock").exists() && !place.path("bpffs").exists());
}
