//! Which backends of this node other nodes may send to through tunnels.

use std::collections::BTreeMap;

use abi::frontend::FrontendKey;

use super::{next_hops::NextHops, ranges::Family, service_ids::Known, services::Variant};
use crate::{draft::Draft, image::octets, model::Forwarding};

/// Where the backends here of each service that is reached through tunnels are found.
#[derive(Debug, Default)]
pub(super) struct Tunnels {
    /// By service; there are none yet where it has no backend here.
    ends: BTreeMap<String, BTreeMap<FrontendKey, u32>>,
}

impl Tunnels {
    /// Makes the ends of a service's tunnels what they are now; without variants it has none.
    pub(super) fn update(
        &mut self,
        name: &str,
        variants: &[Variant<'_>],
        known: &Known,
        next_hops: &NextHops,
        draft: &mut Draft,
    ) {
        let tunnelled = |variant: &&Variant<'_>| variant.service.forwarding == Forwarding::Tunnel;
        let before = self.ends.remove(name);
        let mut ends = BTreeMap::new();
        for variant in variants.iter().filter(tunnelled) {
            let side = if variant.family == Family::V6 { FrontendKey::V6 } else { 0 };
            let roles = variant.roles.iter().filter(|role| role.is_tunnelled(variant.service));
            for service in roles.filter_map(|role| known.record(variant.family, *role)) {
                for backend in &variant.backends {
                    let address = backend.address.ip();
                    let serves = backend.ready || backend.serving;
                    let id = known.backend(backend.address);
                    let Some(id) = id.filter(|_| serves && next_hops.is_here(address)) else {
                        continue;
                    };
                    let key =
                        FrontendKey { address: octets(address), port: [0; 2], protocol: 0, side };
                    ends.insert(key.tunnelled(service), id);
                }
            }
        }
        for key in before.into_iter().flatten().map(|(key, _)| key) {
            if !ends.contains_key(&key) {
                draft.set_frontend(key, None);
            }
        }
        for (key, id) in &ends {
            draft.set_frontend(*key, Some(*id));
        }
        if variants.iter().any(|variant| tunnelled(&variant)) {
            self.ends.insert(name.to_owned(), ends);
        }
    }

    /// The services that are reached through tunnels: what they have here follows from which
    /// addresses are here.
    pub(super) fn services(&self) -> impl Iterator<Item = &String> {
        self.ends.keys()
    }
}
