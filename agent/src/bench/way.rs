//! The way back to pods of another node, which replies ask the kernel for.

use std::{fs, io, process::Command};

use abi::next_hop::NextHop;
use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, unshare},
};

use super::{
    wire::{WireError, command},
    world::{PODS4, PODS4_LENGTH},
};

/// Moves this thread to a network namespace of its own, which is gone with it, with a route to the
/// pods. Gives the neighbour that the route leads to.
pub fn open() -> Result<NextHop, WireError> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    let [own, neighbour] = [OWN, NEIGHBOUR].map(|mac| mac.map(|it| format!("{it:02x}")).join(":"));
    let pods = PODS4.first;
    let lines = format!(
        "link add way0 address {own} type veth peer name end0\n\
         link set end0 up\n\
         link set way0 up\n\
         addr add 10.250.0.1/24 dev way0\n\
         neigh add 10.250.0.2 lladdr {neighbour} dev way0 nud permanent\n\
         route add {pods}/{PODS4_LENGTH} via 10.250.0.2\n"
    );
    command(Command::new("ip").args(["-batch", "-"]), &lines)?;
    let interface = if_nametoindex("way0").map_err(io::Error::from)?;
    Ok(NextHop {
        destination: record(NEIGHBOUR, 1),
        source: record(OWN, 0),
        interface,
        mtu: 1500,
        padding: 0,
    })
}

const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
const NEIGHBOUR: [u8; 6] = [2, 0, 0, 0, 0, 4];

/// A link address as a next hop has it; of the destination, that it can be used and takes frames.
const fn record([a, b, c, d, e, f]: [u8; 6], flag: u8) -> [u8; 8] {
    [a, b, c, d, e, f, flag, flag]
}
