//! The frames that the prologue restores.

use std::net::{IpAddr, SocketAddr};

use abi::bench::{FIRST_PORT, FRAME, FRAME_WORDS, PORT_BITS, Setup, shape, word_offset};

/// TCP segments between a client and a server, of any of many flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    pub direction: Direction,
    pub clients: Clients,
    /// The first server, and the port of all.
    pub server: SocketAddr,
    /// Of TCP.
    pub flags: u8,
}

/// Addresses that packets come from; a flow's number chooses among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clients {
    pub first: IpAddr,
    /// They lie two to the power of this apart.
    pub spread: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

pub const SYN: u8 = 0x02;
pub const ACK: u8 = 0x10;

impl Packet {
    /// What the prologue needs to know: `flows` is the length of the list of flows, 0 for packets
    /// that are all of new flows, from number `next` on.
    pub fn setup(&self, flows: u32, next: u64) -> Setup {
        let frame = self.frame();
        let word = |index| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&frame[word_offset(index)..][..8]);
            u64::from_ne_bytes(bytes)
        };
        let words: [u64; FRAME_WORDS] = std::array::from_fn(word);
        Setup {
            frame: words,
            next,
            flows,
            shape: match (self.server, self.direction) {
                (SocketAddr::V4(_), Direction::ToServer) => shape::V4_TO_SERVER,
                (SocketAddr::V4(_), Direction::ToClient) => shape::V4_TO_CLIENT,
                (SocketAddr::V6(_), Direction::ToServer) => shape::V6_TO_SERVER,
                (SocketAddr::V6(_), Direction::ToClient) => shape::V6_TO_CLIENT,
            },
            client: low_half(self.clients.first),
            server: low_half(self.server.ip()),
            spread: self.clients.spread,
            ..Setup::default()
        }
    }

    /// The frame of the first flow. Checksums are zero: nothing here verifies them, and updating
    /// them costs the same.
    fn frame(&self) -> [u8; FRAME] {
        let client = SocketAddr::new(self.clients.first, FIRST_PORT);
        let (source, destination) = match self.direction {
            Direction::ToServer => (client, self.server),
            Direction::ToClient => (self.server, client),
        };
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        let length = FRAME - ETHERNET;
        match (source.ip(), destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                bytes.extend([0x08, 0x00, 0x45, 0, 0, length as u8, 0, 0, 0x40, 0]);
                bytes.extend([HOP_LIMIT, TCP, 0, 0]);
                bytes.extend(source.octets().into_iter().chain(destination.octets()));
            }
            (source, destination) => {
                bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, (length - IPV6) as u8]);
                bytes.extend([TCP, HOP_LIMIT]);
                for address in [source, destination] {
                    let IpAddr::V6(address) = address else { continue };
                    bytes.extend(address.octets());
                }
            }
        }
        bytes.extend(
            source.port().to_be_bytes().into_iter().chain(destination.port().to_be_bytes()),
        );
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        let mut frame = [0; FRAME];
        frame[..bytes.len()].copy_from_slice(&bytes);
        frame
    }
}

impl Clients {
    /// The number of the flow that has this client.
    pub fn flow_of(&self, client: SocketAddr) -> u32 {
        let address = low_half(client.ip()).wrapping_sub(low_half(self.first)) >> self.spread;
        address << PORT_BITS | u32::from(client.port()) & ((1 << PORT_BITS) - 1)
    }
}

/// The last 32 bits of an address.
fn low_half(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => address.to_bits() as u32,
    }
}

const ETHERNET: usize = 14;
const IPV6: usize = 40;
const TCP: u8 = 6;
const HOP_LIMIT: u8 = 64;

#[cfg(test)]
mod tests {
    use datapath::{
        Address, V4, V6,
        parse::{self, Reading},
    };

    use super::*;
    use crate::{
        bench::world::{
            FAR_CLIENTS, OUTSIDERS4, OUTSIDERS6, SERVICE4, SERVICE6, WORKLOAD4, WORKLOAD6,
        },
        simulate::Frame,
    };

    fn parsed<A: Address>(packet: Packet) -> parse::Parsed<A> {
        parse::packet::<A, _>(&Frame(packet.frame().to_vec()), ETHERNET as u32, Reading::Full)
            .unwrap()
    }

    #[test]
    fn frames_are_what_the_datapath_takes_them_for() {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let packet = |clients, server| Packet { direction, clients, server, flags: SYN };
            let four = parsed::<V4>(packet(OUTSIDERS4, SERVICE4));
            assert_eq!((four.kind, four.tcp_flags, four.ttl), (parse::Kind::Flow, SYN, 64));
            assert_eq!((four.network, four.transport), (14, 34));
            let six = parsed::<V6>(packet(OUTSIDERS6, SERVICE6));
            assert_eq!((six.kind, six.tcp_flags, six.ttl), (parse::Kind::Flow, SYN, 64));
            assert_eq!((six.network, six.transport), (14, 54));
            let port = match direction {
                Direction::ToServer => [four.tuple.destination_port, six.tuple.destination_port],
                Direction::ToClient => [four.tuple.source_port, six.tuple.source_port],
            };
            assert_eq!(port.map(datapath::Port::number), [80, 80]);
        }
    }

    #[test]
    fn the_words_are_the_frame() {
        for (clients, server) in [(OUTSIDERS4, WORKLOAD4), (OUTSIDERS6, WORKLOAD6)] {
            let direction = Direction::ToClient;
            let packet = Packet { direction, clients, server, flags: ACK };
            let mut frame = [0; FRAME];
            for (index, word) in packet.setup(1, 0).frame.into_iter().enumerate() {
                frame[word_offset(index)..][..8].copy_from_slice(&word.to_ne_bytes());
            }
            assert_eq!(frame, packet.frame());
        }
    }

    #[test]
    fn flows_are_known_by_their_clients() {
        for (clients, client, flow) in [
            (OUTSIDERS4, "198.18.0.0:32768", 0),
            (OUTSIDERS4, "198.18.0.0:32769", 1),
            (OUTSIDERS4, "198.18.0.1:32768", 1 << 14),
            (OUTSIDERS4, "198.19.255.255:49151", (1 << 31) - 1),
            (OUTSIDERS6, "[2001:db8::2]:32771", (2 << 14) + 3),
            (FAR_CLIENTS, "20.0.6.0:32769", (3 << 14) + 1),
        ] {
            assert_eq!(clients.flow_of(client.parse().unwrap()), flow, "{client}");
        }
    }
}
