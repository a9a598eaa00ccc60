//! kube-proxy's ipvs mode: virtual servers, the interface that has their addresses, and sets of
//! addresses (`pkg/proxy/ipvs`).

use nix::net::if_::if_nametoindex;

use super::{Leftovers, Program, ProgramError, Removal, ServicePort};

const INTERFACE: &str = "kube-ipvs0";

/// Without the interface there is no kube-proxy's; virtual servers may be anybody's.
pub(super) fn find(leftovers: &mut Leftovers) -> Result<(), ProgramError> {
    if if_nametoindex(INTERFACE).is_err() {
        return Ok(());
    }
    if let Some(servers) = leftovers.ask(&Program::new("ipvsadm", &["-S", "-n"]))? {
        let services = services(&servers);
        if !services.is_empty() {
            let what = format!("ipvs: all {} virtual servers", services.len());
            let program = Program::new("ipvsadm", &["-C"]);
            leftovers.removals.push(Removal { what: vec![what], program, input: String::new() });
        }
        leftovers.services.extend(services);
    }
    if let Some(sets) = leftovers.ask(&Program::new("ipset", &["list", "-n"]))? {
        let sets: Vec<&str> = sets.lines().filter(|name| name.starts_with("KUBE-")).collect();
        if !sets.is_empty() {
            leftovers.removals.push(Removal {
                what: sets.iter().map(|name| format!("ipset: {name}")).collect(),
                program: Program::new("ipset", &["restore"]),
                input: sets.iter().map(|name| format!("destroy {name}\n")).collect(),
            });
        }
    }
    leftovers.removals.push(Removal {
        what: vec![format!("interface {INTERFACE}")],
        program: Program::new("ip", &["link", "delete", INTERFACE]),
        input: String::new(),
    });
    Ok(())
}

/// `-A -t 10.96.0.1:443 -s rr`; real servers have `-a`.
fn services(saved: &str) -> Vec<ServicePort> {
    let services = saved.lines().filter_map(|line| {
        let mut words = line.strip_prefix("-A ")?.split(' ');
        let protocol = match words.next()? {
            "-t" => "tcp",
            "-u" => "udp",
            "--sctp-service" => "sctp",
            _ => return None,
        };
        let address: std::net::SocketAddr = words.next()?.parse().ok()?;
        let protocol = protocol.to_owned();
        Some(ServicePort { address: address.ip(), port: address.port(), protocol })
    });
    services.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_servers_are_services() {
        let saved = "-A -t 10.96.0.1:443 -s rr\n-a -t 10.96.0.1:443 -r 10.0.0.1:6443 -m -w 1\n\
            -A -u [fd00::a]:53 -s rr\n";
        let services: Vec<_> = services(saved).iter().map(ToString::to_string).collect();
        assert_eq!(services, ["10.96.0.1:443/tcp", "[fd00::a]:53/udp"]);
    }
}
