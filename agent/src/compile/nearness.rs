//! Which backends take the new connections of this node.

use std::collections::BTreeMap;

use crate::model::{Backend, Node, Preference, Scope};

/// Where this node is, and every other.
pub(super) struct Location<'w> {
    node: &'w str,
    nodes: &'w BTreeMap<String, Node>,
}

impl<'w> Location<'w> {
    pub(super) fn new(node: &'w str, nodes: &'w BTreeMap<String, Node>) -> Self {
        Self { node, nodes }
    }

    /// The ready backends of the first scope that has any; past the last scope, none. Where
    /// nothing at all is ready, what is terminating and still serves, wherever it is.
    pub(super) fn eligible<'b>(
        &self,
        backends: &[&'b Backend],
        preference: &Preference,
    ) -> Vec<&'b Backend> {
        let these = |select: &dyn Fn(&Backend) -> bool| {
            backends.iter().copied().filter(|backend| select(backend)).collect::<Vec<_>>()
        };
        if !backends.iter().any(|backend| backend.ready) {
            return these(&|backend| backend.serving && backend.terminating);
        }
        preference
            .0
            .iter()
            .map(|scope| these(&|backend| backend.ready && self.within(*scope, backend)))
            .find(|near| !near.is_empty())
            .unwrap_or_default()
    }

    fn within(&self, scope: Scope, backend: &Backend) -> bool {
        match scope {
            Scope::Node => same(self.node, &backend.node),
            Scope::Zone if backend.zone.is_empty() => {
                same(self.zone(self.node), self.zone(&backend.node))
            }
            Scope::Zone => same(self.zone(self.node), &backend.zone),
            Scope::Region => same(self.region(self.node), self.region(&backend.node)),
            Scope::Any => true,
        }
    }

    fn zone(&self, node: &str) -> &str {
        self.nodes.get(node).map_or("", |node| &node.zone)
    }

    fn region(&self, node: &str) -> &str {
        self.nodes.get(node).map_or("", |node| &node.region)
    }
}

/// What is unknown is not the same as anything.
fn same(one: &str, other: &str) -> bool {
    !one.is_empty() && one == other
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, zone: &str, region: &str) -> (String, Node) {
        let node = Node {
            name: name.into(),
            addresses: Vec::new(),
            zone: zone.into(),
            region: region.into(),
            labels: BTreeMap::new(),
            pod_prefixes: Vec::new(),
        };
        (name.into(), node)
    }

    /// `name@node[/zone]`, then `!` not ready, `~` terminating but serving.
    fn backend(text: &str) -> Backend {
        let (place, state) = text.split_at(text.find(['!', '~']).unwrap_or(text.len()));
        let (last_byte, place) = place.split_once('@').unwrap();
        let (node, zone) = place.split_once('/').unwrap_or((place, ""));
        Backend {
            address: format!("10.0.0.{last_byte}:80").parse().unwrap(),
            node: node.into(),
            zone: zone.into(),
            ready: state.is_empty(),
            serving: state != "!",
            terminating: state == "~",
            weight: 1,
        }
    }

    /// A name, this node, its preference, backends, and the last bytes of the eligible ones.
    type Row<'t> = (&'t str, &'t str, &'t [Scope], &'t [&'t str], &'t [u8]);

    #[test]
    fn the_nearest_ready_backends_are_eligible() {
        use Scope::{Any, Node, Region, Zone};
        let nodes = BTreeMap::from([
            node("here", "a", "north"),
            node("beside", "a", "north"),
            node("near", "b", "north"),
            node("far", "c", "south"),
            node("bare", "", ""),
        ]);
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
            ("nothing", "here", &[Any], &["1@here!"], &[]),
            ("zones unknown", "bare", &[Zone, Region, Any], &["1@bare", "2@elsewhere"], &[1, 2]),
            ("zones unknown, no end", "bare", &[Zone, Region], &["1@bare"], &[]),
            ("unknown node finds itself", "lost", &[Node], &["1@lost", "2@"], &[1]),
        ];
        for (name, here, scopes, backends, expected) in rows {
            let backends: Vec<Backend> = backends.iter().map(|text| backend(text)).collect();
            let location = Location::new(here, &nodes);
            let eligible = location
                .eligible(&backends.iter().collect::<Vec<_>>(), &Preference(scopes.to_vec()));
            let last_bytes: Vec<u8> = eligible
                .iter()
                .map(|backend| match backend.address.ip() {
                    std::net::IpAddr::V4(address) => address.octets()[3],
                    std::net::IpAddr::V6(_) => 0,
                })
                .collect();
            assert_eq!(last_bytes, *expected, "{name}");
        }
    }
}
