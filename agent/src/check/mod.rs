//! `zonegate check`: what becomes of connections, answered without a cluster or a kernel.
//!
//! Objects go through the real translation and compiler, and a connection's first packet through
//! the real `datapath` over the tables of every node that it touches ([`node`]), or through a
//! [`service`]. Who is where is in [`cluster`]; [`matrix`] asks for all pairs of pods.

mod cluster;
mod frames;
mod matrix;
mod node;
mod probe;
mod reach;
mod service;

use std::{collections::BTreeMap, net::IpAddr};

use abi::reason::PassReason;

pub use cluster::{Cluster, Objects};
use cluster::{End, Place};
use frames::{Traffic, first_packet};
pub use matrix::{Matrix, Reachable, matrix};
use node::Node;
pub use node::{At, Stop};
pub use probe::{Answer, DecisionAt, Probe, Verdict};
pub use reach::Reach;

use crate::{
    compile::{Connection, Direction, explain},
    model::{Protocol, Tier},
    refusal::Refusal,
    simulate::Frame,
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error("probe {id}, {field}: {reason}")]
    Probe { id: String, field: &'static str, reason: String },
    #[error("the tables of node {node} cannot be made: {}", first(.refusals))]
    Refused { node: String, refusals: Vec<Refusal> },
}

fn first(refusals: &[Refusal]) -> String {
    refusals.first().map_or_else(String::new, ToString::to_string)
}

/// Answers probes; compiles the tables of a node when a probe touches it first.
pub struct Checker {
    cluster: Cluster,
    nodes: BTreeMap<String, Node>,
}

/// A connection that a probe tries to open.
struct Attempt {
    source: (IpAddr, Place),
    destination: (IpAddr, Place),
    traffic: Traffic,
    /// The first packet, and the hooks that judge it, in order.
    packet: Frame,
    way: Vec<Stop>,
}

/// Both ends of a connection, and what their policies see.
struct Legs {
    source: Place,
    destination: Place,
    egress: Leg,
    ingress: Leg,
    through_service: bool,
}

/// What the policies of one end see.
#[derive(Debug, Clone, Copy)]
struct Leg {
    peer: IpAddr,
    traffic: Traffic,
}

impl Checker {
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, nodes: BTreeMap::new() }
    }

    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Answers one probe.
    pub fn answer(&mut self, probe: &Probe) -> Result<Answer, CheckError> {
        let attempt = self.attempt(probe)?;
        let mut answer = Answer {
            id: probe.id.clone(),
            verdict: Verdict::Pass,
            backends: None,
            snat: None,
            decisions: Vec::new(),
            reason: None,
        };
        if self.answer_service(&mut answer, probe, &attempt)? {
            return Ok(answer);
        }
        self.judge(&mut answer, &attempt)?;
        let Attempt { source, destination, traffic, .. } = attempt;
        let leg = |peer| Leg { peer, traffic };
        let legs = Legs {
            egress: leg(destination.0),
            ingress: leg(source.0),
            source: source.1,
            destination: destination.1,
            through_service: false,
        };
        self.explain(&mut answer, &legs);
        // Whoever does translate it decides where it goes.
        if answer.verdict == Verdict::Forward
            && legs.destination == Place::Outside
            && self.cluster.is_mentioned(destination.0)
        {
            answer.verdict = Verdict::Pass;
        }
        Ok(answer)
    }

    /// The first packet of a probe's connection, and the hooks that judge it, in order.
    pub fn way(&self, probe: &Probe) -> Result<(Frame, Vec<Stop>), CheckError> {
        let Attempt { packet, way, .. } = self.attempt(probe)?;
        Ok((packet, way))
    }

    /// What a pod may open towards another by its own address; `None` where they share no address
    /// family.
    pub fn reach(&mut self, source: &str, destination: &str) -> Result<Option<Reach>, CheckError> {
        let world = &self.cluster.world;
        let (Some(from), Some(to)) =
            (world.workloads.get(source), world.workloads.get(destination))
        else {
            return Ok(None);
        };
        if source == destination {
            return Ok(Some(Reach::all()));
        }
        let pair = [true, false].into_iter().find_map(|v4| {
            let of = |addresses: &[IpAddr]| {
                addresses.iter().copied().find(|address| address.is_ipv4() == v4)
            };
            of(&from.addresses).zip(of(&to.addresses))
        });
        let Some((here, there)) = pair else { return Ok(None) };
        let (from_node, to_node) = (from.node.clone(), to.node.clone());
        for node in [&from_node, &to_node] {
            self.compile(node)?;
        }
        let granted = |node: &str, workload, direction, peer| {
            self.nodes.get(node).and_then(|node| node.granted(workload, direction, peer))
        };
        let egress = granted(&from_node, source, Direction::Egress, there);
        let ingress = granted(&to_node, destination, Direction::Ingress, here);
        Ok(egress.zip(ingress).map(|(egress, ingress)| egress.and(&ingress)))
    }

    fn attempt(&self, probe: &Probe) -> Result<Attempt, CheckError> {
        let wrong = |field, reason| CheckError::Probe { id: probe.id.clone(), field, reason };
        let mut source = self.cluster.end(&probe.source).map_err(|it| wrong("source", it))?;
        if let Some(node) = &probe.node
            && source.addresses.iter().all(IpAddr::is_loopback)
        {
            source = self.cluster.processes(node);
        }
        let destination =
            self.cluster.end(&probe.destination).map_err(|it| wrong("destination", it))?;
        let traffic = Traffic::new(&probe.protocol, probe.port)
            .map_err(|reason| wrong("protocol", reason))?;
        let addresses = common_family(&source, &destination);
        let packet =
            addresses.and_then(|(from, to)| Some((from, to, first_packet(from, to, traffic)?)));
        let (from, to, packet) = packet.ok_or_else(|| {
            wrong("destination", format!("no address of a family that {} has", probe.source))
        })?;
        let way = way(&source.place, &destination.place);
        let (source, destination) = ((from, source.place), (to, destination.place));
        Ok(Attempt { source, destination, traffic, packet, way })
    }

    /// Sends the first packet through every hook on its way.
    fn judge(&mut self, answer: &mut Answer, attempt: &Attempt) -> Result<(), CheckError> {
        for Stop { node, at } in &attempt.way {
            self.compile(node)?;
            if let Some(node) = self.nodes.get(node) {
                match node.judge(at, &attempt.packet) {
                    datapath::Verdict::Drop(reason) => {
                        answer.verdict = Verdict::Drop;
                        answer.reason = Some(reason.name());
                        break;
                    }
                    datapath::Verdict::Transmit(PassReason::Rejected) => {
                        answer.verdict = Verdict::Reject;
                        break;
                    }
                    _ => answer.verdict = Verdict::Forward,
                }
            }
        }
        for stop in &attempt.way {
            if let Some(node) = self.nodes.get(&stop.node) {
                node.forget_flows();
            }
        }
        Ok(())
    }

    fn compile(&mut self, name: &str) -> Result<(), CheckError> {
        if self.nodes.contains_key(name) {
            return Ok(());
        }
        let node = Node::new(name, &self.cluster.world)
            .map_err(|refusals| CheckError::Refused { node: name.to_owned(), refusals })?;
        self.nodes.insert(name.to_owned(), node);
        Ok(())
    }

    /// Names what decided at the ends. An end that allows is not asked further: the other end's
    /// denial is what matters, and is named too.
    fn explain(&self, answer: &mut Answer, legs: &Legs) {
        let Legs { source, destination, egress, ingress, through_service } = legs;
        let itself = source == destination;
        if itself && !through_service {
            return;
        }
        let same_node = home(source).is_some_and(|node| {
            home(destination) == Some(node)
                && (matches!(source, Place::Node(_)) || matches!(destination, Place::Node(_)))
        });
        let exempt = itself || same_node;
        let ends =
            [(source, Direction::Egress, egress), (destination, Direction::Ingress, ingress)];
        for (place, direction, Leg { peer, traffic }) in ends {
            let Place::Workload { name, .. } = place else { continue };
            let Some(workload) = self.cluster.world.workloads.get(name) else { continue };
            let (peer, traffic) = (*peer, protocol(*traffic));
            let connection = Connection { peer, traffic, exempt };
            let decision = explain(&self.cluster.world, workload, direction, connection);
            let denied = !decision.allowed;
            answer.decisions.push(DecisionAt {
                direction: match direction {
                    Direction::Ingress => "ingress",
                    Direction::Egress => "egress",
                },
                workload: name.clone(),
                allowed: decision.allowed,
                tier: tier(decision.tier),
                policy: decision.policy,
                rule: decision.rule,
            });
            if denied {
                break;
            }
        }
    }
}

/// Every hook that judges a first packet, by node. What a node's own stack sends to other
/// machines is nobody's to judge there.
fn way(source: &Place, destination: &Place) -> Vec<Stop> {
    let stop = |node: &String, at| Stop { node: node.clone(), at };
    let mut way = Vec::new();
    if let Place::Workload { name, node } = source {
        way.push(stop(node, At::From(name.clone())));
    }
    if let Place::Workload { name, node } = destination {
        if home(source) != Some(node) {
            way.push(stop(node, At::Uplink));
        }
        way.push(stop(node, At::To(name.clone())));
    }
    way
}

/// The node that an end is on.
fn home(place: &Place) -> Option<&str> {
    match place {
        Place::Workload { node, .. } | Place::Node(node) => Some(node),
        Place::Outside => None,
    }
}

/// Addresses of one family, IPv4 if both ends have it.
fn common_family(source: &End, destination: &End) -> Option<(IpAddr, IpAddr)> {
    let of = |end: &End, v4: bool| end.addresses.iter().copied().find(|it| it.is_ipv4() == v4);
    [true, false].into_iter().find_map(|v4| of(source, v4).zip(of(destination, v4)))
}

fn protocol(traffic: Traffic) -> Option<(Protocol, u16)> {
    match traffic {
        Traffic::Tcp(port) => Some((Protocol::Tcp, port)),
        Traffic::Udp(port) => Some((Protocol::Udp, port)),
        Traffic::Sctp(port) => Some((Protocol::Sctp, port)),
        Traffic::Icmp | Traffic::Other(_) => None,
    }
}

const fn tier(tier: Option<Tier>) -> &'static str {
    match tier {
        Some(Tier::Admin) => "admin",
        Some(Tier::Network) => "network",
        Some(Tier::Baseline) => "baseline",
        None => "default",
    }
}
