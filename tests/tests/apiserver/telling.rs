//! What the agent tells the cluster and its load balancers.

use serde_json::{Value, json};
use testbed::{
    bed::Bed,
    control_plane::{ControlPlane, definition},
};

use super::cluster::{
    agent, control_plane, eventually, node, rights, service, status, wait_until_ready,
};

/// Status and body of the node's answer at a port of kube-proxy's.
fn ask_at(bed: &Bed, port: u16, path: &str) -> (String, String) {
    let answer = bed
        .node()
        .netns()
        .shell(&format!("curl -sS -m 5 -w '\\n%{{http_code}}' http://127.0.0.1:{port}{path}"));
    let answer = answer.unwrap_or_default();
    let (body, status) = answer.trim().rsplit_once('\n').unwrap_or_default();
    (status.to_owned(), body.to_owned())
}

/// Of the node's health.
fn ask(bed: &Bed, path: &str) -> (String, Value) {
    let (status, body) = ask_at(bed, 10256, path);
    (status, serde_json::from_str(&body).unwrap_or_default())
}

#[test]
fn load_balancers_learn_that_a_node_leaves() {
    let bed = Bed::three_zones().unwrap();
    let plane = control_plane(&bed);
    let agent = agent(&bed, &plane);
    wait_until_ready(&agent);
    let healthz = || ask(&bed, "/healthz");
    let (code, body) = healthz();
    assert_eq!((&*code, &body["nodeEligible"]), ("200", &json!(true)));
    assert_eq!(ask(&bed, "/livez").0, "200");
    assert_eq!(ask_at(&bed, 10249, "/proxyMode"), ("200".to_owned(), "zonegate".to_owned()));

    let tainted = |key: &str| {
        let mut node = node(&bed);
        node["spec"] = json!({ "taints": [{ "key": key, "effect": "NoSchedule" }] });
        node
    };
    plane.apply(&tainted("ToBeDeletedByClusterAutoscaler")).unwrap();
    eventually("it is to be deleted", || healthz().0 == "503");
    assert_eq!(healthz().1["nodeEligible"], json!(false));
    assert_eq!(ask(&bed, "/livez").0, "200");
    plane.apply(&tainted("other")).unwrap();
    eventually("it is not any more", || healthz().0 == "200");

    let mut held = node(&bed);
    held["metadata"]["finalizers"] = json!(["zonegate.io/test"]);
    plane.apply(&held).unwrap();
    plane.begin_to_delete(&held).unwrap();
    eventually("it is being deleted", || healthz().0 == "503");
    held["metadata"]["finalizers"] = json!([]);
    held.as_object_mut().unwrap().remove("status");
    plane.apply(&held).unwrap();
    eventually("it is gone", || status(&agent).contains("which the cluster does not have"));
    assert_eq!(healthz().0, "503");
    plane.apply(&node(&bed)).unwrap();
    eventually("there is a new one", || healthz().0 == "200");
}

/// The events about an object, as reasons and notes.
fn events(plane: &ControlPlane, object: &Value) -> Vec<(String, String)> {
    let uid = plane.read(object).unwrap()["metadata"]["uid"].clone();
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
    let events = plane.list("events.k8s.io/v1", "Event", namespace).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events = events.iter().filter(|it| it["regarding"]["uid"] == uid);
    events.map(|it| (text(&it["reason"]), text(&it["note"]))).collect()
}

fn condition(plane: &ControlPlane, object: &Value, kind: &str) -> Option<Value> {
    let object = plane.read(object).ok()?;
    let mut conditions = object["status"]["conditions"].as_array()?.iter();
    conditions.find(|it| it["type"] == kind).cloned()
}

fn forwarded(how: &str) -> Value {
    let mut service = service();
    service["metadata"]["annotations"] = json!({ "zonegate.io/forwarding": how });
    service
}

#[test]
fn what_cannot_be_used_is_an_event_once() {
    let bed = Bed::three_zones().unwrap();
    let plane = control_plane(&bed);
    plane.apply(&forwarded("pigeon")).unwrap();
    let mut agent = agent(&bed, &plane);
    wait_until_ready(&agent);
    let told = || events(&plane, &service());
    eventually("it is told", || told().len() == 1);
    let (reason, note) = told().remove(0);
    assert_eq!(reason, "FieldIgnored");
    assert!(note.starts_with("metadata.annotations[zonegate.io/forwarding]: "), "{note}");
    assert!(note.contains("pigeon"), "{note}");

    agent.restart().unwrap();
    wait_until_ready(&agent);
    eventually("the next agent is told that it was", || agent.log().contains("was told before"));
    assert_eq!(told().len(), 1);
    plane.apply(&forwarded("raven")).unwrap();
    eventually("another form is another event", || told().len() == 2);
    plane.apply(&service()).unwrap();
    eventually("nothing is wrong", || !status(&agent).contains("raven"));
    assert_eq!(told().len(), 2);
}

#[test]
fn cluster_policies_say_whether_they_are_accepted() {
    let bed = Bed::three_zones().unwrap();
    let plane = control_plane(&bed);
    plane.apply(&definition("ClusterNetworkPolicy", "v1alpha2")).unwrap();
    let policy = |tier: &str| {
        json!({
            "apiVersion": "policy.networking.k8s.io/v1alpha2",
            "kind": "ClusterNetworkPolicy",
            "metadata": { "name": "all" },
            "spec": { "tier": tier, "priority": 1, "subject": { "namespaces": {} } },
        })
    };
    eventually("the definition is there", || plane.apply(&policy("Cellar")).is_ok());
    let mut others = policy("Cellar");
    others["status"] = json!({ "conditions": [{
        "type": "example.com/Seen", "status": "True", "reason": "Seen", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]});
    plane.apply(&others).unwrap();
    let mut agent = agent(&bed, &plane);
    wait_until_ready(&agent);
    let said = || {
        let it = condition(&plane, &policy("Cellar"), "zonegate.io/Accepted").unwrap_or_default();
        let text = |field: &str| it[field].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"), it["observedGeneration"].as_i64().unwrap_or_default())
    };
    let refused = ("False".to_owned(), "Refused".to_owned(), 1);
    eventually("it is refused", || said() == refused);
    eventually("an event says so too", || events(&plane, &policy("Cellar")).len() == 1);
    plane.apply(&policy("Admin")).unwrap();
    let accepted = ("True".to_owned(), "Accepted".to_owned(), 2);
    eventually("it is accepted", || said() == accepted);
    let others = condition(&plane, &policy("Admin"), "example.com/Seen").unwrap();
    assert_eq!(others["status"], "True", "others' conditions are theirs");

    for kind in ["AdminNetworkPolicy", "BaselineAdminNetworkPolicy"] {
        plane.apply(&definition(kind, "v1alpha1")).unwrap();
        let policy = json!({
            "apiVersion": "policy.networking.k8s.io/v1alpha1",
            "kind": kind,
            "metadata": { "name": "default" },
            "spec": { "priority": 1, "subject": { "namespaces": {} } },
        });
        eventually("the definition is there", || plane.apply(&policy).is_ok());
        eventually("it is accepted", || {
            let said = condition(&plane, &policy, "zonegate.io/Accepted");
            said.is_some_and(|it| it["status"] == "True")
        });
    }

    // Who finds that it is said says nothing; what comes after it would come later.
    let version = || plane.read(&policy("Admin")).unwrap()["metadata"]["resourceVersion"].clone();
    let before = version();
    agent.restart().unwrap();
    wait_until_ready(&agent);
    plane.apply(&forwarded("pigeon")).unwrap();
    eventually("something else is told", || events(&plane, &service()).len() == 1);
    assert_eq!(version(), before);
}

#[test]
fn the_node_says_when_it_is_ready_and_opens() {
    let bed = Bed::three_zones().unwrap();
    let plane = control_plane(&bed);
    let mut closed = node(&bed);
    closed["spec"] = json!({ "taints": [
        { "key": "other", "effect": "NoSchedule" },
        { "key": "zonegate.io/agent-not-ready", "effect": "NoSchedule" },
    ]});
    plane.apply(&closed).unwrap();
    let role = rights().into_iter().find(|it| it["kind"] == "ClusterRole").unwrap();
    let mut less = role.clone();
    let rules = less["rules"].as_array_mut().unwrap();
    rules.retain(|rule| rule["resources"] != json!(["networkpolicies"]));
    plane.apply(&less).unwrap();
    let agent = agent(&bed, &plane);
    let ready =
        || condition(&plane, &closed, "ZoneGateReady").unwrap_or_default()["status"].clone();
    let taints = || {
        let node = plane.read(&closed).unwrap();
        let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        taints.iter().map(|it| it["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    eventually("it is not ready", || ready() == "False");
    assert!(taints().contains(&"zonegate.io/agent-not-ready".to_owned()));
    plane.apply(&role).unwrap();
    wait_until_ready(&agent);
    eventually("it is ready", || ready() == "True");
    eventually("it is open", || !taints().contains(&"zonegate.io/agent-not-ready".to_owned()));
    assert!(taints().contains(&"other".to_owned()));
}
