//! Cables, addresses and routes, as a handful of `ip` batches.

use anyhow::{Context, Result};

use super::{Bed, Host, addresses};
use crate::{netns::Netns, packet::mac_text};

/// Turns bare namespaces into a network.
pub(super) fn connect(bed: &Bed) -> Result<()> {
    let hosts = || bed.workloads.iter().chain(&bed.remotes).chain(&bed.clients);
    bed.fabric.sysctl(NO_IPV6)?;
    for netns in hosts().map(|host| &host.netns).chain([&bed.node.netns]) {
        netns.sysctl(QUIET).with_context(|| format!("in {}", netns.name()))?;
    }
    bed.node.netns.sysctl(ROUTER)?;

    // Each end is created in its final namespace, where the defaults set above apply to it.
    let cables = hosts().chain([&bed.node]).map(cable).collect::<Vec<_>>();
    bed.fabric.ip(&cables).context("creating veth pairs")?;

    bed.fabric.ip(&switch(bed))?;
    bed.node.netns.ip(&node(bed))?;
    for host in &bed.workloads {
        host.netns.ip(&workload(host))?;
    }
    for (n, host) in (1..).zip(&bed.remotes) {
        host.netns.ip(&remote(bed, host, n))?;
    }
    for host in &bed.clients {
        host.netns.ip(&client(bed, host))?;
    }
    offloads(bed)
}

pub(super) fn cable(host: &Host) -> String {
    format!(
        "link add {} address {} netns {} type veth peer name {} address {} netns {}",
        host.interface,
        mac_text(host.mac),
        host.netns.name(),
        host.peer.interface,
        mac_text(host.peer.mac),
        host.peer.netns.name(),
    )
}

fn switch(bed: &Bed) -> Vec<String> {
    let mut lines = vec![
        "link set lo up".to_owned(),
        "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0".to_owned(),
        "link set br0 up".to_owned(),
    ];
    for port in switch_ports(bed) {
        // GRO is on for its side effect, NAPI, without which frames that a program sends into the
        // other end are lost. It must not merge segments: they would leave with new checksums.
        lines.push(format!("link set {port} master br0 gro_max_size 1 up"));
    }
    lines
}

fn node(bed: &Bed) -> Vec<String> {
    let addresses::Dual { v4, v6 } = bed.node.addresses;
    let uplink = &bed.node.interface;
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("link set {uplink} up"),
        format!("addr add {v4}/24 dev {uplink}"),
        format!("addr add {v6}/64 dev {uplink} nodad"),
    ];
    lines.extend(bed.workloads.iter().flat_map(|host| port(&bed.node, host)));
    lines.extend(pod_routes(bed, None));
    let [clients_v4, clients_v6] = addresses::CLIENT_PREFIXES;
    lines.push(format!("route add {clients_v4} dev {uplink} src {v4}"));
    lines.push(format!("route add {clients_v6} dev {uplink} src {v6}"));
    lines
}

/// A workload's port on its node.
pub(super) fn port(node: &Host, workload: &Host) -> [String; 5] {
    let addresses::Dual { v4, v6 } = node.addresses;
    let gateway = addresses::WORKLOAD_GATEWAY;
    let port = &workload.peer.interface;
    [
        format!("link set {port} up"),
        format!("addr add {}/32 dev {port}", gateway.v4),
        format!("addr add {}/64 dev {port} nodad", gateway.v6),
        format!("route add {}/32 dev {port} scope link src {v4}", workload.v4()),
        format!("route add {}/128 dev {port} src {v6}", workload.v6()),
    ]
}

pub(super) fn workload(host: &Host) -> Vec<String> {
    let addresses::Dual { v4, v6 } = addresses::WORKLOAD_GATEWAY;
    vec![
        "link set lo up".to_owned(),
        "link set eth0 up".to_owned(),
        format!("addr add {}/32 dev eth0", host.v4()),
        format!("addr add {}/128 dev eth0 nodad", host.v6()),
        format!("route add {v4}/32 dev eth0 scope link"),
        format!("route add default via {v4}"),
        format!("route add default via {v6} dev eth0"),
    ]
}

fn remote(bed: &Bed, host: &Host, n: u8) -> Vec<String> {
    let mut lines = vec![
        "link set lo up".to_owned(),
        "link set eth0 gro_max_size 1 up".to_owned(),
        format!("addr add {}/24 dev eth0", host.v4()),
        format!("addr add {}/64 dev eth0 nodad", host.v6()),
    ];
    for pod in &host.pods {
        lines.push(format!("addr add {}/32 dev lo", pod.v4));
        lines.push(format!("addr add {}/128 dev lo nodad", pod.v6));
    }
    let through_node = [
        &addresses::SERVICE_PREFIXES[..],
        &addresses::WORKLOAD_PREFIXES,
        &addresses::CLIENT_PREFIXES,
    ];
    lines.extend(through_node.concat().iter().map(|prefix| route(prefix, &bed.node)));
    lines.extend(pod_routes(bed, Some(n)));
    lines
}

fn client(bed: &Bed, host: &Host) -> Vec<String> {
    let addresses::Dual { v4, v6 } = bed.node.addresses;
    vec![
        "link set lo up".to_owned(),
        "link set eth0 gro_max_size 1 up".to_owned(),
        format!("addr add {}/32 dev eth0", host.v4()),
        format!("addr add {}/128 dev eth0 nodad", host.v6()),
        format!("route add {v4}/32 dev eth0 scope link"),
        format!("route add {v6}/128 dev eth0"),
        format!("route add default via {v4}"),
        format!("route add default via {v6}"),
    ]
}

/// Routes to the pods of all remotes but the `except`-th.
fn pod_routes(bed: &Bed, except: Option<u8>) -> Vec<String> {
    let with_pods = (1..).zip(&bed.remotes).filter(|(_, host)| !host.pods.is_empty());
    with_pods
        .filter(|(n, _)| Some(*n) != except)
        .flat_map(|(n, host)| addresses::remote_pod_prefixes(n).map(|prefix| route(&prefix, host)))
        .collect()
}

pub(super) fn route(prefix: &str, via: &Host) -> String {
    if prefix.contains(':') {
        format!("route add {prefix} via {}", via.v6())
    } else {
        format!("route add {prefix} via {}", via.v4())
    }
}

fn switch_ports(bed: &Bed) -> impl Iterator<Item = &str> {
    [&bed.node].into_iter().chain(&bed.remotes).chain(&bed.clients).map(Host::port)
}

/// Gives the cables outside the node the ways of a wire.
///
/// A veth hands over packets whose checksum nobody has filled in and segments above the MTU, which
/// XDP could not see. The uplink keeps GSO: what leaves through its tc hook is still whole, as on
/// a NIC, and is cut up after it. Workloads need NAPI for redirects into them.
fn offloads(bed: &Bed) -> Result<()> {
    ethtool(&bed.fabric, switch_ports(bed), "tx off tso off gso off gro on")?;
    ethtool(&bed.node.netns, [bed.node.interface()], "tx off tso off gro on")?;
    for host in bed.remotes.iter().chain(&bed.clients) {
        ethtool(&host.netns, ["eth0"], "tx off tso off gso off gro on")?;
    }
    for host in &bed.workloads {
        ethtool(&host.netns, ["eth0"], "gro on")?;
    }
    Ok(())
}

fn ethtool<'a>(
    netns: &Netns,
    interfaces: impl IntoIterator<Item = &'a str>,
    features: &str,
) -> Result<()> {
    let commands = interfaces.into_iter().map(|name| format!("ethtool -K {name} {features}\n"));
    netns.shell(&commands.collect::<String>()).map(drop)
}

/// The switch forwards frames and speaks no protocol itself.
const NO_IPV6: [(&str, &str); 2] =
    [("ipv6/conf/all/disable_ipv6", "1"), ("ipv6/conf/default/disable_ipv6", "1")];

/// No address detection, router discovery, redirects, source checks or rationed ICMP errors:
/// what a test sees on a wire is what it caused.
pub(super) const QUIET: [(&str, &str); 17] = [
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv4/conf/default/accept_redirects", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    ("ipv4/icmp_ratelimit", "0"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/dad_transmits", "0"),
    ("ipv6/conf/all/accept_ra", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/all/accept_redirects", "0"),
    ("ipv6/conf/default/accept_redirects", "0"),
    ("ipv6/conf/all/router_solicitations", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
    ("ipv6/icmp/ratelimit", "0"),
];

pub(super) const ROUTER: [(&str, &str); 3] = [
    ("ipv4/ip_forward", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv6/conf/default/forwarding", "1"),
];
