//! The sided hash tables: how an image's maps are keys and values of the kernel's.
//!
//! Two of them no program reads: they keep what an image says of ports and next hops, so that
//! the next agent knows all of what its predecessor had committed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use abi::{
    address::{ADDRESSES6_MAP, Address6Key, Leaf, PREFIXES6_MAP, Prefix6Key},
    frontend::{FRONTENDS_MAP, FrontendKey},
};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::{
    dataplane::CommitError,
    draft::Compiled,
    image::{Image, Port, octets},
};

/// Values by key, as bytes.
pub type Entries = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// Keys with their values, or with nothing.
pub type Encoded = Vec<(Box<[u8]>, Option<Box<[u8]>>)>;

/// A sided hash table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Keyed {
    Addresses6,
    Prefixes6,
    Frontends,
    /// Interface and workload by endpoint id.
    PortNames,
    /// Address by next-hop id.
    HopAddresses,
}

/// Bytes of an interface's name in a [`Keyed::PortNames`] value; the workload's name and its
/// address follow, all padded with zeros.
const INTERFACE: usize = libc::IFNAMSIZ;
const WORKLOAD: usize = 496 - ADDRESS;
/// An address: 4 or 6, then its bytes; 0 for none.
const ADDRESS: usize = 17;

impl Keyed {
    pub const ALL: [Self; 5] =
        [Self::Addresses6, Self::Prefixes6, Self::Frontends, Self::PortNames, Self::HopAddresses];

    /// Those that no program declares; the agent makes them.
    pub const OWN: [Self; 2] = [Self::PortNames, Self::HopAddresses];

    pub const fn map_name(self) -> &'static str {
        match self {
            Self::Addresses6 => ADDRESSES6_MAP,
            Self::Prefixes6 => PREFIXES6_MAP,
            Self::Frontends => FRONTENDS_MAP,
            Self::PortNames => abi::map_name!("port_names"),
            Self::HopAddresses => abi::map_name!("hop_addrs"),
        }
    }

    pub const fn key_size(self) -> usize {
        match self {
            Self::Addresses6 => size_of::<Address6Key>(),
            Self::Prefixes6 => size_of::<Prefix6Key>(),
            Self::Frontends => size_of::<FrontendKey>(),
            Self::PortNames | Self::HopAddresses => size_of::<[u32; 2]>(),
        }
    }

    pub const fn value_size(self) -> usize {
        match self {
            Self::Addresses6 | Self::Prefixes6 | Self::Frontends => size_of::<u64>(),
            Self::PortNames => INTERFACE + WORKLOAD + ADDRESS,
            Self::HopAddresses => ADDRESS,
        }
    }

    /// The side that a key belongs to.
    pub fn side(self, key: &[u8]) -> u32 {
        let side = match self {
            Self::Addresses6 => Address6Key::read_from_bytes(key).map_or(0, |key| key.side),
            Self::Prefixes6 => Prefix6Key::read_from_bytes(key).map_or(0, |key| key.side.into()),
            Self::Frontends => FrontendKey::read_from_bytes(key).map_or(0, |key| key.side.into()),
            Self::PortNames | Self::HopAddresses => own_key_words(key)[1],
        };
        side & 1
    }

    /// How many entries a side has of an image.
    pub fn len(self, image: &Image) -> usize {
        match self {
            Self::Addresses6 => image.addresses6.len(),
            Self::Prefixes6 => image.prefixes6.len(),
            Self::Frontends => image.frontends.len(),
            Self::PortNames => image.ports.len(),
            Self::HopAddresses => image.next_hops.len(),
        }
    }

    /// What a side holds of `image`: all of it, or of what changed, which may be nothing.
    ///
    /// # Errors
    /// A name that is longer than its field.
    pub fn encode(self, compiled: Compiled<'_>, side: u32) -> Result<Encoded, CommitError> {
        let Compiled { image, changes } = compiled;
        Ok(match self {
            Self::Addresses6 => pick(&image.addresses6, changes.map(|it| &it.addresses6))
                .map(|(address, leaf)| {
                    let key = Address6Key { address: *address, side };
                    (key.as_bytes().into(), leaf.map(|leaf| leaf.0.as_bytes().into()))
                })
                .collect(),
            Self::Prefixes6 => pick(&image.prefixes6, changes.map(|it| &it.prefixes6))
                .map(|((address, length), leaf)| {
                    let key = Prefix6Key {
                        prefix_len: Prefix6Key::SIDE_BITS + u32::from(*length),
                        side: side as u8,
                        address: *address,
                        ..FromZeros::new_zeroed()
                    };
                    (key.as_bytes().into(), leaf.map(|leaf| leaf.0.as_bytes().into()))
                })
                .collect(),
            Self::Frontends => pick(&image.frontends, changes.map(|it| &it.frontends))
                .map(|(key, service)| {
                    let key = FrontendKey { side: key.side | side as u8, ..*key };
                    let value = service.map(|service| u64::from(*service).as_bytes().into());
                    (key.as_bytes().into(), value)
                })
                .collect(),
            Self::PortNames => pick(&image.ports, changes.map(|it| &it.ports))
                .map(|(id, port)| {
                    Ok((own_key(u32::from(*id), side), port.map(port_value).transpose()?))
                })
                .collect::<Result<_, CommitError>>()?,
            Self::HopAddresses => pick(&image.next_hops, changes.map(|it| &it.next_hops))
                .map(|(id, address)| {
                    (own_key(*id, side), address.map(|address| address_value(*address)))
                })
                .collect(),
        })
    }

    /// The reverse of [`Self::encode`]: adds entries of one side to `image`.
    pub fn decode(self, entries: &Entries, image: &mut Image) {
        for (key, value) in entries {
            match self {
                Self::Addresses6 => {
                    if let Ok(key) = Address6Key::read_from_bytes(key) {
                        image.addresses6.insert(key.address, Leaf(word(value)));
                    }
                }
                Self::Prefixes6 => {
                    if let Ok(key) = Prefix6Key::read_from_bytes(key) {
                        let length = key.prefix_len.saturating_sub(Prefix6Key::SIDE_BITS);
                        image.prefixes6.insert((key.address, length as u8), Leaf(word(value)));
                    }
                }
                Self::Frontends => {
                    if let Ok(key) = FrontendKey::read_from_bytes(key) {
                        let key = FrontendKey { side: key.side & !1, ..key };
                        image.frontends.insert(key, word(value) as u32);
                    }
                }
                Self::PortNames => {
                    let (interface, rest) = value.split_at(INTERFACE.min(value.len()));
                    let (workload, held) = rest.split_at(WORKLOAD.min(rest.len()));
                    let port = Port {
                        workload: text(workload),
                        interface: text(interface),
                        address: address(held),
                    };
                    image.ports.insert(own_key_words(key)[0] as u16, port);
                }
                Self::HopAddresses => {
                    if let Some(address) = address(value) {
                        image.next_hops.insert(own_key_words(key)[0], address);
                    }
                }
            }
        }
    }
}

/// All of a map, or what it has under some keys.
fn pick<'m, K: Ord, V>(
    map: &'m BTreeMap<K, V>,
    keys: Option<&'m BTreeSet<K>>,
) -> Box<dyn Iterator<Item = (&'m K, Option<&'m V>)> + 'm> {
    match keys {
        None => Box::new(map.iter().map(|(key, value)| (key, Some(value)))),
        Some(keys) => Box::new(keys.iter().map(|key| (key, map.get(key)))),
    }
}

fn word(value: &[u8]) -> u64 {
    u64::read_from_bytes(value).unwrap_or(0)
}

fn own_key(id: u32, side: u32) -> Box<[u8]> {
    [id, side].as_bytes().into()
}

fn own_key_words(key: &[u8]) -> [u32; 2] {
    FromBytes::read_from_bytes(key).unwrap_or_default()
}

fn port_value(port: &Port) -> Result<Box<[u8]>, CommitError> {
    let mut value = padded(&port.interface, INTERFACE)?;
    value.extend(padded(&port.workload, WORKLOAD)?);
    value.extend(port.address.map_or([0; ADDRESS].into(), address_value));
    Ok(value.into())
}

fn padded(text: &str, size: usize) -> Result<Vec<u8>, CommitError> {
    if text.len() >= size {
        let table = Keyed::PortNames.map_name();
        return Err(CommitError::Capacity { table, needed: text.len(), capacity: size - 1 });
    }
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(size, 0);
    Ok(bytes)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

fn address_value(address: IpAddr) -> Box<[u8]> {
    let mut value = [0; ADDRESS];
    value[0] = if address.is_ipv4() { 4 } else { 6 };
    value[1..].copy_from_slice(&octets(address));
    value.into()
}

fn address(value: &[u8]) -> Option<IpAddr> {
    let (family, bytes) = value.split_first()?;
    match family {
        4 => Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?).into()),
        6 => Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?).into()),
        _ => None,
    }
}
