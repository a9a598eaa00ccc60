//! Which backends take the new connections of this node.

use std::collections::BTreeMap;

use super::{
    offered::Why,
    spill::{self, Zone},
};
use crate::model::{ANY_KEY, Backend, Hints, Nearness, Node, Scope, Spill, Topology};

/// Where this node is, and every other.
pub(super) struct Location<'w> {
    node: &'w str,
    nodes: &'w BTreeMap<String, Node>,
}

impl<'w> Location<'w> {
    pub(super) fn new(node: &'w str, nodes: &'w BTreeMap<String, Node>) -> Self {
        Self { node, nodes }
    }

    /// The backends of the whole cluster that this node may use: the ready ones that the topology
    /// admits. Where nothing at all is ready, what is terminating and still serves, wherever it is.
    ///
    /// `hinted`: some backend of the service has hints, so that none are computed.
    pub(super) fn cluster<'b>(
        &self,
        backends: &[&'b Backend],
        topology: &Topology,
        hinted: bool,
    ) -> Vec<&'b Backend> {
        self.choose(backends, topology, hinted).0
    }

    /// As [`Self::cluster`], with what decided.
    pub(super) fn choose<'b>(
        &self,
        backends: &[&'b Backend],
        topology: &Topology,
        hinted: bool,
    ) -> (Vec<&'b Backend>, Why) {
        let ready = select(backends, Backend::is_available);
        if ready.is_empty() {
            return (select(backends, Backend::is_last_resort), Why::Terminating);
        }
        match topology {
            Topology::Hints(Some(nearness)) if !hinted => {
                self.by_hints(&ready, |backend| self.computed(backend, *nearness))
            }
            Topology::Spill(spill) => (ready, Why::Spill(spill.factor)),
            Topology::Hints(_) => self.by_hints(&ready, |backend| backend.hints.clone()),
            Topology::Keys(keys) => self.by_keys(&ready, keys),
            Topology::Scopes(scopes) => scopes
                .iter()
                .map(|scope| (select(&ready, |it| self.within(*scope, it)), Why::Scope(*scope)))
                .find(|(near, _)| !near.is_empty())
                .unwrap_or((Vec::new(), Why::Exhausted)),
        }
    }

    /// The weights of the backends of the whole cluster, for their slots. Those that get nothing are
    /// left out.
    pub(super) fn weighted<'b>(
        &self,
        backends: Vec<&'b Backend>,
        topology: &Topology,
    ) -> Vec<(&'b Backend, u32)> {
        let own = |backends: Vec<&'b Backend>| {
            backends.into_iter().map(|backend| (backend, backend.weight)).collect()
        };
        let Topology::Spill(Spill { factor, clients }) = topology else { return own(backends) };
        if !backends.iter().any(|backend| backend.is_available()) {
            return own(backends);
        }
        let mut zones: BTreeMap<&str, Zone> = BTreeMap::new();
        for backend in &backends {
            let zone = zones.entry(self.zone_of(backend)).or_default();
            zone.backends += u64::from(backend.weight);
        }
        if clients.is_empty() {
            for node in self.nodes.values().filter(|node| !node.zone.is_empty()) {
                let zone = zones.entry(&node.zone).or_default();
                zone.clients += node.weight.min(MOST_CLIENTS);
            }
        } else {
            for (zone, weight) in clients {
                zones.entry(zone).or_default().clients = (*weight).min(MOST_CLIENTS);
            }
        }
        let Some(parts) = spill::parts(&zones, *factor, self.zone(self.node)) else {
            return own(backends);
        };
        let placed: Vec<_> = backends.iter().map(|it| (self.zone_of(it), it.weight)).collect();
        let weights = spill::weights(&placed, &zones, &parts);
        let weighted = backends.iter().zip(weights);
        weighted.filter_map(|(backend, weight)| Some((*backend, weight?))).collect()
    }

    /// The backends on this node: the ready ones, else what is terminating and still serves.
    pub(super) fn local<'b>(&self, backends: &[&'b Backend]) -> Vec<&'b Backend> {
        let here = select(backends, |backend| same(self.node, &backend.node));
        let ready = select(&here, Backend::is_available);
        if ready.is_empty() { select(&here, Backend::is_last_resort) } else { ready }
    }

    /// Kubernetes' hints (`pkg/proxy/topology.go`): they count if every backend has one, and some
    /// backend has one for this node, or else for its zone.
    fn by_hints<'b>(
        &self,
        ready: &[&'b Backend],
        hints: impl Fn(&Backend) -> Hints,
    ) -> (Vec<&'b Backend>, Why) {
        let hints: Vec<Hints> = ready.iter().map(|backend| hints(backend)).collect();
        let named = |names: fn(&Hints) -> &Vec<String>, here: &str| -> Option<Vec<&'b Backend>> {
            let complete = hints.iter().all(|hint| !names(hint).is_empty());
            let near = ready.iter().zip(&hints);
            let near = near.filter(|(_, hint)| names(hint).iter().any(|name| same(name, here)));
            let near: Vec<_> = near.map(|(backend, _)| *backend).collect();
            (complete && !near.is_empty()).then_some(near)
        };
        let of_node = named(|hints| &hints.nodes, self.node).map(|near| (near, Why::SameNode));
        of_node
            .or_else(|| {
                let near = named(|hints| &hints.zones, self.zone(self.node))?;
                Some((near, Why::SameZone))
            })
            .unwrap_or_else(|| (ready.to_vec(), Why::Everywhere))
    }

    /// What the cluster's controller would say (`trafficdist` of Kubernetes' endpoint slices).
    fn computed(&self, backend: &Backend, nearness: Nearness) -> Hints {
        let list = |name: &str| -> Vec<String> {
            if name.is_empty() { Vec::new() } else { vec![name.to_owned()] }
        };
        Hints {
            zones: list(self.zone_of(backend)),
            nodes: match nearness {
                Nearness::SameZone => Vec::new(),
                Nearness::SameNode => list(&backend.node),
            },
        }
    }

    /// Topology keys as Kubernetes 1.17 had them (`FilterTopologyEndpoint`).
    fn by_keys<'b>(&self, ready: &[&'b Backend], keys: &[String]) -> (Vec<&'b Backend>, Why) {
        let everywhere = || (ready.to_vec(), Why::Everywhere);
        let nowhere = || (Vec::new(), Why::Exhausted);
        let Some(last) = keys.last() else { return everywhere() };
        let labels = |node: &str| self.nodes.get(node).map(|node| &node.labels);
        let Some(here) = labels(self.node).filter(|labels| !labels.is_empty()) else {
            return if last == ANY_KEY { everywhere() } else { nowhere() };
        };
        for key in keys {
            if key == ANY_KEY {
                return everywhere();
            }
            let Some(value) = here.get(key) else { continue };
            let near = select(ready, |backend| {
                labels(&backend.node).and_then(|labels| labels.get(key)) == Some(value)
            });
            if !near.is_empty() {
                return (near, Why::Label(key.clone()));
            }
        }
        nowhere()
    }

    fn within(&self, scope: Scope, backend: &Backend) -> bool {
        match scope {
            Scope::Node => same(self.node, &backend.node),
            Scope::Zone => same(self.zone(self.node), self.zone_of(backend)),
            Scope::Region => same(self.region(self.node), self.region(&backend.node)),
            Scope::Any => true,
        }
    }

    pub(super) fn zone_of<'b>(&'b self, backend: &'b Backend) -> &'b str {
        backend.zone_in(self.nodes)
    }

    fn zone(&self, node: &str) -> &str {
        self.nodes.get(node).map_or("", |node| &node.zone)
    }

    fn region(&self, node: &str) -> &str {
        self.nodes.get(node).map_or("", |node| &node.region)
    }
}

/// What one node or zone weighs at most among clients.
const MOST_CLIENTS: u64 = u32::MAX as u64;

/// Whether a backend can be used at all.
pub(super) fn is_usable(backend: &Backend) -> bool {
    backend.is_available() || backend.is_last_resort()
}

fn select<'b>(backends: &[&'b Backend], chosen: impl Fn(&Backend) -> bool) -> Vec<&'b Backend> {
    backends.iter().copied().filter(|backend| chosen(backend)).collect()
}

/// What is unknown is not the same as anything.
fn same(one: &str, other: &str) -> bool {
    !one.is_empty() && one == other
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, zone: &str, region: &str) -> (String, Node) {
        let labels = [("zone", zone), ("region", region), ("host", name)].into_iter();
        let labels = labels.filter(|(_, value)| !zone.is_empty() && !value.is_empty());
        let node = Node {
            name: name.into(),
            addresses: Vec::new(),
            zone: zone.into(),
            region: region.into(),
            labels: labels.map(|(key, value)| (key.into(), value.into())).collect(),
            pod_prefixes: Vec::new(),
            weight: 1000,
        };
        (name.into(), node)
    }

    /// `byte@node[/zone]`, then `!` not ready, `~` terminating but serving, `%` draining; after a blank, hints
    /// for zones and, with a `.` before them, for nodes.
    fn backend(text: &str) -> Backend {
        let mut words = text.split(' ');
        let text = words.next().unwrap();
        let (nodes, zones): (Vec<&str>, Vec<&str>) = words.partition(|word| word.starts_with('.'));
        let names = |names: Vec<&str>| names.into_iter().map(|it| it.replace('.', "")).collect();
        let (place, state) = text.split_at(text.find(['!', '~', '%']).unwrap_or(text.len()));
        let (last_byte, place) = place.split_once('@').unwrap();
        let (node, zone) = place.split_once('/').unwrap_or((place, ""));
        Backend {
            address: format!("10.0.0.{last_byte}:80").parse().unwrap(),
            node: node.into(),
            zone: zone.into(),
            hints: Hints { zones: names(zones), nodes: names(nodes) },
            ready: matches!(state, "" | "%"),
            serving: state != "!",
            terminating: state == "~",
            draining: state == "%",
            weight: 1,
        }
    }

    fn nodes() -> BTreeMap<String, Node> {
        BTreeMap::from([
            node("here", "a", "north"),
            node("beside", "a", "north"),
            node("near", "b", "north"),
            node("far", "c", "south"),
            node("bare", "", ""),
        ])
    }

    /// The last bytes of the eligible backends of `here`'s cluster list.
    fn cluster(here: &str, topology: &Topology, backends: &[&str]) -> Vec<u8> {
        let backends: Vec<Backend> = backends.iter().map(|text| backend(text)).collect();
        let hinted = backends.iter().any(|backend| backend.hints != Hints::default());
        let backends: Vec<&Backend> = backends.iter().collect();
        last_bytes(&Location::new(here, &nodes()).cluster(&backends, topology, hinted))
    }

    fn last_bytes(backends: &[&Backend]) -> Vec<u8> {
        let last_byte = |backend: &&Backend| match backend.address.ip() {
            std::net::IpAddr::V4(address) => address.octets()[3],
            std::net::IpAddr::V6(_) => 0,
        };
        backends.iter().map(last_byte).collect()
    }

    /// A name, this node, its preference, backends, and the last bytes of the eligible ones.
    type Row<'t> = (&'t str, &'t str, &'t [Scope], &'t [&'t str], &'t [u8]);

    #[test]
    fn the_nearest_ready_backends_are_eligible() {
        use Scope::{Any, Node, Region, Zone};
        let rows: &[Row<'_>] = &[
            ("default", "here", &[Any], &["1@here", "2@far"], &[1, 2]),
            ("node first", "here", &[Node, Any], &["1@here", "2@beside"], &[1]),
            ("node empty, so anywhere", "here", &[Node, Any], &["1@far", "2@beside"], &[1, 2]),
            ("zone of the node", "here", &[Zone, Any], &["1@here", "2@beside", "3@near"], &[1, 2]),
            ("own zone beats the node's", "here", &[Zone, Any], &["1@far/a", "2@here/c"], &[1]),
            ("region", "here", &[Node, Zone, Region, Any], &["1@near", "2@far"], &[1]),
            ("end of list", "here", &[Node, Zone], &["1@near", "2@far"], &[]),
            ("no scope at all", "here", &[], &["1@here"], &[]),
            ("not ready does not count", "here", &[Zone, Any], &["1@here!", "2@far"], &[2]),
            ("terminating beside ready", "here", &[Zone, Any], &["1@here~", "2@far"], &[2]),
            (
                "terminating as last resort",
                "here",
                &[Zone],
                &["1@far~", "2@here!", "3@here~"],
                &[1, 3],
            ),
            ("draining beside ready", "here", &[Zone, Any], &["1@here%", "2@far"], &[2]),
            (
                "draining as last resort",
                "here",
                &[Zone],
                &["1@far%", "2@here!", "3@here~"],
                &[1, 3],
            ),
            ("nothing", "here", &[Any], &["1@here!"], &[]),
            ("zones unknown", "bare", &[Zone, Region, Any], &["1@bare", "2@elsewhere"], &[1, 2]),
            ("zones unknown, no end", "bare", &[Zone, Region], &["1@bare"], &[]),
            ("unknown node finds itself", "lost", &[Node], &["1@lost", "2@"], &[1]),
        ];
        for (name, here, scopes, backends, expected) in rows {
            let eligible = cluster(here, &Topology::Scopes(scopes.to_vec()), backends);
            assert_eq!(eligible, *expected, "{name}");
        }
    }

    #[test]
    fn hints_count_when_every_ready_backend_has_one() {
        let rows: &[(&str, &str, &[&str], &[u8])] = &[
            ("no hints", "here", &["1@here", "2@far"], &[1, 2]),
            ("my zone", "here", &["1@far a", "2@far b", "3@far c a"], &[1, 3]),
            ("nobody's for my zone", "here", &["1@here b", "2@here c"], &[1, 2]),
            ("one without", "here", &["1@here a", "2@here"], &[1, 2]),
            ("one without, not ready", "here", &["1@here a", "2@here!", "3@far b"], &[1]),
            ("only the unready is for me", "here", &["1@here! a", "2@far b"], &[2]),
            ("my node", "here", &["1@far a .here", "2@far a .beside"], &[1]),
            ("nobody's for my node", "here", &["1@far b .far", "2@far a .beside"], &[2]),
            ("a node without", "here", &["1@far b .here", "2@far a"], &[2]),
            ("nodes alone, not mine", "here", &["1@far .far", "2@far .beside"], &[1, 2]),
            ("no zone", "bare", &["1@far a", "2@far b"], &[1, 2]),
            ("terminating: hints do not count", "here", &["1@far~ b", "2@far~ a"], &[1, 2]),
        ];
        for (name, here, backends, expected) in rows {
            for topology in [Topology::Hints(None), Topology::Hints(Some(Nearness::SameNode))] {
                if *name == "no hints" && topology != Topology::Hints(None) {
                    continue;
                }
                assert_eq!(cluster(here, &topology, backends), *expected, "{name}");
            }
        }
    }

    #[test]
    fn missing_hints_are_computed_for_a_distribution() {
        type Row<'t> = (&'t str, Nearness, &'t str, &'t [&'t str], &'t [u8]);
        use Nearness::{SameNode, SameZone};
        let rows: &[Row<'_>] = &[
            ("zone", SameZone, "here", &["1@here", "2@beside", "3@far"], &[1, 2]),
            ("own zone", SameZone, "here", &["1@far/a", "2@here/c"], &[1]),
            ("zone unknown", SameZone, "here", &["1@here", "2@lost"], &[1, 2]),
            ("unready does not matter", SameZone, "here", &["1@here", "2@lost!", "3@far"], &[1]),
            ("node", SameNode, "here", &["1@here", "2@beside", "3@far"], &[1]),
            ("not my node, so zone", SameNode, "here", &["2@beside", "3@far"], &[2]),
            ("node unknown", SameNode, "here", &["1@here", "2@/a", "3@far"], &[1, 2]),
            ("elsewhere", SameNode, "here", &["1@near", "2@far"], &[1, 2]),
            ("explicit ones stay", SameZone, "here", &["1@here b", "2@far a"], &[2]),
            ("explicit on some", SameZone, "here", &["1@here", "2@far b"], &[1, 2]),
        ];
        for (name, nearness, here, backends, expected) in rows {
            let topology = Topology::Hints(Some(*nearness));
            assert_eq!(cluster(here, &topology, backends), *expected, "{name}");
        }
    }

    #[test]
    fn topology_keys_are_tried_in_order() {
        type Row<'t> = (&'t str, &'t str, &'t [&'t str], &'t [&'t str], &'t [u8]);
        let rows: &[Row<'_>] = &[
            ("none", "here", &[], &["1@here", "2@far"], &[1, 2]),
            ("host", "here", &["host"], &["1@here", "2@beside"], &[1]),
            ("exhausted", "here", &["host", "zone"], &["1@near", "2@far"], &[]),
            ("next key", "here", &["host", "zone", "region"], &["1@near", "2@far"], &[1]),
            ("any at the end", "here", &["host", "*"], &["1@near", "2@far"], &[1, 2]),
            ("a label that is not there", "here", &["rack", "zone"], &["1@beside", "2@far"], &[1]),
            ("only such labels", "here", &["rack"], &["1@here"], &[]),
            ("unknown nodes", "here", &["zone"], &["1@lost", "2@", "3@beside"], &[3]),
            ("no labels", "bare", &["host"], &["1@bare"], &[]),
            ("no labels, any at the end", "bare", &["host", "*"], &["1@bare", "2@far"], &[1, 2]),
            ("unknown here", "lost", &["*"], &["1@far"], &[1]),
            ("not ready does not count", "here", &["zone", "*"], &["1@here!", "2@far"], &[2]),
            ("last resort", "here", &["host"], &["1@far~", "2@here!"], &[1]),
        ];
        for (name, here, keys, backends, expected) in rows {
            let keys = keys.iter().map(|key| (*key).to_owned()).collect();
            assert_eq!(cluster(here, &Topology::Keys(keys), backends), *expected, "{name}");
        }
    }

    #[test]
    fn the_local_list_knows_no_topology() {
        let rows: &[(&str, &[&str], &[u8])] = &[
            ("ready here", &["1@here b", "2@far a", "3@here"], &[1, 3]),
            ("ready before terminating", &["1@here~", "2@here"], &[2]),
            ("terminating here", &["1@here~", "2@far", "3@here!"], &[1]),
            ("draining here", &["1@here%", "2@far", "3@here!"], &[1]),
            ("nobody here", &["1@far", "2@"], &[]),
        ];
        for (name, backends, expected) in rows {
            let backends: Vec<Backend> = backends.iter().map(|text| backend(text)).collect();
            let nodes = nodes();
            let local = Location::new("here", &nodes);
            let local = local.local(&backends.iter().collect::<Vec<_>>());
            assert_eq!(last_bytes(&local), *expected, "{name}");
        }
    }
}
