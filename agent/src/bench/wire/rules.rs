//! Rules for services of one endpoint each, in the shapes in which kube-proxy writes them.

use std::fmt::Write;

use super::{
    WireError,
    namespace::Namespace,
    router::{BACKEND_PORT, CLIENTS, SERVICE_PORT, backend, service},
};

/// As kube-proxy's nftables mode: a verdict map leads to the service's chain, which chooses an
/// endpoint's chain by another.
pub fn nftables(node: &Namespace, services: u32) -> Result<(), WireError> {
    node.feed(&["nft", "-f", "-"], NFTABLES)?;
    // Everything at once would take minutes.
    for first in (0..services).step_by(CHUNK as usize) {
        let indices = first..services.min(first + CHUNK);
        node.feed(&["nft", "-f", "-"], &nftables_services(indices))?;
    }
    Ok(())
}

const CHUNK: u32 = 500;

const NFTABLES: &str = "\
add table ip kube-proxy
add chain ip kube-proxy mark-for-masquerade
add rule ip kube-proxy mark-for-masquerade mark set mark or 0x4000
add chain ip kube-proxy masquerading
add rule ip kube-proxy masquerading mark and 0x4000 == 0 return
add rule ip kube-proxy masquerading mark set mark xor 0x4000
add rule ip kube-proxy masquerading masquerade fully-random
add set ip kube-proxy cluster-ips { type ipv4_addr; }
add map ip kube-proxy no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }
add map ip kube-proxy service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
add map ip kube-proxy service-nodeports { type inet_proto . inet_service : verdict; }
add chain ip kube-proxy service-endpoints-check
add rule ip kube-proxy service-endpoints-check ip daddr . meta l4proto . th dport vmap @no-endpoint-services
add chain ip kube-proxy cluster-ips-check
add rule ip kube-proxy cluster-ips-check ip daddr @cluster-ips reject
add chain ip kube-proxy services
add rule ip kube-proxy services ip daddr . meta l4proto . th dport vmap @service-ips
add rule ip kube-proxy services fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @service-nodeports
add chain ip kube-proxy filter-forward { type filter hook forward priority -110; }
add rule ip kube-proxy filter-forward ct state new jump service-endpoints-check
add rule ip kube-proxy filter-forward ct state new jump cluster-ips-check
add chain ip kube-proxy nat-prerouting { type nat hook prerouting priority -100; }
add rule ip kube-proxy nat-prerouting jump services
add chain ip kube-proxy nat-postrouting { type nat hook postrouting priority 100; }
add rule ip kube-proxy nat-postrouting jump masquerading
";

fn nftables_services(indices: std::ops::Range<u32>) -> String {
    let mut text = String::new();
    for index in indices {
        let (service, backend) = (service(index), backend(index));
        let chain = format!("service-{index:08X}-bench/s{index}/udp/p80");
        let endpoint = format!("endpoint-{index:08X}-bench/s{index}/udp/p80__{backend}/8080");
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\
add chain ip kube-proxy {chain}
add chain ip kube-proxy {endpoint}
add rule ip kube-proxy {endpoint} ip saddr {backend} jump mark-for-masquerade
add rule ip kube-proxy {endpoint} meta l4proto udp dnat to {backend}:{BACKEND_PORT}
add rule ip kube-proxy {chain} ip daddr {service} ip saddr != {CLIENTS} jump mark-for-masquerade
add rule ip kube-proxy {chain} numgen random mod 1 vmap {{ 0 : goto {endpoint} }}
add element ip kube-proxy cluster-ips {{ {service} }}
add element ip kube-proxy service-ips {{ {service} . udp . {SERVICE_PORT} : goto {chain} }}
"
        );
    }
    text
}

/// As kube-proxy's iptables mode: one rule after the other, in the order of hashes.
pub fn iptables(node: &Namespace, services: u32) -> Result<(), WireError> {
    node.feed(&["iptables-legacy-restore", "--noflush"], &iptables_table(services))
}

fn iptables_table(services: u32) -> String {
    let mut chains = String::from(
        "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-POSTROUTING - [0:0]\n:KUBE-MARK-MASQ - [0:0]\n",
    );
    let mut rules = String::from(
        "\
-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
",
    );
    // The services that are called are anywhere among the others.
    let mut order: Vec<u32> = (0..services).collect();
    order.sort_by_key(|index| index.wrapping_mul(0x9e37_79b1));
    for index in order {
        let (service, backend) = (service(index), backend(index));
        let name = format!("bench/s{index}:p80");
        let _ = write!(chains, ":KUBE-SVC-{index:016X} - [0:0]\n:KUBE-SEP-{index:016X} - [0:0]\n");
        let _ = write!(
            rules,
            "\
-A KUBE-SERVICES -m comment --comment \"{name} cluster IP\" -m udp -p udp -d {service} --dport {SERVICE_PORT} -j KUBE-SVC-{index:016X}
-A KUBE-SVC-{index:016X} -m comment --comment \"{name} cluster IP\" -m udp -p udp -d {service} --dport {SERVICE_PORT} ! -s {CLIENTS} -j KUBE-MARK-MASQ
-A KUBE-SVC-{index:016X} -m comment --comment \"{name} -> {backend}:{BACKEND_PORT}\" -j KUBE-SEP-{index:016X}
-A KUBE-SEP-{index:016X} -m comment --comment {name} -s {backend} -j KUBE-MARK-MASQ
-A KUBE-SEP-{index:016X} -m comment --comment {name} -m udp -p udp -j DNAT --to-destination {backend}:{BACKEND_PORT}
"
        );
    }
    format!("{chains}{rules}COMMIT\n")
}
