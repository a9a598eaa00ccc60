//! Whether an event is about routes that flows may remember.

use std::collections::BTreeMap;

use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::{
    RouteNetlinkMessage as Message,
    route::{RouteAttribute, RouteMessage, RouteType},
};

/// Whether a route changed that leads out by one of the uplinks, by several interfaces, or nowhere; or
/// a rule that chooses between tables of routes.
pub(super) fn changed(event: &NetlinkMessage<Message>, uplinks: &BTreeMap<u32, bool>) -> bool {
    match &event.payload {
        NetlinkPayload::InnerMessage(Message::NewRoute(route) | Message::DelRoute(route)) => {
            match route.header.kind {
                RouteType::Unicast => interface(route).is_none_or(|it| uplinks.contains_key(&it)),
                RouteType::Local | RouteType::Broadcast | RouteType::Anycast => false,
                _ => true,
            }
        }
        NetlinkPayload::InnerMessage(Message::NewRule(_) | Message::DelRule(_)) => true,
        _ => false,
    }
}

fn interface(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::{link::LinkMessage, rule::RuleMessage};

    use super::*;

    fn event(message: Message) -> NetlinkMessage<Message> {
        NetlinkMessage::from(message)
    }

    fn route(kind: RouteType, interface: Option<u32>) -> RouteMessage {
        let mut route = RouteMessage::default();
        route.header.kind = kind;
        route.attributes.extend(interface.map(RouteAttribute::Oif));
        route
    }

    #[test]
    fn routes_of_pods_are_nobodys_way_out() {
        let uplinks = BTreeMap::from([(2, true)]);
        let cases = [
            (Message::NewRoute(route(RouteType::Unicast, Some(2))), true),
            (Message::DelRoute(route(RouteType::Unicast, Some(2))), true),
            (Message::NewRoute(route(RouteType::Unicast, None)), true),
            (Message::NewRoute(route(RouteType::Unicast, Some(9))), false),
            (Message::NewRoute(route(RouteType::BlackHole, Some(1))), true),
            (Message::NewRoute(route(RouteType::Local, Some(2))), false),
            (Message::NewRule(RuleMessage::default()), true),
            (Message::NewLink(LinkMessage::default()), false),
        ];
        for (message, expected) in cases {
            assert_eq!(changed(&event(message.clone()), &uplinks), expected, "{message:?}");
        }
    }
}
