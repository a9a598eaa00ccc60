//! What sockets of the node's own processes were connected to through services, and whether it is
//! still there.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use abi::{
    control::Control,
    frontend::FrontendKey,
    record::{Backend, Service},
    socket::{Peer, PeerKey},
    table::BLOCK_WORDS,
};
use datapath::protocol::UDP;
use libbpf_rs::{MapCore, MapFlags, MapHandle};
use zerocopy::{FromBytes, IntoBytes};

use super::{
    error::{MapError, system},
    kernel::{ControlRecord, place},
    mapping::Mapping,
};
use crate::image::{address, octets};

/// A connected UDP socket: the kernel's number of it, and where it sends to.
pub type Connected = (u64, SocketAddr);

/// The table of peers, and what they are compared with.
pub struct Peers {
    pub(super) known: MapHandle,
    pub(super) frontends: MapHandle,
    pub(super) services: Mapping,
    pub(super) slots: Mapping,
    pub(super) backends: Mapping,
    pub(super) control: ControlRecord,
}

/// Address, port and service of the backends that serve.
type Serving = HashSet<([u8; 16], [u8; 2], u32)>;

impl Peers {
    pub const NAME: &str = abi::socket::PEERS_MAP;

    /// Of sockets, those that a service has led to a backend that does not serve it any more, by
    /// their place in the list.
    pub fn lost(&self, sockets: &[Connected]) -> Result<Vec<usize>, MapError> {
        let mut known = Vec::new();
        for (index, (cookie, backend)) in sockets.iter().enumerate() {
            let backend = SocketAddr::new(backend.ip().to_canonical(), backend.port());
            if let Some(frontend) = self.frontend(*cookie, backend)? {
                known.push((index, frontend, backend));
            }
        }
        if known.is_empty() {
            return Ok(Vec::new());
        }
        // A commit may come in between; a side is written again by the one after it.
        loop {
            let generation = self.control.read().generation;
            let side = Control::side(generation);
            let serving = self.serving(side);
            let mut lost = Vec::new();
            for (index, frontend, backend) in &known {
                if !self.serves(side, &serving, *frontend, *backend)? {
                    lost.push(*index);
                }
            }
            if self.control.read().generation == generation {
                return Ok(lost);
            }
        }
    }

    /// What the process asked for, if a service led it to its peer.
    fn frontend(&self, cookie: u64, backend: SocketAddr) -> Result<Option<SocketAddr>, MapError> {
        let key = PeerKey {
            cookie,
            address: words(octets(backend.ip())),
            port: u16::from_ne_bytes(backend.port().to_be_bytes()),
            protocol: UDP,
            family: if backend.is_ipv6() { PeerKey::V6 } else { 0 },
            padding: 0,
        };
        let found = look_up(&self.known, Self::NAME, key.as_bytes())?;
        let peer = found.and_then(|bytes| Peer::read_from_bytes(&bytes).ok());
        Ok(peer.map(|peer| {
            let mut octets = [0; 16];
            octets.copy_from_slice(peer.address.as_bytes());
            SocketAddr::new(
                address(octets, backend.is_ipv6()),
                u16::from_be_bytes(peer.port.to_ne_bytes()),
            )
        }))
    }

    /// Which of a service's records a backend names is told by one that has a slot of the node's
    /// processes; where nobody has, the backend may be of any service.
    fn serves(
        &self,
        side: u32,
        serving: &Serving,
        frontend: SocketAddr,
        backend: SocketAddr,
    ) -> Result<bool, MapError> {
        let Some(record) = self.record_of(side, frontend)? else { return Ok(false) };
        let Service { node, .. } = record;
        let (address, port) = (octets(backend.ip()), backend.port().to_be_bytes());
        if node.size() == 0 {
            return Ok(serving.iter().any(|it| (it.0, it.1) == (address, port)));
        }
        let slot = node.start() as usize;
        let pair = self.slots.load(place(side, slot / 2));
        let id = (pair >> (slot % 2 * 32)) as u32;
        let Backend { service, .. } = read(&self.backends, side, id);
        Ok(serving.contains(&(address, port, service)))
    }

    fn record_of(&self, side: u32, frontend: SocketAddr) -> Result<Option<Service>, MapError> {
        let (ip, family) = match frontend.ip() {
            IpAddr::V4(it) if it.is_loopback() => (Ipv4Addr::LOCALHOST.into(), 0),
            IpAddr::V4(it) => (it.into(), 0),
            IpAddr::V6(it) => (IpAddr::from(it), FrontendKey::V6),
        };
        let key = FrontendKey {
            address: octets(ip),
            port: frontend.port().to_be_bytes(),
            protocol: UDP,
            side: family | side as u8,
        };
        let found = look_up(&self.frontends, abi::frontend::FRONTENDS_MAP, key.as_bytes())?;
        let id = found.and_then(|bytes| u64::read_from_bytes(&bytes).ok());
        Ok(id.map(|id| read(&self.services, side, id as u32)))
    }

    fn serving(&self, side: u32) -> Serving {
        let count = (self.backends.words().len() / BLOCK_WORDS / 2) as u32;
        let records = (1..count).map(|id| read::<Backend>(&self.backends, side, id));
        let serving = records.filter(|record| record.flags & Backend::SERVING != 0);
        serving.map(|record| (record.address, record.port, record.service)).collect()
    }
}

/// A record, which is a block.
fn read<R: FromBytes + Default>(table: &Mapping, side: u32, id: u32) -> R {
    let first = place(side, id as usize * BLOCK_WORDS);
    let words: [u64; BLOCK_WORDS] = std::array::from_fn(|word| table.load(first + word));
    R::read_from_bytes(words.as_bytes()).unwrap_or_default()
}

fn look_up(map: &MapHandle, name: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, MapError> {
    let found = map.lookup(key, MapFlags::ANY);
    found.map_err(|error| MapError::Read { name, source: system(&error) })
}

/// As they lie in memory.
fn words(octets: [u8; 16]) -> [u32; 4] {
    let mut words = [0; 4];
    words.as_mut_bytes().copy_from_slice(&octets);
    words
}
