//! What services offer, as messages.

use std::collections::BTreeMap;

use proto::v1::{self, offer_answer};

use super::{PAGE_BYTES, service::kind_to_proto};
use crate::{
    compile::{Answer, Audience, Fate, Offer, Offered},
    model::Protocol,
};

/// Messages of bounded size, but for an offer that is larger by itself; `zone` is this node's.
pub(super) fn pages(offers: Vec<Offer>, zone: &str) -> Vec<v1::ListOffersResponse> {
    let mut pages: Vec<v1::ListOffersResponse> = Vec::new();
    let mut room = 0;
    for offer in offers {
        let offer = to_proto(offer, zone);
        let length = prost::Message::encoded_len(&offer);
        if let Some(page) = pages.last_mut().filter(|_| length <= room) {
            page.offers.push(offer);
        } else {
            pages.push(v1::ListOffersResponse { offers: vec![offer] });
            room = PAGE_BYTES;
        }
        room = room.saturating_sub(length);
    }
    pages
}

fn to_proto(offer: Offer, zone: &str) -> v1::ServiceOffer {
    let protocol = |protocol| match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
    };
    let frontends = offer.frontends.iter();
    v1::ServiceOffer {
        service: offer.service,
        frontends: frontends.map(|(at, it)| format!("{at}/{}", protocol(*it))).collect(),
        guarded: offer.guarded,
        kinds: offer.kinds.into_iter().map(|it| kind_to_proto(it).into()).collect(),
        answers: offer.answers.into_iter().map(|it| answer(it, zone)).collect(),
    }
}

fn answer(answer: Answer, zone: &str) -> v1::OfferAnswer {
    let Answer { audiences, fate, snat, why, backends } = answer;
    let audience = |audience| match audience {
        Audience::Pods => offer_answer::Audience::Pods,
        Audience::Node => offer_answer::Audience::Node,
        Audience::Outside => offer_answer::Audience::Outside,
    };
    let fate = match fate {
        Fate::Forward => offer_answer::Fate::Forward,
        Fate::Reject => offer_answer::Fate::Reject,
        Fate::Drop => offer_answer::Fate::Drop,
    };
    let all: u32 = backends.iter().map(|backend| backend.slots).sum();
    let share = |slots: u32| f64::from(slots) / f64::from(all.max(1));
    let mut zones: BTreeMap<String, u32> = BTreeMap::new();
    for backend in &backends {
        *zones.entry(backend.zone.clone()).or_default() += backend.slots;
    }
    let zones = zones.into_iter().map(|(name, slots)| v1::ZoneShare {
        own: !name.is_empty() && name == zone,
        share: share(slots),
        zone: name,
    });
    let backends = backends.into_iter().map(|Offered { address, node, zone, slots }| {
        v1::OfferedBackend { address: address.to_string(), node, zone, share: share(slots) }
    });
    v1::OfferAnswer {
        audiences: audiences.into_iter().map(|it| audience(it).into()).collect(),
        fate: fate.into(),
        snat,
        why: why.to_string(),
        backends: backends.collect(),
        zones: zones.collect(),
    }
}
