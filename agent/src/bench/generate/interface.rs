//! The interface that frames go out of, as this thread's network namespace has it.

use std::{fs, io};

use nix::{ifaddrs::getifaddrs, net::if_::if_nametoindex};

use super::{GenerateError, span::Mac};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub index: u32,
    pub mac: Mac,
}

impl Interface {
    pub fn named(name: &str) -> Result<Self, GenerateError> {
        let index =
            if_nametoindex(name).map_err(|_| GenerateError::NoInterface(name.to_owned()))?;
        let addresses = getifaddrs().map_err(io::Error::from)?;
        let mac = addresses.filter(|it| it.interface_name == name).find_map(|it| {
            let address = it.address?;
            address.as_link_addr()?.addr()
        });
        Ok(Self { name: name.to_owned(), index, mac: Mac(mac.unwrap_or_default()) })
    }

    /// Whether a default route leaves by it.
    pub fn has_default_route(&self) -> Result<bool, GenerateError> {
        // Without IPv6 there is no such file.
        let six = fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap_or_default();
        let four = fs::read_to_string("/proc/thread-self/net/route")?;
        Ok(default_routes4(&four).chain(default_routes6(&six)).any(|name| name == self.name))
    }

    /// Frames that it has sent, by its own account.
    pub fn transmitted(&self) -> Result<u64, GenerateError> {
        let text = fs::read_to_string("/proc/thread-self/net/dev")?;
        Ok(transmitted(&text, &self.name).unwrap_or_default())
    }
}

/// The interfaces of routes to 0.0.0.0/0 in `/proc/net/route`.
fn default_routes4(text: &str) -> impl Iterator<Item = &str> {
    text.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_default = fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000");
        fields.first().copied().filter(|_| is_default)
    })
}

/// The interfaces of routes to `::/0` in `/proc/net/ipv6_route`.
fn default_routes6(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_default = fields.first().is_some_and(|it| it.bytes().all(|byte| byte == b'0'))
            && fields.get(1) == Some(&"00");
        // The kernel lists a route that refuses at the loopback.
        fields.last().copied().filter(|name| is_default && *name != "lo")
    })
}

/// The tenth number after the name in `/proc/net/dev`.
fn transmitted(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.trim().split_once(':'));
    let (_, numbers) = lines.find(|(interface, _)| *interface == name)?;
    numbers.split_ascii_whitespace().nth(9)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_routes_are_found_in_both_families() {
        let four = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth1\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth2\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0
";
        assert_eq!(default_routes4(four).collect::<Vec<_>>(), ["eth0"]);
        let zeros = "0".repeat(32);
        let line =
            |length, name| format!("{zeros} {length} {zeros} 00 {zeros} 400 1 0 00000003 {name}\n");
        let six = [line("00", "eth3"), line("40", "eth4"), line("00", "lo")].concat();
        assert_eq!(default_routes6(&six).collect::<Vec<_>>(), ["eth3"]);
    }

    #[test]
    fn the_interfaces_own_account_is_read() {
        let text = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs
    lo: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0
veth0: 5 6 0 0 0 0 0 0 7 8 0 0 0 0 0 0
";
        assert_eq!(transmitted(text, "veth0"), Some(8));
        assert_eq!(transmitted(text, "lo"), Some(4));
        assert_eq!(transmitted(text, "veth"), None);
    }

    #[test]
    fn the_loopback_is_there_and_has_no_default_route() {
        let interface = Interface::named("lo").unwrap();
        assert_eq!((interface.index, interface.mac), (1, Mac([0; 6])));
        assert!(!interface.has_default_route().unwrap());
        let error = Interface::named("no-such").unwrap_err().to_string();
        assert_eq!(error, "there is no interface no-such here");
    }
}
