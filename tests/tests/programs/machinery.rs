//! The programs themselves: before the first commit, without their tail calls, and marks.

use std::net::SocketAddr;

use abi::{
    reason::{DropReason, PassReason},
    tail::JUDGED_MARK,
};
use testbed::{
    packet::{self, PacketBuilder},
    programs::{Case, Node, Places, Worlds, admit},
};

fn packets(places: Places) -> [PacketBuilder; 3] {
    let (from, to) = (SocketAddr::new(places.outsider, 4000), SocketAddr::new(places.web, 80));
    [
        packet::tcp(from, to).syn(),
        packet::udp(from, SocketAddr::new(places.lonely_vip, Places::DNS)),
        packet::echo_request(places.outsider, places.web, 1, 1),
    ]
}

#[test]
fn before_the_first_commit_everything_well_formed_passes() {
    let node = Node::before_the_first_commit();
    for packet in Places::both().into_iter().flat_map(packets) {
        node.check_all(
            Case::everywhere("not ready", &packet).map(|case| case.passes(PassReason::NotReady)),
        );
        let cut = packet.vlan(1).truncate(18 + 15);
        node.check_all(
            Case::everywhere("cut", &cut).map(|case| case.drops(DropReason::TruncatedIp)),
        );
    }
}

#[test]
fn abuse_41_without_the_slow_path_packets_are_dropped() {
    let node = Node::of(&Worlds::plain());
    node.cut_tail_calls();
    for packet in Places::both().into_iter().flat_map(packets) {
        let [wire_in, wire_out, from_web, to_web] = Case::everywhere("no slow path", &packet);
        for case in [wire_in, from_web, to_web] {
            node.check_in_kernel(&case.drops(DropReason::MissingProgram));
        }
        // This hook has no slow path to miss.
        node.check(wire_out.passes(PassReason::NotOurs));
    }
    let arp = packets(Places::v4())[0].clone().ether_type(0x0806);
    node.check_all(Case::everywhere("ARP", &arp).map(|case| case.passes(PassReason::NotIp)));
}

#[test]
fn what_another_hook_sent_is_not_judged_twice_and_loses_its_mark() {
    const TCX_NEXT: i32 = -1;
    const SHOT: i32 = 2;
    let node = Node::of(&Worlds::with([admit("web", &[], &[], &[])]));
    for packet in Places::both().map(|it| packets(it)[0].clone()) {
        let [_, wire_out, from_web, to_web] = Case::everywhere("marked", &packet);
        for case in [&wire_out, &to_web] {
            let judged = vec![(PassReason::AlreadyJudged.name(), 1)];
            assert_eq!(node.run_marked(case, JUDGED_MARK), (TCX_NEXT, 0, judged));
        }
        // A workload cannot mark its way out, and another's mark stays what it is.
        let foreign = vec![(DropReason::ForeignSource.name(), 1)];
        let (action, _, counted) = node.run_marked(&from_web, JUDGED_MARK);
        assert_eq!((action, counted), (SHOT, foreign));
        let not_ours = vec![(PassReason::NotOurs.name(), 1)];
        assert_eq!(node.run_marked(&wire_out, 7), (TCX_NEXT, 7, not_ours));
    }
}
