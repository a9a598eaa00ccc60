//! What services offer on this node, in words for people.
//!
//! Who gets which backends, and how often, is read from the image that packets see; why it is
//! these is asked of the functions that chose them. Nothing is decided here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
};

use abi::{
    record::{Range, Service as ServiceRecord},
    table::Table,
};

use super::{
    audience::{List, Role},
    frontends::{self, Place},
    nearness::Location,
    ranges::Family,
    service_ids::{Known, ServiceIds},
    services::{Variant, variants},
};
use crate::{
    image::Image,
    model::{Backend, FrontendKind, Protocol, Scope},
};

/// Frontends of a service, in one address family, that answer alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub service: String,
    /// Where packets find them on this node.
    pub frontends: Vec<(SocketAddr, Protocol)>,
    pub kinds: BTreeSet<FrontendKind>,
    /// Only clients in the service's source ranges get an answer.
    pub guarded: bool,
    /// Every audience is in one of them.
    pub answers: Vec<Answer>,
}

/// What some audiences get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub audiences: Vec<Audience>,
    pub fate: Fate,
    /// Backends see an address of this node.
    pub snat: bool,
    pub why: Why,
    pub backends: Vec<Offered>,
}

/// Clients by where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    Pods,
    /// This node's own processes.
    Node,
    Outside,
}

/// What becomes of new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Forward,
    Reject,
    Drop,
}

/// A backend that new connections get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    pub address: SocketAddr,
    pub node: String,
    /// Empty where it is not known.
    pub zone: String,
    /// How many of the list's slots lead to it.
    pub slots: u32,
}

/// Why a list of backends is what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Nothing narrows it.
    Everywhere,
    /// Hints for this node.
    SameNode,
    /// Hints for this node's zone.
    SameZone,
    /// This node's value of a topology key.
    Label(String),
    /// A scope of the service's preference.
    Scope(Scope),
    /// The own zone as far as it carries; the factor in thousandths.
    Spill(u32),
    /// Topology keys or scopes ended without a backend.
    Exhausted,
    /// Nothing is ready: what is terminating and still serves.
    Terminating,
    /// A traffic policy `Local`: what is ready on this node, or else terminating and serving.
    Local,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everywhere => f.write_str("all ready"),
            Self::SameNode => f.write_str("hints: same node"),
            Self::SameZone => f.write_str("hints: same zone"),
            Self::Label(key) => write!(f, "topology key {key}"),
            Self::Scope(scope) => write!(f, "preference: {}", format!("{scope:?}").to_lowercase()),
            Self::Spill(factor) => {
                write!(f, "zone spill, factor {}", f64::from(*factor) / 1000.0)
            }
            Self::Exhausted => f.write_str("preferences exhausted"),
            Self::Terminating => f.write_str("none ready: those that still serve"),
            Self::Local => f.write_str("traffic policy Local"),
        }
    }
}

/// What the services of a world offer on a node, by an image of its tables. An empty `service`
/// is all of them.
pub(super) fn offers(
    place: Place<'_>,
    image: &Image,
    ids: &ServiceIds,
    service: &str,
) -> Vec<Offer> {
    let Place { world, node, .. } = place;
    let location = Location::new(node, &world.nodes);
    let mut offers = Vec::new();
    let services = world.services.values();
    let services = services.filter(|it| service.is_empty() || it.name == service);
    for variant in services.flat_map(|it| variants(place, it)) {
        let Some(known) = ids.get(&variant.service.name) else { continue };
        let reader = Reader { location: &location, image, known, variant: &variant };
        for role in &variant.roles {
            let Some(id) = known.record(variant.family, *role) else { continue };
            let of_role = variant.service.frontends.iter().filter(|it| {
                Role::of(it, variant.service) == *role && Family::of(it.address) == variant.family
            });
            let kinds = of_role.clone().map(|it| it.kind).collect();
            let places = of_role.flat_map(|it| {
                let loopback = Some(it.address).filter(IpAddr::is_loopback);
                let addresses = frontends::addresses(place, variant.service, it).into_iter();
                let addresses = addresses.chain(loopback);
                addresses.map(|address| (SocketAddr::new(address, it.port), it.protocol))
            });
            offers.push(Offer {
                service: variant.service.name.clone(),
                frontends: places.collect(),
                kinds,
                guarded: *role == Role::Guarded,
                answers: reader.answers(*role, &image.record(Table::Services, id)),
            });
        }
    }
    offers
}

struct Reader<'r> {
    location: &'r Location<'r>,
    image: &'r Image,
    known: &'r Known,
    variant: &'r Variant<'r>,
}

impl Reader<'_> {
    /// Audiences that get the same are one answer.
    fn answers(&self, role: Role, record: &ServiceRecord) -> Vec<Answer> {
        let shares = role.shares(self.variant.service);
        let mut answers: Vec<(Range, List, Answer)> = Vec::new();
        for (audience, share, range) in [
            (Audience::Pods, shares.pods, record.pods),
            (Audience::Node, shares.node, record.node),
            (Audience::Outside, shares.outside, record.outside),
        ] {
            let same =
                |(of, list, _): &&mut (Range, List, Answer)| (*of, *list) == (range, share.list);
            if let Some((_, _, answer)) = answers.iter_mut().find(same) {
                answer.audiences.push(audience);
                continue;
            }
            let fate = match range {
                Range::DROP => Fate::Drop,
                _ if range.size() == 0 => Fate::Reject,
                _ => Fate::Forward,
            };
            let answer = Answer {
                audiences: vec![audience],
                fate,
                snat: range.snat(),
                why: self.why(share.list),
                backends: self.backends(range),
            };
            answers.push((range, share.list, answer));
        }
        answers.into_iter().map(|(_, _, answer)| answer).collect()
    }

    fn why(&self, list: List) -> Why {
        let Variant { service, backends, hinted, .. } = self.variant;
        match list {
            List::Cluster => self.location.choose(backends, &service.topology, *hinted).1,
            List::Local => Why::Local,
        }
    }

    /// The backends that slots lead to.
    fn backends(&self, range: Range) -> Vec<Offered> {
        let mut slots: BTreeMap<u32, u32> = BTreeMap::new();
        for slot in (range.start()..).take(range.size() as usize) {
            let word = self.image.word(Table::Slots, slot as usize / 2);
            *slots.entry((word >> (32 * (slot % 2))) as u32).or_default() += 1;
        }
        let offered = |backend: &&Backend| {
            let id = self.known.backend(backend.address)?;
            Some(Offered {
                address: backend.address,
                node: backend.node.clone(),
                zone: self.location.zone_of(backend).to_owned(),
                slots: *slots.get(&id)?,
            })
        };
        self.variant.backends.iter().filter_map(offered).collect()
    }
}
