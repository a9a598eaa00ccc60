//! How large the flow tables are where nobody says so.

use std::{
    fs,
    path::{Component, Path},
};

use abi::flow::{Bucket, FLOWS4_MAP, FLOWS6_MAP, WORDS4, WORDS6};
use libbpf_rs::{MapCore, MapHandle};
use nix::sys::sysinfo::sysinfo;

use super::{cgroup, config::KernelConfig};

/// Buckets of the flow tables of IPv4 and of IPv6: as configured, else as in the maps that are pinned,
/// else by the memory there is.
pub fn flow_buckets(config: &KernelConfig) -> [u32; 2] {
    let [by_memory4, by_memory6] = for_memory(memory());
    let maps = config.maps();
    let pinned =
        |name| MapHandle::from_pinned_path(maps.join(name)).ok().map(|it| it.max_entries());
    let size = |configured: Option<u32>, name, by_memory| {
        configured.or_else(|| pinned(name)).unwrap_or(by_memory)
    };
    [
        size(config.flow4_buckets, FLOWS4_MAP, by_memory4),
        size(config.flow6_buckets, FLOWS6_MAP, by_memory6),
    ]
}

/// Bytes of memory that flow tables are for.
fn memory() -> u64 {
    let all = sysinfo().map_or(0, |info| info.ram_total()) / SHARE;
    // The kernel counts maps as memory of who makes them.
    limit().map_or(all, |limit| all.min(limit / SHARE_OF_LIMIT))
}

/// Of the node's memory.
const SHARE: u64 = 256;
/// Of what the agent's cgroup may use.
const SHARE_OF_LIMIT: u64 = 4;

/// The least limit of the agent's cgroup and of those around it.
fn limit() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    least_limit(&cgroup::root().ok()?, path)
}

fn least_limit(root: &Path, path: &str) -> Option<u64> {
    let below = Path::new(path).components().filter(|it| matches!(it, Component::Normal(_)));
    let mut directory = root.to_owned();
    let mut limits = vec![directory.join("memory.max")];
    for component in below {
        directory.push(component);
        limits.push(directory.join("memory.max"));
    }
    limits.iter().filter_map(|it| fs::read_to_string(it).ok()?.trim().parse().ok()).min()
}

/// Twice as many buckets for IPv4, of which an entry takes half the room, as for IPv6.
fn for_memory(bytes: u64) -> [u32; 2] {
    let both = 2 * size_of::<Bucket<WORDS4>>() + size_of::<Bucket<WORDS6>>();
    let wanted = bytes / both as u64;
    let v6 = u32::try_from(wanted).unwrap_or(u32::MAX).clamp(LEAST, MOST);
    let v6 = 1 << v6.ilog2();
    [2 * v6, v6]
}

/// For IPv6: 2.5 MB, and 640 MB, both tables together.
const LEAST: u32 = 1 << 11;
const MOST: u32 = 1 << 19;

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1 << 30;

    #[test]
    fn tables_follow_from_memory_within_bounds() {
        let table = [
            (0, [4096, 2048]),
            (GB / SHARE, [4096, 2048]),
            (4 * GB / SHARE, [16_384, 8192]),
            (24 * GB / SHARE, [131_072, 65_536]),
            (64 * GB / SHARE, [262_144, 131_072]),
            (1024 * GB / SHARE, [1_048_576, 524_288]),
            (u64::MAX, [1_048_576, 524_288]),
        ];
        for (bytes, expected) in table {
            assert_eq!(for_memory(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn the_least_limit_around_counts() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        assert_eq!(least_limit(root.path(), "/a/b"), None);
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        assert_eq!(least_limit(root.path(), "/a/b"), None);
        fs::write(root.path().join("a/memory.max"), "1000\n").unwrap();
        assert_eq!(least_limit(root.path(), "/a/b"), Some(1000));
        fs::write(inner.join("memory.max"), "2000\n").unwrap();
        assert_eq!(least_limit(root.path(), "/a/b"), Some(1000));
        fs::write(root.path().join("memory.max"), "500\n").unwrap();
        assert_eq!(least_limit(root.path(), "/"), Some(500));
    }
}
