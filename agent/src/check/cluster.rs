//! Who is where: the objects of a cluster, translated.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use k8s_openapi::api::core::v1;
use serde_json::Value;

use crate::{
    kubernetes::{Change, Object, ObjectError, Problem, Translator},
    model::World,
};

/// A cluster as its objects describe it.
#[derive(Debug, Default)]
pub struct Cluster {
    pub world: World,
    /// What the translation had to leave out, and why.
    pub problems: Vec<Problem>,
    /// By `namespace/name`.
    pods: BTreeMap<String, Pod>,
    places: BTreeMap<IpAddr, Place>,
    mentioned: BTreeSet<IpAddr>,
}

#[derive(Debug)]
struct Pod {
    node: String,
    host_network: bool,
    addresses: Vec<IpAddr>,
}

/// Objects that were read, in order.
#[derive(Debug, Default)]
pub struct Objects {
    changes: Vec<Change>,
    pods: BTreeMap<String, Pod>,
    /// Addresses that services name, whether or not they are translated.
    mentioned: BTreeSet<IpAddr>,
}

/// Whose an address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Workload { name: String, node: String },
    Node(String),
    Outside,
}

/// One end of a connection.
#[derive(Debug, Clone)]
pub struct End {
    pub addresses: Vec<IpAddr>,
    pub place: Place,
}

impl Objects {
    /// Reads documents, each one object or a list of them. Kinds that say nothing of packets are
    /// passed over: manifests hold much else.
    pub fn read(&mut self, documents: &[Value]) -> Result<(), ObjectError> {
        for document in documents {
            for object in Object::parse_many(document.clone()) {
                match object {
                    Err(ObjectError::UnknownKind { .. }) => {}
                    object => self.changes.push(Change::Upsert(object?)),
                }
            }
            self.note(document);
        }
        Ok(())
    }

    /// Notes what is not the translation's business, but that of probes.
    fn note(&mut self, document: &Value) {
        let items = document.get("items").and_then(Value::as_array);
        for item in items.into_iter().flatten() {
            self.note(item);
        }
        match document.get("kind").and_then(Value::as_str) {
            Some("Pod") => self.note_pod(document),
            Some("Service") => self.note_service(document),
            _ => {}
        }
    }

    fn note_service(&mut self, document: &Value) {
        let Ok(service) = serde_json::from_value::<v1::Service>(document.clone()) else { return };
        let spec = service.spec.unwrap_or_default();
        let status = service.status.and_then(|status| status.load_balancer).unwrap_or_default();
        let balancers = status.ingress.into_iter().flatten().filter_map(|ingress| ingress.ip);
        let lists = [spec.cluster_ips, spec.external_ips].into_iter().flatten().flatten();
        let texts = lists.chain(spec.cluster_ip).chain(balancers);
        self.mentioned.extend(texts.filter_map(|text| text.parse::<IpAddr>().ok()));
    }

    /// Pods that share their node's addresses are named by probes too.
    fn note_pod(&mut self, document: &Value) {
        let Ok(pod) = serde_json::from_value::<v1::Pod>(document.clone()) else { return };
        let (spec, status) = (pod.spec.unwrap_or_default(), pod.status.unwrap_or_default());
        let texts = status.pod_ips.into_iter().flatten().map(|it| it.ip).chain(status.pod_ip);
        let addresses: BTreeSet<IpAddr> = texts.filter_map(|text| text.parse().ok()).collect();
        let namespace = pod.metadata.namespace.unwrap_or_else(|| "default".to_owned());
        let name = format!("{namespace}/{}", pod.metadata.name.unwrap_or_default());
        let pod = Pod {
            node: spec.node_name.unwrap_or_default(),
            host_network: spec.host_network.unwrap_or_default(),
            addresses: addresses.into_iter().collect(),
        };
        self.pods.insert(name, pod);
    }
}

impl From<Objects> for Cluster {
    fn from(Objects { changes, pods, mentioned }: Objects) -> Self {
        let outcome = Translator::default().apply(changes);
        let mut cluster = Self { pods, mentioned, problems: outcome.problems, ..Self::default() };
        for resource in outcome.upserts {
            cluster.world.upsert(resource);
        }
        cluster.name_places();
        cluster
    }
}

impl Cluster {
    /// Translates documents, each one object or a list of them.
    pub fn new(documents: &[Value]) -> Result<Self, ObjectError> {
        let mut objects = Objects::default();
        objects.read(documents)?;
        Ok(objects.into())
    }

    /// The end that a probe names `namespace/pod` or by address.
    pub fn end(&self, text: &str) -> Result<End, String> {
        if let Ok(address) = text.parse() {
            let place = self.places.get(&address).cloned().unwrap_or(Place::Outside);
            return Ok(End { addresses: vec![address], place });
        }
        let pod = self.pods.get(text).ok_or_else(|| {
            format!("{text:?} is neither an address nor a pod (namespace/name) of the objects")
        })?;
        if pod.addresses.is_empty() {
            return Err(format!("the pod {text} has no address (status.podIPs)"));
        }
        let node = pod.node.clone();
        let place = if pod.host_network {
            Place::Node(node)
        } else {
            Place::Workload { name: text.to_owned(), node }
        };
        Ok(End { addresses: pod.addresses.clone(), place })
    }

    /// Whether a service names the address, translated or not.
    pub fn is_mentioned(&self, address: IpAddr) -> bool {
        self.mentioned.contains(&address)
    }

    /// Whether a service has the address, on whatever node.
    pub fn is_frontend(&self, address: IpAddr) -> bool {
        let frontends = self.world.services.values().flat_map(|service| &service.frontends);
        frontends.into_iter().any(|frontend| frontend.address == address)
    }

    /// The end that a node's own processes are.
    pub fn processes(&self, node: &str) -> End {
        let known = self.world.nodes.get(node);
        let addresses = known.map(|node| node.addresses.clone()).unwrap_or_default();
        End { addresses, place: Place::Node(node.to_owned()) }
    }

    pub fn place(&self, address: IpAddr) -> Place {
        self.places.get(&address).cloned().unwrap_or(Place::Outside)
    }

    /// Pods with addresses of their own, by name.
    pub fn workloads(&self) -> impl Iterator<Item = &str> {
        self.world.workloads.keys().map(String::as_str)
    }

    fn name_places(&mut self) {
        // A pod on its node's network may be all that says what the node's address is.
        for pod in self.pods.values_mut().filter(|pod| pod.host_network) {
            let Some(node) = self.world.nodes.get_mut(&pod.node) else { continue };
            for address in &pod.addresses {
                if !node.addresses.contains(address) {
                    node.addresses.push(*address);
                }
            }
            if pod.addresses.is_empty() {
                pod.addresses.clone_from(&node.addresses);
            }
        }
        for node in self.world.nodes.values() {
            let place = Place::Node(node.name.clone());
            self.places.extend(node.addresses.iter().map(|address| (*address, place.clone())));
        }
        for workload in self.world.workloads.values() {
            let (name, node) = (workload.name.clone(), workload.node.clone());
            let place = Place::Workload { name, node };
            self.places.extend(workload.addresses.iter().map(|address| (*address, place.clone())));
        }
    }
}
