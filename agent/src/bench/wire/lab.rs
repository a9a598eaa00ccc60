//! Generator, router and sink, each in a namespace of its own, with a wire between neighbours.

use std::io;

use abi::next_hop::NextHop;
use nix::{net::if_::if_nametoindex, sched::CpuSet};

use super::{
    WireError,
    agent::{Agent, services},
    namespace::Namespace,
    router::{BACKENDS, CLIENTS, Router},
    rules,
    xdp_filter::XdpFilter,
};
use crate::loader::{WireProgram, WirePrograms};

/// A router between a generator and a sink that counts.
pub struct Lab {
    pub router: Router,
    generator: Namespace,
    _sink: Namespace,
    // After what is inside has ended.
    _agent: Option<Agent>,
    _filter: Option<XdpFilter>,
    node: Namespace,
    programs: Vec<WirePrograms>,
    counter: usize,
}

/// What the sink does with what arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    Count,
    /// Sends it back, and the generator's end counts.
    Reflect,
}

impl Lab {
    /// `queues` is how many each interface has: a processor's frames go through one of them.
    pub fn new(router: Router, sink: Sink, queues: u32) -> Result<Self, WireError> {
        let what = format!("{}-{}", router.name(), if sink == Sink::Count { "c" } else { "r" });
        let [generator, node, end] =
            ["gen", "node", "sink"].map(|place| Namespace::create(&format!("{what}-{place}")));
        let (generator, node, end) = (generator?, node?, end?);
        connect(&generator, &node, &end, queues)?;
        let processors = CpuSet::count() as u32;
        let mut programs = Vec::new();
        let mut attach =
            |namespace: &Namespace,
             program,
             interface: &str,
             hop: Option<fn() -> Result<NextHop, WireError>>| {
                let loaded = namespace.run(|| {
                    let mut loaded = WirePrograms::load(processors)?;
                    if let Some(hop) = hop {
                        loaded.set_hop(&hop()?);
                    }
                    loaded.attach(program, interface)?;
                    Ok(loaded)
                });
                programs.push(loaded?);
                Ok::<usize, WireError>(programs.len() - 1)
            };
        let near = attach(&generator, WireProgram::Drop, "gen0", None)?;
        let far = match sink {
            Sink::Count => attach(&end, WireProgram::Drop, "sink0", None)?,
            Sink::Reflect => attach(&end, WireProgram::Reflect, "sink0", None)?,
        };
        let (mut agent, mut filter) = (None, None);
        let mut counter = if sink == Sink::Count { far } else { near };
        match router {
            Router::Redirect => {
                attach(&node, WireProgram::Redirect, "gen0", Some(to_sink))?;
                attach(&node, WireProgram::Redirect, "sink0", Some(to_generator))?;
            }
            Router::Tx => {
                attach(&node, WireProgram::Tx, "gen0", None)?;
                counter = near;
            }
            Router::Drop => counter = attach(&node, WireProgram::Drop, "gen0", None)?,
            Router::Kernel => {}
            Router::Nftables(services) => rules::nftables(&node, services)?,
            Router::Iptables(services) => rules::iptables(&node, services)?,
            Router::XdpFilter => filter = Some(XdpFilter::start(&node)?),
            Router::Zonegate => agent = Some(Agent::start(&node, &services(), "")?),
        }
        Ok(Self {
            router,
            generator,
            _sink: end,
            _agent: agent,
            _filter: filter,
            node,
            programs,
            counter,
        })
    }

    /// Where frames come from.
    pub fn generator(&self) -> &Namespace {
        &self.generator
    }

    /// Frames that have come through.
    pub fn counted(&self) -> u64 {
        self.programs[self.counter].counted()
    }

    /// Frames that the node's program has dropped where they came in, as the kernel counts them.
    pub fn dropped(&self) -> Result<u64, WireError> {
        let output = self.node.command("ethtool").args(["-S", "gen0"]).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().filter_map(drops).sum())
    }
}

/// Of one queue, in a line of a veth's statistics.
fn drops(line: &str) -> Option<u64> {
    let (name, count) = line.trim().split_once(": ")?;
    (name.starts_with("rx_queue_") && name.ends_with("_xdp_drops")).then(|| count.parse().ok())?
}

/// Link addresses: of the generator, the node's two ports, and the sink.
pub const GENERATOR: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const NODE: [u8; 6] = [2, 0, 0, 0, 0, 2];
const NODE_SINK: [u8; 6] = [2, 0, 0, 0, 0, 3];
const SINK: [u8; 6] = [2, 0, 0, 0, 0, 4];

fn to_sink() -> Result<NextHop, WireError> {
    hop("sink0", NODE_SINK, SINK)
}

fn to_generator() -> Result<NextHop, WireError> {
    hop("gen0", NODE, GENERATOR)
}

fn hop(interface: &str, source: [u8; 6], destination: [u8; 6]) -> Result<NextHop, WireError> {
    let interface = if_nametoindex(interface).map_err(io::Error::from)?;
    let (destination, source) = (mac8(destination), mac8(source));
    Ok(NextHop { destination, source, interface, ..NextHop::default() })
}

const fn mac8([a, b, c, d, e, f]: [u8; 6]) -> [u8; 8] {
    [a, b, c, d, e, f, 1, 0]
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Joins three namespaces. The node's ports are named for what is behind them. Neighbours are permanent:
/// nobody answers.
pub fn connect(
    generator: &Namespace,
    node: &Namespace,
    sink: &Namespace,
    queues: u32,
) -> Result<(), WireError> {
    for namespace in [generator, node, sink] {
        namespace.feed(&["sysctl", "-q", "-p", "-"], QUIET)?;
    }
    node.feed(&["sysctl", "-q", "-p", "-"], "net.ipv4.ip_forward=1\n")?;
    let pair = |name: &str, inside: [u8; 6], outside: [u8; 6], end: &Namespace| {
        format!(
            "link add {name} address {} type veth peer name {name} address {} netns {}",
            text(inside),
            text(outside),
            end.name()
        )
    };
    node.ip(&[
        pair("gen0", NODE, GENERATOR, generator),
        pair("sink0", NODE_SINK, SINK, sink),
        "addr add 10.200.0.1/24 dev gen0".to_owned(),
        "addr add 10.201.0.1/24 dev sink0".to_owned(),
        "link set lo up".to_owned(),
        "link set gen0 up".to_owned(),
        "link set sink0 up".to_owned(),
        format!("neigh add 10.200.0.2 lladdr {} dev gen0 nud permanent", text(GENERATOR)),
        format!("neigh add 10.201.0.2 lladdr {} dev sink0 nud permanent", text(SINK)),
        format!("route add {CLIENTS} via 10.200.0.2"),
        format!("route add {BACKENDS} via 10.201.0.2"),
    ])?;
    generator.ip(&["link set gen0 up".to_owned()])?;
    sink.ip(&["link set sink0 up".to_owned()])?;
    let queues = queues.to_string();
    for (namespace, interface) in
        [(generator, "gen0"), (node, "gen0"), (node, "sink0"), (sink, "sink0")]
    {
        if queues != "1" {
            namespace.feed(&["ethtool", "-L", interface, "rx", &queues, "tx", &queues], "")?;
        }
        // GRO turns NAPI on, without which a veth takes no frames that XDP sends.
        namespace.feed(&["ethtool", "-K", interface, "gro", "on"], "")?;
    }
    Ok(())
}

/// No IPv6, and no source checks: whatever is on a wire is what is measured.
const QUIET: &str = "\
net.ipv6.conf.all.disable_ipv6=1
net.ipv6.conf.default.disable_ipv6=1
net.ipv4.conf.all.rp_filter=0
net.ipv4.conf.default.rp_filter=0
net.ipv4.conf.all.send_redirects=0
net.ipv4.conf.default.send_redirects=0
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_summed_over_queues() {
        let text = "NIC statistics:\n     peer_ifindex: 2\n     rx_queue_0_xdp_packets: 9\n     \
                    rx_queue_0_xdp_drops: 4\n     rx_queue_1_xdp_drops: 3\n     \
                    tx_queue_0_xdp_xmit_errors: 1\n";
        assert_eq!(text.lines().filter_map(drops).sum::<u64>(), 7);
    }
}
