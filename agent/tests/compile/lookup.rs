//! Lookups on an image, written from the documentation of the tables.

use std::net::IpAddr;

use abi::{
    address::{CHUNK, LEVEL1, Leaf},
    frontend::FrontendKey,
    record::{
        Endpoint, PAGE_ALL, PAGE_FIRST, PAGE_NONE, PAGE_WORDS, PORT_SET_ALL, PORT_SET_NONE,
        PortSet, ROW_ALLOW, Service,
    },
    table::Table,
};
use zonegate::{image::Image, model::Frontend};

use crate::oracle::{Direction, Relation};

pub fn leaf(image: &Image, address: IpAddr) -> Leaf {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            let word = |index: usize| Leaf(image.word(Table::Addresses4, index));
            let mut leaf = word(usize::from(a) << 8 | usize::from(b));
            for byte in [c, d] {
                if let Some(chunk) = leaf.as_chunk() {
                    leaf = word(LEVEL1 + chunk as usize * CHUNK + usize::from(byte));
                }
            }
            leaf
        }
        IpAddr::V6(address) => {
            if let Some(leaf) = image.addresses6.get(&address.octets()) {
                return *leaf;
            }
            let masked = |bits: u8| {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                (u128::from(address) & mask).to_be_bytes()
            };
            (0..=128)
                .rev()
                .find_map(|bits| image.prefixes6.get(&(masked(bits), bits)))
                .copied()
                .unwrap_or_default()
        }
    }
}

pub fn endpoint_id(image: &Image, workload: &str) -> u16 {
    *image.ports.iter().find(|(_, port)| port.workload == workload).unwrap().0
}

pub fn endpoint(image: &Image, workload: &str) -> Endpoint {
    image.record(Table::Endpoints, endpoint_id(image, workload).into())
}

/// The epoch that is part of every flow's sum.
pub fn node_epoch(image: &Image) -> u32 {
    image.record::<Endpoint>(Table::Endpoints, 0).epoch
}

pub fn allows(
    image: &Image,
    workload: &str,
    direction: Direction,
    relation: Relation,
    peer: IpAddr,
    protocol: u8,
    port: u16,
) -> bool {
    let endpoint = endpoint(image, workload);
    let row = match (direction, relation) {
        (_, Relation::Itself) => return true,
        (Direction::Ingress, Relation::Other) => endpoint.ingress_row,
        (Direction::Egress, Relation::Other) => endpoint.egress_row,
        (Direction::Ingress, _) => endpoint.ingress_exempt_row,
        (Direction::Egress, _) => endpoint.egress_exempt_row,
    };
    if row == ROW_ALLOW {
        return true;
    }
    assert_eq!(row % 8, 0, "rows begin with a block");
    let class = leaf(image, peer).class() as usize;
    let ids = image.word(Table::Rows, row as usize + class / 4);
    let id = (ids >> (class % 4 * 16)) as u16;
    let set = PortSet(image.word(Table::PortSets, id.into()));
    match id {
        PORT_SET_NONE => assert_eq!(set, PortSet::new(PAGE_NONE, PAGE_NONE, PAGE_NONE, false)),
        PORT_SET_ALL => assert_eq!(set, PortSet::new(PAGE_ALL, PAGE_ALL, PAGE_ALL, true)),
        _ => {}
    }
    let page = match protocol {
        6 => set.tcp(),
        17 => set.udp(),
        132 => set.sctp(),
        _ => return set.others(),
    };
    match page {
        PAGE_NONE => false,
        PAGE_ALL => true,
        _ => {
            let start = (page - PAGE_FIRST) as usize * PAGE_WORDS as usize;
            image.word(Table::Pages, start + usize::from(port / 64)) >> (port % 64) & 1 != 0
        }
    }
}

/// The service record behind a frontend, with its id.
pub fn service(image: &Image, frontend: Frontend) -> (u32, Service) {
    let mut address = [0; 16];
    let side = match frontend.address {
        IpAddr::V4(it) => {
            address[..4].copy_from_slice(&it.octets());
            0
        }
        IpAddr::V6(it) => {
            address = it.octets();
            FrontendKey::V6
        }
    };
    let port = frontend.port.to_be_bytes();
    let key = FrontendKey { address, port, protocol: frontend.protocol.number(), side };
    let id = image.frontends[&key];
    (id, image.record(Table::Services, id))
}

/// Backend ids by slot of a service's range.
pub fn slots(image: &Image, service: &Service) -> Vec<u32> {
    let range = service.pods;
    (range.start()..range.start() + range.size())
        .map(|slot| (image.word(Table::Slots, slot as usize / 2) >> (slot % 2 * 32)) as u32)
        .collect()
}
