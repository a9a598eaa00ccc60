//! The pinned maps that should be there, and whether those found are they.

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd},
    path::Path,
};

use abi::{
    affinity::{AFFINITY_MAP, Affinity, AffinityKey},
    control::{CONTROL_MAP, Control},
    flow::{Bucket, FLOWS4_MAP, FLOWS6_MAP, WORDS4, WORDS6},
    next_hop::{NEIGHBOURS_MAP, NEXT_HOPS_MAP, Neighbours, NextHop},
    port::{PORTS_MAP, Port},
    reason::{COUNTERS, COUNTERS_MAP},
    socket::{PEERS_MAP, Peer, PeerKey},
    table::{Block, Table},
};
use libbpf_rs::{MapCore, MapHandle, MapType, libbpf_sys};

use super::{config::KernelConfig, error::LoadError, flow_buckets::flow_buckets};
use crate::maps::{Keyed, MapError};

/// A map by name, with the sizes that agents and programs must agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub name: &'static str,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
}

/// Ports by endpoint id.
const PORTS: u32 = 4096;

/// Every map that outlives the agent.
pub fn shapes(config: &KernelConfig) -> Vec<Shape> {
    let array = |name, value_size: usize, max_entries| Shape {
        name,
        key_size: size_of::<u32>() as u32,
        value_size: value_size as u32,
        max_entries,
    };
    let [flows4, flows6] = flow_buckets(config);
    let mut shapes = vec![
        array(CONTROL_MAP, size_of::<Control>(), 1),
        array(NEXT_HOPS_MAP, size_of::<NextHop>(), config.tables.next_hops),
        array(NEIGHBOURS_MAP, size_of::<NextHop>(), Neighbours::ENTRIES),
        array(PORTS_MAP, size_of::<Port>(), PORTS),
        array(FLOWS4_MAP, size_of::<Bucket<WORDS4>>(), flows4),
        array(FLOWS6_MAP, size_of::<Bucket<WORDS6>>(), flows6),
        array(COUNTERS_MAP, size_of::<u64>(), COUNTERS),
    ];
    shapes.push(Shape {
        name: AFFINITY_MAP,
        key_size: size_of::<AffinityKey>() as u32,
        value_size: size_of::<Affinity>() as u32,
        max_entries: config.affinity_entries,
    });
    shapes.extend(
        Table::ALL.map(|table| {
            array(table.map_name(), size_of::<Block>(), 2 * config.tables.blocks(table))
        }),
    );
    shapes.extend(Keyed::ALL.map(|keyed| Shape {
        name: keyed.map_name(),
        key_size: keyed.key_size() as u32,
        value_size: keyed.value_size() as u32,
        max_entries: 2 * entries(config, keyed),
    }));
    shapes.push(Shape {
        name: PEERS_MAP,
        key_size: size_of::<PeerKey>() as u32,
        value_size: size_of::<Peer>() as u32,
        max_entries: config.tables.peers,
    });
    shapes
}

/// Entries of one side of a hash.
const fn entries(config: &KernelConfig, keyed: Keyed) -> u32 {
    match keyed {
        Keyed::Addresses6 => config.tables.addresses6,
        Keyed::Prefixes6 => config.tables.prefixes6,
        Keyed::Frontends => config.tables.frontends,
        Keyed::PortNames => PORTS,
        Keyed::HopAddresses => config.tables.next_hops,
    }
}

/// Bytes of kernel memory that the pinned maps take together.
pub fn bytes(config: &KernelConfig) -> Result<u64, MapError> {
    shapes(config).iter().map(|shape| shape.bytes(&config.maps())).sum()
}

impl Shape {
    /// Bytes of kernel memory that the pinned map takes, as the kernel counts them.
    fn bytes(&self, directory: &Path) -> Result<u64, MapError> {
        let path = directory.join(self.name);
        let failed = |source| MapError::Read { name: self.name, source };
        let map = MapHandle::from_pinned_path(path).map_err(|it| failed(io::Error::other(it)))?;
        let info = format!("/proc/self/fdinfo/{}", map.as_fd().as_raw_fd());
        let info = fs::read_to_string(info).map_err(failed)?;
        let field = info.lines().find_map(|line| line.strip_prefix("memlock:"));
        let bytes = field.and_then(|bytes| bytes.trim().parse().ok());
        bytes.ok_or_else(|| failed(io::Error::other("the kernel does not say how large it is")))
    }

    /// Whether a map that is pinned already can be used as this one; none is fine, too.
    pub fn check_pinned(&self, directory: &Path) -> Result<(), LoadError> {
        let path = directory.join(self.name);
        if !path.exists() {
            return Ok(());
        }
        let map = MapHandle::from_pinned_path(&path).map_err(|error| MapError::Open {
            path,
            source: io::Error::other(format!("{error:#}")),
        })?;
        self.check(&Self {
            name: self.name,
            key_size: map.key_size(),
            value_size: map.value_size(),
            max_entries: map.max_entries(),
        })
    }

    fn check(&self, found: &Self) -> Result<(), LoadError> {
        let sizes = [
            ("a key size of", found.key_size, self.key_size),
            ("a value size of", found.value_size, self.value_size),
            ("a capacity of", found.max_entries, self.max_entries),
        ];
        for (what, found, expected) in sizes {
            if found != expected {
                return Err(LoadError::Incompatible { map: self.name, what, found, expected });
            }
        }
        Ok(())
    }

    /// Makes and pins a hash that no program declares, unless it is there.
    pub fn create_own(&self, directory: &Path) -> Result<(), LoadError> {
        let path = directory.join(self.name);
        if path.exists() {
            return Ok(());
        }
        let error = |error: libbpf_rs::Error| MapError::Create {
            name: self.name,
            source: io::Error::other(format!("{error:#}")),
        };
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as _,
            map_flags: libbpf_sys::BPF_F_NO_PREALLOC,
            ..Default::default()
        };
        let (key, value, entries) = (self.key_size, self.value_size, self.max_entries);
        let name = Some(self.name);
        let mut map =
            MapHandle::create(MapType::Hash, name, key, value, entries, &options).map_err(error)?;
        Ok(map.pin(path).map_err(error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_of_other_sizes_is_named_with_both_sizes() {
        let shape = Shape { name: "zg8_rows", key_size: 4, value_size: 64, max_entries: 10 };
        assert!(shape.check(&shape).is_ok());
        let table = [
            (Shape { key_size: 8, ..shape }, "a key size of 8, and this agent wants 4"),
            (Shape { value_size: 32, ..shape }, "a value size of 32, and this agent wants 64"),
            (Shape { max_entries: 99, ..shape }, "a capacity of 99, and this agent wants 10"),
        ];
        for (found, text) in table {
            let message = shape.check(&found).unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("the pinned map zg8_rows has {text}")),
                "{message}"
            );
            assert!(message.contains("--teardown"), "{message}");
        }
    }

    #[test]
    fn every_map_has_one_shape_and_room() {
        let mut names: Vec<_> =
            shapes(&KernelConfig::default()).iter().map(|shape| shape.name).collect();
        assert!(shapes(&KernelConfig::default()).iter().all(|shape| shape.max_entries > 0));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
