//! Next hops, as the kernel's routes and neighbours say.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use abi::next_hop::NextHop;
use rtnetlink::{Error, Handle};

use super::{Wanted, WatcherParts, view};
use crate::loader::takes_frames;

impl WatcherParts {
    /// Writes where the wanted addresses are, as far as uplinks lead there.
    pub(super) async fn resolve_next_hops(
        &mut self,
        handle: &Handle,
        wanted: &Wanted,
        links: &BTreeMap<String, view::Link>,
    ) -> Result<(), Error> {
        let uplinks = self.uplinks.iter().filter_map(|name| links.get(name));
        self.takers = uplinks.map(|link| (link.index, takes_frames(link.index))).collect();
        if wanted.next_hops.is_empty() {
            return Ok(());
        }
        let neighbours = view::neighbours(handle).await?;
        for (id, address) in &wanted.next_hops {
            let way = view::way(handle, *address).await;
            match way.and_then(|way| self.next_hop(way, &neighbours, links)) {
                Some(hop) => self.next_hops.write(*id, &hop),
                None => self.next_hops.clear(*id),
            }
        }
        Ok(())
    }

    fn next_hop(
        &self,
        way: view::Way,
        neighbours: &HashMap<(u32, IpAddr), [u8; 6]>,
        links: &BTreeMap<String, view::Link>,
    ) -> Option<NextHop> {
        let takes_frames = *self.takers.get(&way.interface)?;
        let link = links.values().find(|link| link.index == way.interface)?;
        let mac = neighbours.get(&(way.interface, way.neighbour))?;
        Some(next_hop(link, *mac, takes_frames))
    }

    /// Whether some uplink takes frames of XDP now and did not before, or the reverse: the kernel
    /// tells nobody who follows links.
    pub(super) fn takers_changed(&self) -> bool {
        self.takers.iter().any(|(index, before)| takes_frames(*index) != *before)
    }
}

fn next_hop(link: &view::Link, mac: [u8; 6], takes_frames: bool) -> NextHop {
    let [a, b, c, d, e, f] = mac;
    let [g, h, i, j, k, l] = link.mac;
    NextHop {
        destination: [a, b, c, d, e, f, 1, takes_frames.into()],
        source: [g, h, i, j, k, l, 0, 0],
        interface: link.index,
        mtu: link.mtu,
        padding: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_hop_is_usable_and_addressed() {
        let link = view::Link { index: 7, mtu: 1500, mac: [2, 0, 0, 0, 0, 1] };
        for takes_frames in [false, true] {
            let hop = next_hop(&link, [2, 0, 0, 0, 0, 9], takes_frames);
            assert_eq!(hop.destination, [2, 0, 0, 0, 0, 9, 1, takes_frames.into()]);
            assert!(hop.is_usable());
            assert_eq!(hop.takes_frames(), takes_frames);
            assert_eq!((hop.source[5], hop.interface, hop.mtu), (1, 7, 1500));
        }
    }
}
