//! Which backends of this node other nodes may send to through tunnels.

use abi::frontend::FrontendKey;

use super::{
    ids::ServiceIds,
    ranges::Family,
    services::{Scene, Variant, octets},
};
use crate::image::Image;

/// Writes, for each service that is reached through tunnels, where its backends here are found.
pub(super) fn write(
    image: &mut Image,
    scene: &Scene<'_>,
    variants: &[Variant<'_>],
    ids: &ServiceIds,
) {
    for variant in variants {
        let side = if variant.family == Family::V6 { FrontendKey::V6 } else { 0 };
        for role in variant.roles.iter().filter(|role| role.is_tunnelled(variant.service)) {
            let service = ids.services.id(&variant.key(*role));
            for backend in &variant.backends {
                let address = backend.address.ip();
                if (backend.ready || backend.serving) && scene.here.contains(&address) {
                    let key =
                        FrontendKey { address: octets(address), port: [0; 2], protocol: 0, side };
                    let id = ids.backends.id(&variant.backend_key(backend.address));
                    image.frontends.insert(key.tunnelled(service), id);
                }
            }
        }
    }
}
