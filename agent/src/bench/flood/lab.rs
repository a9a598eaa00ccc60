//! Clients, node and server, and who floods them.
#![expect(clippy::cast_precision_loss, reason = "rates are far below 2⁵²")]

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Instant,
};

use nix::net::if_::if_nametoindex;

use super::{
    connections::{Server, client_addresses},
    report::Flood,
};
use crate::{
    bench::{
        generate::{Addresses, Amount, Frames, Load, Mac, Sender, Shape},
        wire::{
            Agent, GENERATOR, NODE, Namespace, SERVICE_PORT, WireError, backend, connect, nodes,
            one_backend, service,
        },
    },
    dataplane::Counter,
    loader::{KernelConfig, LoadError},
    maps::{Counters, KernelMaps},
};

pub struct Lab {
    clients: Namespace,
    // Ended before the namespaces that they are in.
    _server: Server,
    _agent: Agent,
    _end: Namespace,
    _node: Namespace,
    counters: Counters,
    flooded: Ipv4Addr,
}

impl Lab {
    /// `answered`: the server answers every SYN. Else the flood is for a service of its own, whose
    /// backend has a queue that is soon full. The flow table has so many buckets, a power of two.
    pub fn new(answered: bool, buckets: u32) -> Result<Self, WireError> {
        let what = if answered { "answered" } else { "unanswered" };
        let [clients, node, end] = ["clients", "node", "server"]
            .map(|place| Namespace::create(&format!("flood-{what}-{place}")));
        let (clients, node, end) = (clients?, node?, end?);
        connect(&clients, &node, &end, 1)?;
        populate(&clients, &end, answered)?;
        let table = format!("flow4_buckets = {buckets}\n");
        let agent = Agent::start(&node, &services(), &table)?;
        let server = end.run(|| Server::start([QUIET, FLOODED].map(backend)))?;
        let config = KernelConfig { bpffs: agent.pins().to_owned(), ..KernelConfig::default() };
        let counters = KernelMaps::counters(&config.maps()).map_err(LoadError::from)?;
        let flooded = service(if answered { QUIET } else { FLOODED });
        Ok(Self {
            clients,
            _server: server,
            _agent: agent,
            _end: end,
            _node: node,
            counters,
            flooded,
        })
    }

    /// Runs a closure where the clients are.
    pub fn at_clients<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, WireError> + Send,
    ) -> Result<T, WireError> {
        self.clients.run(work)
    }

    /// Sends SYNs, each of another flow.
    pub fn flood(&self, syns: u32, rate: Option<u64>) -> Result<Flood, WireError> {
        self.clients.run(|| {
            let shape = Shape {
                interface: if_nametoindex("gen0").map_err(io::Error::from)?,
                macs: (Mac(GENERATOR), Mac(NODE)),
                source: Addresses { first: IpAddr::from([198, 19, 0, 0]), count: 1 << 16 },
                destination: Addresses { first: self.flooded.into(), count: 1 },
                destination_port: SERVICE_PORT,
                flows: syns,
                size: SIZE,
            };
            let sender = Sender::open(Load::Frames(Frames::syn_flood(&shape)?), 1, BATCH)?;
            let start = Instant::now();
            let amount = Amount {
                frames: Some(syns.into()),
                time: None,
                rate: rate.map(|rate| rate as f64),
            };
            let sent = sender.send(amount, start)?;
            Ok(Flood { syns: sent.frames, time: start.elapsed() })
        })
    }

    pub fn counters(&self) -> Result<Vec<Counter>, WireError> {
        Ok(self.counters.read()?)
    }
}

/// Addresses of clients and of backends, and what real ends of a wire have: whole checksums.
fn populate(clients: &Namespace, end: &Namespace, answered: bool) -> Result<(), WireError> {
    let lines = |interface: &str, address: &str, gateway: &str, more: &[Ipv4Addr]| {
        let mut lines = vec![
            "link set lo up".to_owned(),
            format!("addr add {address}/24 dev {interface}"),
            format!("route add default via {gateway}"),
        ];
        lines.extend(more.iter().map(|it| format!("addr add {it}/32 dev lo")));
        lines
    };
    clients.ip(&lines("gen0", "10.200.0.2", "10.200.0.1", &client_addresses()))?;
    end.ip(&lines("sink0", "10.201.0.2", "10.201.0.1", &[QUIET, FLOODED].map(backend)))?;
    for (namespace, interface) in [(clients, "gen0"), (end, "sink0")] {
        let options = ["ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off"];
        namespace.feed(&options, "")?;
    }
    // Always cookies, which take no room, or none (tcp(7)).
    let cookies = if answered { 2 } else { 0 };
    end.feed(&["sysctl", "-q", "-p", "-"], &format!("net.ipv4.tcp_syncookies={cookies}\n"))
}

/// TCP services of one backend each.
fn services() -> String {
    nodes() + &one_backend(QUIET, "TCP") + &one_backend(FLOODED, "TCP")
}

/// Where clients connect to.
pub fn quiet_service() -> SocketAddr {
    SocketAddr::new(service(QUIET).into(), SERVICE_PORT)
}

/// Numbers of services.
const QUIET: u32 = 0;
const FLOODED: u32 = 1;
/// Of a frame, without its checksum.
const SIZE: u32 = 60;
const BATCH: u32 = 64;
