//! Services at the sockets of the node's own processes: a destination becomes a backend before
//! there are packets, which then need no translation.
//!
//! Whether a socket is the node's, and what its process is to see as its peer afterwards, is up to
//! the programs.

use abi::{address::Leaf, flow::kind, reason::DropReason};

use crate::{
    Address, Context, Hook, Tables, Tuple, affinity,
    classify::Ends,
    flow::entry::Target,
    service::{self, Choice, Steering},
    tables::NoSide,
    tuple::{Port, protocol},
};

/// The other end of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer<A> {
    pub address: A,
    pub port: Port,
}

/// What the process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Connect,
    /// Sends a datagram to a destination that it names.
    Send,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Where it says.
    Untouched,
    /// To the backend that the peer is now.
    Backend,
    /// The service has nobody to answer, and says so.
    Refused,
    /// The process may not.
    Denied(DropReason),
}

/// Where a call of the node's own process leads: among the frontends, to a backend that follows
/// from socket and destination, so that datagrams of one socket stay together while the service
/// has the same backends.
///
/// The client is the node, with the address that backends see of it. Node ports are at every
/// loopback address, too. A UDP socket may be connected to a service's address at a port where
/// there is no service: nothing is sent by that, and resolvers ask for routes in this way.
#[inline(always)]
pub fn way<A: Address, T: Tables>(
    tables: &T,
    call: Call,
    cookie: u64,
    protocol: u8,
    peer: &mut Peer<A>,
) -> Way {
    if !matches!(protocol, protocol::TCP | protocol::UDP) {
        return Way::Untouched;
    }
    let context = match Context::new(Hook::Socket, 0, tables) {
        Ok(context) => context,
        Err(NoSide::NotReady) => return Way::Untouched,
        Err(NoSide::MissingMap) => return Way::Denied(DropReason::MissingMap),
    };
    let is_loopback = peer.address.is_loopback();
    let destination = if is_loopback { A::LOOPBACK } else { peer.address };
    let leaf = destination.leaf(&context);
    let (Some(leaf), Some(node)) = (leaf, context.node()) else {
        return Way::Denied(DropReason::MissingMap);
    };
    if !is_loopback && !leaf.has(Leaf::FRONTEND) {
        return Way::Untouched;
    }
    let mut tuple = Tuple {
        source: A::masquerade(node).unwrap_or(A::from_field(&[0; 16])),
        destination,
        source_port: Port((cookie ^ cookie >> 16) as u16),
        destination_port: peer.port,
        protocol,
    };
    let ends = Ends { source: Leaf::new(0, 0, Leaf::THIS_NODE), destination: leaf };
    let target = Target { backend: 0, service: 0, kind: kind::DNAT };
    let mut choice = Choice { target, next_hop: 0, snat: false };
    match service::steer::<A, T, false>(&context, ends, &mut tuple, &mut choice) {
        Steering::None => Way::Untouched,
        Steering::Chosen => {
            if affinity::is_kept(&context, choice.target.service) {
                affinity::remember(&context, &tuple.source, choice.target);
            }
            *peer = Peer { address: tuple.destination, port: tuple.destination_port };
            Way::Backend
        }
        Steering::Reject => Way::Refused,
        Steering::Drop(DropReason::NoFrontend)
            if protocol == protocol::UDP && call == Call::Connect =>
        {
            Way::Untouched
        }
        Steering::Drop(reason) => Way::Denied(reason),
    }
}
