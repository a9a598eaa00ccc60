//! The kernel's routes and neighbours, by its helper.

use core::ffi::c_void;

use abi::next_hop::NextHop;
use aya_ebpf::{
    bindings::{BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_SUCCESS},
    helpers::bpf_fib_lookup,
};
use datapath::{Address, flow::Rewrite};

/// `struct bpf_fib_lookup` of the kernel's uapi, whose fields are other ones afterwards.
#[repr(C, align(8))]
struct Lookup {
    family: u8,
    protocol: u8,
    source_port: u16,
    destination_port: u16,
    /// In: the packet's length. Out: the largest that fits.
    length: u16,
    /// In: where the packet came in. Out: where it leaves.
    interface: u32,
    flow: u32,
    source: [u32; 4],
    destination: [u32; 4],
    vlan: u32,
    source_mac: [u16; 3],
    destination_mac: [u16; 3],
}

const _: () = assert!(size_of::<Lookup>() == 64);

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// See [`datapath::Packet::route`]. The protocol is above the lowest 16 bits of its last argument:
/// functions have no more than five.
#[inline(never)]
pub fn route<A: Address>(
    context: *mut c_void,
    interface: u32,
    to: &Rewrite<A>,
    protocol_and_length: u32,
) -> NextHop {
    let mut lookup = Lookup {
        family: if A::V6 { AF_INET6 } else { AF_INET },
        protocol: (protocol_and_length >> 16) as u8,
        source_port: to.source_port.0,
        destination_port: to.destination_port.0,
        length: protocol_and_length as u16,
        interface,
        flow: 0,
        source: to.source.field(),
        destination: to.destination.field(),
        vlan: 0,
        source_mac: [0; 3],
        destination_mac: [0; 3],
    };
    // SAFETY: the context is the program's own, and the layout is the kernel's.
    let result =
        unsafe { bpf_fib_lookup(context, (&raw mut lookup).cast(), size_of::<Lookup>() as i32, 0) };
    let (interface, usable) = match result as u32 {
        BPF_FIB_LKUP_RET_SUCCESS => (lookup.interface, 1),
        BPF_FIB_LKUP_RET_NO_NEIGH | BPF_FIB_LKUP_RET_FRAG_NEEDED => (lookup.interface, 0),
        _ => (0, 0),
    };
    let [[a, b], [c, d], [e, f]] = lookup.destination_mac.map(u16::to_ne_bytes);
    let [[g, h], [i, j], [k, l]] = lookup.source_mac.map(u16::to_ne_bytes);
    NextHop {
        destination: [a, b, c, d, e, f, usable, 0],
        source: [g, h, i, j, k, l, 0, 0],
        interface,
        mtu: lookup.length as u32,
        padding: 0,
    }
}
