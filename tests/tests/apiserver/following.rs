use std::time::Duration;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use testbed::{
    bed::{Bed, Host, cluster_vip},
    control_plane::definition,
    traffic::{HttpServer, http_get},
};

use super::cluster::{
    VIP, WEB, agent, control_plane, eventually, has_workload, node, pod, policy, reaches,
    reaches_nothing_of, rights, service, status, wait_until_ready,
};

#[test]
fn every_kind_is_followed_and_enforced_on_packets() {
    let bed = Bed::three_zones().unwrap();
    let (web, batch, shop) = (bed.workload("web"), bed.workload("batch"), bed.workload("shop"));
    let plane = control_plane(&bed);
    let agent = agent(&bed, &plane);
    wait_until_ready(&agent);
    assert!(!status(&agent).contains("node-a\": this machine"), "{}", status(&agent));
    let _server = HttpServer::start(shop, WEB).unwrap();
    eventually("all pods are let in", || reaches(web, shop) && reaches(batch, shop));

    plane.apply(&policy("shop", "web")).unwrap();
    eventually("batch is kept out", || reaches_nothing_of(batch, shop));
    assert!(reaches(web, shop));
    plane.apply(&policy("shop", "batch")).unwrap();
    eventually("batch is let in", || reaches(batch, shop));
    assert!(reaches_nothing_of(web, shop));

    // A label of a pod, then one of its namespace.
    let mut renamed = pod(&bed, web);
    renamed["metadata"]["labels"]["app"] = json!("batch");
    plane.apply(&renamed).unwrap();
    eventually("web is a batch pod", || reaches(web, shop));
    let mut everyone = policy("shop", "batch");
    everyone["spec"]["ingress"][0]["from"] =
        json!([{ "namespaceSelector": { "matchLabels": { "team": "a" } } }]);
    plane.apply(&everyone).unwrap();
    eventually("no namespace is team a's", || reaches_nothing_of(web, shop));
    let labels = json!({ "name": "bed", "labels": { "team": "a" } });
    plane.apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": labels })).unwrap();
    eventually("the namespace is", || reaches(web, shop));

    // Not before its definition exists.
    plane.apply(&definition("ClusterNetworkPolicy", "v1alpha2")).unwrap();
    let deny = json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": { "name": "no-batch" },
        "spec": {
            "tier": "Admin",
            "priority": 1,
            "subject": { "pods": {
                "namespaceSelector": {}, "podSelector": { "matchLabels": { "app": "shop" } },
            }},
            "ingress": [{ "action": "Deny", "from": [{ "pods": {
                "namespaceSelector": {}, "podSelector": { "matchLabels": { "app": "batch" } },
            }}]}],
        },
    });
    eventually("the definition is there", || plane.apply(&deny).is_ok());
    eventually("the cluster policy denies", || reaches_nothing_of(web, shop));
    plane.delete(&deny).unwrap();
    eventually("and is gone", || reaches(web, shop));
    plane.delete(&policy("shop", "web")).unwrap();
    plane.apply(&pod(&bed, web)).unwrap();
    eventually("no policy is left", || reaches(web, shop) && reaches(batch, shop));

    plane.delete(&pod(&bed, batch)).unwrap();
    eventually("batch is no workload", || !has_workload(&agent, "batch"));
    plane.delete(&node(&bed)).unwrap();
    let lost = "this machine is to be that node, which the cluster does not have";
    eventually("the node is missed", || status(&agent).contains(lost));
    plane.apply(&node(&bed)).unwrap();
    eventually("the node is there", || !status(&agent).contains(lost));
}

#[test]
fn a_service_follows_its_pods() {
    let bed = Bed::three_zones().unwrap();
    let (web, batch, shop) = (bed.workload("web"), bed.workload("batch"), bed.workload("shop"));
    let plane = control_plane(&bed);
    let agent = agent(&bed, &plane);
    wait_until_ready(&agent);
    let seller = |workload: &Host, ready: bool| {
        let mut pod = pod(&bed, workload);
        pod["metadata"]["labels"]["sells"] = json!("things");
        pod["status"]["conditions"][0]["status"] = json!(if ready { "True" } else { "False" });
        pod
    };
    let _servers = [shop, batch].map(|host| HttpServer::start(host, WEB).unwrap());
    // Who answers several requests of each family.
    let answering = || {
        let mut names: Vec<String> = Vec::new();
        for address in cluster_vip(VIP).each() {
            for _ in 0..12 {
                let reply = http_get(web, (address, 80).into());
                names.push(reply.map_or_else(|_| "nobody".to_owned(), |reply| reply.server));
            }
        }
        names.sort();
        names.dedup();
        names
    };

    plane.apply(&service()).unwrap();
    eventually("a service without pods refuses", || answering() == ["nobody"]);
    plane.apply(&seller(shop, true)).unwrap();
    eventually("the first pod answers", || answering() == ["shop"]);
    // Not ready before it is selected: its status is written after its labels.
    let mut starting = pod(&bed, batch);
    starting["status"]["conditions"][0]["status"] = json!("False");
    plane.apply(&starting).unwrap();
    plane.apply(&seller(batch, false)).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(answering(), ["shop"], "batch is not ready");
    plane.apply(&seller(batch, true)).unwrap();
    eventually("both answer", || answering() == ["batch", "shop"]);
    plane.apply(&seller(shop, false)).unwrap();
    eventually("shop is not ready any more", || answering() == ["batch"]);
    plane.apply(&seller(shop, true)).unwrap();
    eventually("both answer again", || answering() == ["batch", "shop"]);

    plane.begin_to_delete(&pod(&bed, batch)).unwrap();
    eventually("batch shuts down", || answering() == ["shop"]);
    plane.delete(&pod(&bed, batch)).unwrap();
    eventually("batch is gone", || !has_workload(&agent, "batch"));
    assert_eq!(answering(), ["shop"]);

    // Left to another proxy, and taken back.
    let mut left = service();
    left["metadata"]["labels"] = json!({ "service.kubernetes.io/service-proxy-name": "other" });
    plane.apply(&left).unwrap();
    let services = || agent.cli(&["get", "services"]).unwrap().expect_success();
    eventually("it is another proxy's", || !services().contains("bed/shop"));
    plane.apply(&service()).unwrap();
    eventually("it is ours", || answering() == ["shop"]);
    plane.delete(&service()).unwrap();
    eventually("it is gone", || !services().contains("bed/shop"));
}

#[test]
fn outages_of_the_apiserver_lose_nothing() {
    let bed = Bed::three_zones().unwrap();
    let (web, batch, shop) = (bed.workload("web"), bed.workload("batch"), bed.workload("shop"));
    let mut plane = control_plane(&bed);
    plane.apply(&policy("shop", "web")).unwrap();
    let mut agent = agent(&bed, &plane);
    wait_until_ready(&agent);
    let _server = HttpServer::start(shop, WEB).unwrap();
    let as_the_policy_says = || reaches(web, shop) && reaches_nothing_of(batch, shop);
    eventually("the policy is in force", as_the_policy_says);

    plane.kill_apiserver();
    eventually("its loss is told", || status(&agent).contains("Pods"));
    assert!(as_the_policy_says(), "without the apiserver");
    assert!(status(&agent).contains("ready      yes"), "{}", status(&agent));

    agent.restart().unwrap();
    assert!(as_the_policy_says(), "after a restart without the apiserver");
    eventually("what is missing is named", || {
        let status = status(&agent);
        !status.contains("ready      yes")
            && status.contains("waiting for")
            && status.contains("Pods")
    });
    plane.start_apiserver().unwrap();
    wait_until_ready(&agent);
    eventually("nothing is wrong any more", || !status(&agent).contains("tried again"));
    assert!(as_the_policy_says());
    plane.apply(&policy("shop", "batch")).unwrap();
    eventually("changes are followed again", || reaches(batch, shop));

    // A watch that is resumed without a list: nothing changes, and problems end.
    plane.kill_apiserver();
    eventually("its loss is told again", || status(&agent).contains("tried again"));
    plane.start_apiserver().unwrap();
    eventually("its return is seen", || !status(&agent).contains("tried again"));

    // What is forgotten while nobody looks is found out by a list.
    let pid = Pid::from_raw(agent.pid().unwrap().cast_signed());
    kill(pid, Signal::SIGSTOP).unwrap();
    plane.delete(&pod(&bed, batch)).unwrap();
    plane.apply(&policy("shop", "web")).unwrap();
    plane.kill_apiserver();
    plane.compact().unwrap();
    plane.start_apiserver().unwrap();
    kill(pid, Signal::SIGCONT).unwrap();
    eventually("batch is gone", || !has_workload(&agent, "batch"));
    eventually("the last policy holds", as_the_policy_says);
    assert!(agent.log().contains("too old resource version"), "it was resumed, not listed again");
}

#[test]
fn denied_verbs_are_named_until_they_are_granted() {
    let bed = Bed::three_zones().unwrap();
    let plane = control_plane(&bed);
    let role = rights().into_iter().find(|it| it["kind"] == "ClusterRole").unwrap();
    let mut less = role.clone();
    let rules = less["rules"].as_array_mut().unwrap();
    rules.retain(|rule| rule["resources"] != json!(["networkpolicies"]));
    assert_eq!(rules.len() + 1, role["rules"].as_array().unwrap().len());
    plane.apply(&less).unwrap();
    let agent = agent(&bed, &plane);
    let named = "cannot list resource \"networkpolicies\" in API group \"networking.k8s.io\"";
    eventually("the verb is named", || status(&agent).contains(named));
    let status_now = status(&agent);
    assert!(status_now.contains("waiting for NetworkPolicies"), "{status_now}");
    assert!(!status_now.contains("ready      yes"), "{status_now}");
    plane.apply(&role).unwrap();
    wait_until_ready(&agent);
    assert!(!status(&agent).contains(named), "{}", status(&agent));
}
