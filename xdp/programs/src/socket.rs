//! The programs at the sockets of the node's own processes.
//!
//! They run for every process in the cgroup, but act only where the socket is of the node's network
//! namespace: pods may share the cgroup. What a socket was sent to by its process is remembered,
//! so that the process sees the service as its peer and as the source of datagrams. It is never
//! forgotten on a call, only when there is no room: a connected socket sends to the translated
//! peer, and IPv4 through an IPv6 socket comes by here even so.

use core::ptr;

use abi::{
    reason::PassReason,
    socket::{Peer as Known, PeerKey},
};
use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_set_retval},
    macros::cgroup_sock_addr,
    programs::SockAddrContext,
};
use datapath::{Address, Call, Peer, Port, V4, V6, Way, way};

use crate::{maps, tables::KernelTables, verdict::count};

/// The cookie of the node's network namespace, which the agent sets when it loads the programs.
#[unsafe(no_mangle)]
static NODE_NETNS: u64 = 0;

#[cgroup_sock_addr(connect4)]
pub fn socket_connect4(context: SockAddrContext) -> i32 {
    to4(&context, Call::Connect)
}

#[cgroup_sock_addr(connect6)]
pub fn socket_connect6(context: SockAddrContext) -> i32 {
    to6(&context, Call::Connect)
}

#[cgroup_sock_addr(sendmsg4)]
pub fn socket_sendmsg4(context: SockAddrContext) -> i32 {
    to4(&context, Call::Send)
}

#[cgroup_sock_addr(sendmsg6)]
pub fn socket_sendmsg6(context: SockAddrContext) -> i32 {
    to6(&context, Call::Send)
}

#[cgroup_sock_addr(recvmsg4)]
pub fn socket_recvmsg4(context: SockAddrContext) -> i32 {
    from4(&context)
}

#[cgroup_sock_addr(recvmsg6)]
pub fn socket_recvmsg6(context: SockAddrContext) -> i32 {
    from6(&context)
}

#[cgroup_sock_addr(getpeername4)]
pub fn socket_getpeername4(context: SockAddrContext) -> i32 {
    from4(&context)
}

#[cgroup_sock_addr(getpeername6)]
pub fn socket_getpeername6(context: SockAddrContext) -> i32 {
    from6(&context)
}

/// "Go on"; 0 makes the call fail, with `EPERM` unless another error is set.
const PROCEED: i32 = 1;
const FAIL: i32 = 0;
const ECONNREFUSED: i32 = 111;

/// The third word of an IPv4 address as an IPv6 socket sees it, after two zeros.
const MAPPED: u32 = 0xffff_u32.to_be();

#[inline(always)]
fn to4(context: &SockAddrContext, call: Call) -> i32 {
    if !is_node(context) {
        return PROCEED;
    }
    let mut peer = Peer { address: v4(address4(context)), port: port(context) };
    let (action, is_translated) = steer(context, call, &mut peer);
    if is_translated {
        let [word, ..] = peer.address.field();
        set_address4(context, word);
        set_port(context, peer.port.0);
    }
    action
}

#[inline(always)]
fn to6(context: &SockAddrContext, call: Call) -> i32 {
    if !is_node(context) {
        return PROCEED;
    }
    let address = address6(context);
    if let [0, 0, MAPPED, word] = address {
        let mut peer = Peer { address: v4(word), port: port(context) };
        let (action, is_translated) = steer(context, call, &mut peer);
        if is_translated {
            let [word, ..] = peer.address.field();
            set_mapped(context, word);
            set_port(context, peer.port.0);
        }
        return action;
    }
    let mut peer = Peer { address: v6(address), port: port(context) };
    let (action, is_translated) = steer(context, call, &mut peer);
    if is_translated {
        set_address6(context, peer.address.field());
        set_port(context, peer.port.0);
    }
    action
}

/// What the program returns, and whether the peer is another one now.
#[inline(always)]
fn steer<A: Address>(context: &SockAddrContext, call: Call, peer: &mut Peer<A>) -> (i32, bool) {
    let asked = *peer;
    let cookie = cookie(context);
    let protocol = protocol(context);
    match way(&KernelTables, call, cookie, protocol, peer) {
        Way::Untouched => (PROCEED, false),
        Way::Backend => {
            let known = Known { address: asked.address.field(), port: asked.port.0, padding: 0 };
            remember(&key(cookie, protocol, peer), &known);
            (PROCEED, true)
        }
        Way::Refused => {
            count(PassReason::Rejected as u32);
            // SAFETY: the helper has no preconditions; without it the process hears `EPERM`.
            unsafe { bpf_set_retval(-ECONNREFUSED) };
            (FAIL, false)
        }
        Way::Denied(reason) => {
            count(reason as u32);
            (FAIL, false)
        }
    }
}

#[inline(always)]
fn from4(context: &SockAddrContext) -> i32 {
    if is_node(context) {
        let peer = Peer { address: v4(address4(context)), port: port(context) };
        if let Some(known) = recall(context, &peer) {
            let [word, ..] = known.address;
            set_address4(context, word);
            set_port(context, known.port);
        }
    }
    PROCEED
}

#[inline(always)]
fn from6(context: &SockAddrContext) -> i32 {
    if !is_node(context) {
        return PROCEED;
    }
    let address = address6(context);
    if let [0, 0, MAPPED, word] = address {
        if let Some(known) = recall(context, &Peer { address: v4(word), port: port(context) }) {
            let [word, ..] = known.address;
            set_mapped(context, word);
            set_port(context, known.port);
        }
    } else if let Some(known) = recall(context, &Peer { address: v6(address), port: port(context) })
    {
        set_address6(context, known.address);
        set_port(context, known.port);
    }
    PROCEED
}

/// Datagrams of one socket mostly go where the last one went: that is not written again.
#[inline(always)]
fn remember(key: &PeerKey, known: &Known) {
    // SAFETY: values are replaced, never written in place.
    let found = unsafe { maps::PEERS.get(key) };
    let is_remembered =
        found.is_some_and(|it| it == known) || maps::PEERS.insert(key, known, 0).is_ok();
    count(if is_remembered { PassReason::Socket } else { PassReason::SocketForgotten } as u32);
}

#[inline(always)]
fn recall<A: Address>(context: &SockAddrContext, peer: &Peer<A>) -> Option<Known> {
    let key = key(cookie(context), protocol(context), peer);
    // SAFETY: as above.
    unsafe { maps::PEERS.get(&key) }.copied()
}

#[inline(always)]
fn key<A: Address>(cookie: u64, protocol: u8, peer: &Peer<A>) -> PeerKey {
    PeerKey {
        cookie,
        address: peer.address.field(),
        port: peer.port.0,
        protocol,
        family: if A::V6 { PeerKey::V6 } else { 0 },
        padding: 0,
    }
}

#[inline(always)]
fn is_node(context: &SockAddrContext) -> bool {
    // SAFETY: the static is valid; volatile because the agent changes it when it loads the object.
    let node = unsafe { ptr::read_volatile(&raw const NODE_NETNS) };
    // SAFETY: the context is the program's own.
    unsafe { bpf_get_netns_cookie(context.as_ptr()) == node }
}

#[inline(always)]
fn cookie(context: &SockAddrContext) -> u64 {
    // SAFETY: the context is the program's own.
    unsafe { bpf_get_socket_cookie(context.as_ptr()) }
}

/// Protocols above 255 are none of ours.
#[inline(always)]
fn protocol(context: &SockAddrContext) -> u8 {
    // SAFETY: the context is valid while the program runs; so it is for all that follow.
    let protocol = unsafe { ptr::read_volatile(&raw const (*context.sock_addr).protocol) };
    if protocol > 255 { 0 } else { protocol as u8 }
}

#[inline(always)]
fn v4(word: u32) -> V4 {
    V4::new(word.to_ne_bytes())
}

#[inline(always)]
fn v6(words: [u32; 4]) -> V6 {
    // SAFETY: four words are sixteen bytes, and any bytes are an address.
    V6::new(unsafe { core::mem::transmute::<[u32; 4], [u8; 16]>(words) })
}

#[inline(always)]
fn port(context: &SockAddrContext) -> Port {
    // SAFETY: as for `protocol`.
    Port(unsafe { ptr::read_volatile(&raw const (*context.sock_addr).user_port) } as u16)
}

#[inline(always)]
fn set_port(context: &SockAddrContext, port: u16) {
    // SAFETY: as for `protocol`.
    unsafe { ptr::write_volatile(&raw mut (*context.sock_addr).user_port, port as u32) };
}

#[inline(always)]
fn address4(context: &SockAddrContext) -> u32 {
    // SAFETY: as for `protocol`.
    unsafe { ptr::read_volatile(&raw const (*context.sock_addr).user_ip4) }
}

#[inline(always)]
fn set_address4(context: &SockAddrContext, word: u32) {
    // SAFETY: as for `protocol`.
    unsafe { ptr::write_volatile(&raw mut (*context.sock_addr).user_ip4, word) };
}

#[inline(always)]
fn address6(context: &SockAddrContext) -> [u32; 4] {
    let words = address6_words(context);
    // SAFETY: as for `protocol`.
    unsafe {
        [
            ptr::read_volatile(words),
            ptr::read_volatile(words.add(1)),
            ptr::read_volatile(words.add(2)),
            ptr::read_volatile(words.add(3)),
        ]
    }
}

#[inline(always)]
fn set_address6(context: &SockAddrContext, [a, b, c, d]: [u32; 4]) {
    let words = address6_words(context);
    // SAFETY: as for `protocol`.
    unsafe {
        ptr::write_volatile(words, a);
        ptr::write_volatile(words.add(1), b);
        ptr::write_volatile(words.add(2), c);
    }
    set_mapped(context, d);
}

/// Replaces an IPv4 address in its IPv6 form: the last word.
#[inline(always)]
fn set_mapped(context: &SockAddrContext, word: u32) {
    // SAFETY: as for `protocol`.
    unsafe { ptr::write_volatile(address6_words(context).add(3), word) };
}

#[inline(always)]
fn address6_words(context: &SockAddrContext) -> *mut u32 {
    // SAFETY: as for `protocol`.
    unsafe { (&raw mut (*context.sock_addr).user_ip6).cast() }
}
