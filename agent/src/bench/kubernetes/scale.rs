//! One large cluster: what following it takes.

use std::{
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    ClusterError, KubernetesOptions,
    changes::Changing,
    cost::{Busy, Memory, Start},
    lab::{Lab, settle},
    objects::{self, Side, address, endpoint, service, service_name, sided_slice, slice},
    plane::Plane,
    proxy::{MinSync, Proxy},
};

/// A proxy that follows all of it.
#[derive(Debug, Serialize)]
pub struct ScaleRow {
    pub proxy: Proxy,
    pub start: Start,
    pub memory: Memory,
    /// Per cent of a processor while nothing changes, and while ten changes a second do.
    pub rest_cpu: f64,
    pub changes_cpu: f64,
}

pub fn measure(options: &KubernetesOptions) -> Result<Vec<ScaleRow>, ClusterError> {
    let plane = Plane::start(&options.binaries)?;
    plane.create(objects::nodes().chain((1..NODES).map(node)))?;
    plane.create((0..NAMESPACES).map(|it| json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": namespace(it), "labels": { "team": format!("team-{}", it % 10) } },
    })))?;
    plane.create((0..POLICIES).map(policy))?;
    plane.create((0..PODS).map(|it| pod(it, it)))?;
    plane.create((0..SERVICES).map(|it| service(&service_name(it), address(it))))?;
    plane.create((0..SERVICES).map(|it| {
        let name = service_name(it);
        if it < CHANGING { sided_slice(&name, Side::A) } else { slice(&name, &endpoints(it)) }
    }))?;
    let mut changing = Changing::default();
    changing.add(&(0..CHANGING).collect::<Vec<_>>());
    [Proxy::Zonegate, Proxy::KubeProxy(MinSync::Default)]
        .into_iter()
        .map(|proxy| {
            let mut lab = Lab::start(&plane, &options.binaries, proxy)?;
            row(options, &plane, &mut lab, &mut changing)
        })
        .collect()
}

fn row(
    options: &KubernetesOptions,
    plane: &Plane,
    lab: &mut Lab,
    changing: &mut Changing,
) -> Result<ScaleRow, ClusterError> {
    let (any, side) = changing.any();
    let sync = lab.wait_until_synced(any, side)?;
    let start = Start::of(lab, sync);
    settle();
    let busy = Busy::from_now(lab);
    thread::sleep(options.rest());
    let rest_cpu = busy.percent(lab);
    let busy = Busy::from_now(lab);
    change(plane, changing, options.rest())?;
    let changes_cpu = busy.percent(lab);
    settle();
    Ok(ScaleRow { proxy: lab.proxy, start, memory: Memory::of(lab), rest_cpu, changes_cpu })
}

/// Ten changes a second: of a service's backend and of a pod's label in turn.
fn change(plane: &Plane, changing: &mut Changing, time: Duration) -> Result<(), ClusterError> {
    let begun = Instant::now();
    for number in 0.. {
        let due = begun + CHANGE_PERIOD * number;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if begun.elapsed() >= time {
            break;
        }
        let object = if number % 2 == 0 {
            let (service, side) = changing.next();
            sided_slice(&service_name(service), side)
        } else {
            let index = number / 4 % PODS;
            let mut pod = pod(index, index + number % 4 / 2 + 1);
            // All that is said of it is its labels.
            pod["spec"] = json!({});
            pod["status"] = json!({});
            pod
        };
        plane.join(plane.begin_to_patch(object))?;
    }
    Ok(())
}

fn node(index: u32) -> Value {
    let address = Ipv4Addr::from_bits((10 << 24 | 203 << 16) + index);
    objects::node(&node_name(index), &address.to_string(), &format!("10.130.{index}.0/24"))
}

/// The first is the one that is measured.
fn node_name(index: u32) -> String {
    if index == 0 { objects::NODE.to_owned() } else { format!("node-{index}") }
}

fn namespace(index: u32) -> String {
    format!("team-{index}")
}

/// The node that a pod is on, and its place there.
fn place(pod: u32) -> (u32, u32) {
    if pod < LOCAL {
        return (0, pod);
    }
    let other = pod - LOCAL;
    (1 + other % (NODES - 1), other / (NODES - 1))
}

fn pod_address(pod: u32) -> Ipv4Addr {
    let (node, place) = place(pod);
    Ipv4Addr::from_bits((10 << 24 | 130 << 16) + (node << 8) + 2 + place)
}

/// One that runs, as its kubelet would say.
fn pod(index: u32, app: u32) -> Value {
    let address = pod_address(index);
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("pod-{index}"), "namespace": namespace(index % NAMESPACES),
            "labels": { "app": format!("app-{}", app % APPS) },
        },
        "spec": {
            "nodeName": node_name(place(index).0),
            "containers": [{ "name": "main", "image": "example.org/app:1" }],
        },
        "status": {
            "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }],
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    })
}

fn endpoints(service: u32) -> Vec<Value> {
    let pods = (service * objects::ENDPOINTS..).take(objects::ENDPOINTS as usize);
    pods.map(|it| it % PODS).map(|it| endpoint(pod_address(it), &node_name(place(it).0))).collect()
}

/// An application of a namespace lets in another one of it, and blocks of addresses; every third also a
/// team's namespaces.
fn policy(index: u32) -> Value {
    let app = |index: u32| json!({ "matchLabels": { "app": format!("app-{}", index % APPS) } });
    let mut from = vec![
        json!({ "podSelector": app(index + 1) }),
        json!({ "ipBlock": { "cidr": format!("198.51.{}.0/24", index % 256) } }),
    ];
    if index.is_multiple_of(3) {
        let team = json!({ "matchLabels": { "team": format!("team-{}", index % 10) } });
        from.push(json!({ "namespaceSelector": team }));
    }
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": format!("policy-{index}"), "namespace": namespace(index % NAMESPACES) },
        "spec": {
            "podSelector": app(index), "policyTypes": ["Ingress"],
            "ingress": [{ "from": from, "ports": [{ "port": 8080 }] }],
        },
    })
}

pub const NODES: u32 = 100;
pub const PODS: u32 = 10_000;
/// On the node that is measured.
pub const LOCAL: u32 = 110;
pub const SERVICES: u32 = 5000;
pub const POLICIES: u32 = 300;
const NAMESPACES: u32 = 50;
/// Pods of a namespace are of all of them.
const APPS: u32 = 7;
/// Services that change.
const CHANGING: u32 = 64;
const CHANGE_PERIOD: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::kubernetes::Object;

    #[test]
    fn pods_have_addresses_of_their_nodes() {
        let addresses: BTreeSet<_> = (0..PODS).map(pod_address).collect();
        assert_eq!(addresses.len(), PODS as usize);
        let local = (0..PODS).filter(|it| pod_address(*it).octets()[2] == 0);
        assert_eq!(local.count(), LOCAL as usize);
        assert!((0..PODS).all(|it| u32::from(pod_address(it).octets()[2]) == place(it).0));
        assert!((0..PODS).all(|it| place(it).1 < 250 && place(it).0 < NODES));
    }

    #[test]
    fn what_is_written_is_what_the_agent_reads() {
        for object in [node(7), pod(200, 7), policy(3), slice("s", &endpoints(4999))] {
            Object::parse(object).unwrap();
        }
    }
}
