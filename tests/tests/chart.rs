//! The Helm chart, rendered by a real helm (`hack/kubernetes-binaries helm`).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, env, fs, path::Path, process::Command};

use serde_json::{Value, json};
use zonegate::{config::Config, documents};

/// The objects that a release `zonegate` consists of, by kind.
fn rendered(namespace: &str, settings: &[&str]) -> BTreeMap<String, Value> {
    let helm = env::var("HELM").expect("HELM names the program; hack/test-kubernetes sets it");
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/helm/zonegate");
    let mut command = Command::new(helm);
    command.args(["template", "zonegate"]).arg(chart).args(["--namespace", namespace]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    by_kind(&String::from_utf8(output.stdout).unwrap())
}

fn by_kind(text: &str) -> BTreeMap<String, Value> {
    let documents = documents::parse(text).unwrap();
    let values = documents.into_iter().map(|it| it.value).filter(|it| !it.is_null());
    values.map(|it| (it["kind"].as_str().unwrap().to_owned(), it)).collect()
}

/// Takes the agent's configuration out of the objects.
fn take_config(objects: &mut BTreeMap<String, Value>) -> String {
    let text = objects.get_mut("ConfigMap").unwrap()["data"]["agent.toml"].take();
    text.as_str().unwrap().to_owned()
}

#[test]
fn the_chart_is_the_manifests_by_default() {
    let mut chart = rendered("kube-system", &[]);
    let rbac = include_str!("../../deploy/kubernetes/rbac.yaml");
    let daemonset = include_str!("../../deploy/kubernetes/daemonset.yaml");
    let mut plain = by_kind(rbac);
    plain.append(&mut by_kind(daemonset));
    let [of_chart, of_plain] = [&mut chart, &mut plain].map(take_config);
    let table = |text: &str| text.parse::<toml::Table>().unwrap();
    assert_eq!(table(&of_chart), table(&of_plain));
    // What has pods follow the configuration is the chart's alone.
    let template = &mut chart.get_mut("DaemonSet").unwrap()["spec"]["template"]["metadata"];
    let annotations = template.as_object_mut().unwrap().remove("annotations").unwrap();
    assert_eq!(annotations["checksum/config"].as_str().unwrap().len(), 64);
    assert_eq!(chart, plain);
}

#[test]
fn values_are_where_they_belong() {
    let mut chart = rendered(
        "network",
        &[
            "image.repository=registry.example/zonegate",
            "image.tag=1.2",
            "apiserver.host=192.0.2.1",
            "log=debug",
            "config.services.clusterip_from_outside=refuse",
            "config.kernel.flow4_buckets=16777216",
            "config.kernel.uplinks={eth1,bond0}",
            "config.kernel.clsact=true",
            "config.kernel.tables.backends=77",
            "config.kubernetes.healthz=127.0.0.1:10256",
            "nodeSelector.disk=ssd",
            "tolerations=null",
            "resources.requests.cpu=100m",
            "podAnnotations.note=here",
        ],
    );
    let config = take_config(&mut chart);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &config).unwrap();
    let config =
        Config::load(Some(file.path())).unwrap_or_else(|error| panic!("{error}\n{config}"));
    assert_eq!(config.kernel.flow4_buckets, Some(16_777_216));
    assert_eq!(config.kernel.uplinks, ["eth1", "bond0"]);
    assert_eq!(config.kernel.workload_interfaces.len(), 1, "defaults stay beside what is set");
    assert!(config.kernel.clsact);
    assert_eq!(config.kernel.tables.backends, 77);
    assert_eq!(config.kubernetes.unwrap().healthz, Some(([127, 0, 0, 1], 10256).into()));

    for (kind, object) in &chart {
        let namespace = &object["metadata"]["namespace"];
        let expected = if kind.starts_with("Cluster") { Value::Null } else { json!("network") };
        assert_eq!(*namespace, expected, "{kind}");
    }
    assert_eq!(chart["ClusterRoleBinding"]["subjects"][0]["namespace"], "network");
    let template = &chart["DaemonSet"]["spec"]["template"];
    assert_eq!(template["metadata"]["annotations"]["note"], "here");
    let pod = &template["spec"];
    assert_eq!(pod["nodeSelector"], json!({ "disk": "ssd" }));
    assert_eq!(pod["tolerations"], Value::Null);
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "registry.example/zonegate:1.2");
    assert_eq!(container["resources"]["requests"]["cpu"], "100m");
    let environment = container["env"].as_array().unwrap();
    let value =
        |name: &str| environment.iter().find(|it| it["name"] == name).unwrap()["value"].clone();
    assert_eq!(value("KUBERNETES_SERVICE_HOST"), "192.0.2.1");
    assert_eq!(value("KUBERNETES_SERVICE_PORT"), "6443");
    assert_eq!(value("ZONEGATE_LOG"), "debug");
}
