//! What `zonegate bench wire` and `compare` put beside routers: the ends of the wire, and the
//! shortest programs that forward anything.

use core::ptr;

use abi::{next_hop::NextHop, wire::Counted};
use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, xdp_action},
    btf_maps::Array,
    helpers::{bpf_get_smp_processor_id, bpf_redirect},
    macros::{btf_map, xdp},
    programs::XdpContext,
};

const MMAPABLE: usize = BPF_F_MMAPABLE as usize;

/// Where `wire_redirect` sends everything.
#[btf_map(name = "zg1_wire_hop")]
static HOP: Array<NextHop, 1, MMAPABLE> = Array::new();
/// By processor.
#[btf_map(name = "zg1_wire_counted")]
static COUNTED: Array<Counted, 1, MMAPABLE> = Array::new();

/// Counts frames and drops them.
#[xdp]
pub fn wire_drop(_: XdpContext) -> u32 {
    // SAFETY: the helper only reads.
    let processor = unsafe { bpf_get_smp_processor_id() };
    if let Some(counted) = COUNTED.get_ptr_mut(processor) {
        // SAFETY: a processor has one packet at a time, and the element is its own.
        unsafe { (*counted).frames += 1 };
    }
    xdp_action::XDP_DROP
}

/// Redirects frames with new link addresses, and looks at nothing else.
#[xdp]
pub fn wire_redirect(context: XdpContext) -> u32 {
    let (start, Some(hop)) = (context.data(), HOP.get(0)) else {
        return xdp_action::XDP_ABORTED;
    };
    if start + ETHERNET > context.data_end() {
        return xdp_action::XDP_ABORTED;
    }
    let [a, b, c, d, e, f, ..] = hop.destination;
    let [g, h, i, j, k, l, ..] = hop.source;
    // SAFETY: the header was checked to be there.
    unsafe { ptr::write(start as *mut [u8; 12], [a, b, c, d, e, f, g, h, i, j, k, l]) };
    // SAFETY: no memory is handed over.
    unsafe { bpf_redirect(hop.interface, 0) as u32 }
}

/// Sends frames back where they came from.
#[xdp]
pub fn wire_tx(context: XdpContext) -> u32 {
    let start = context.data();
    if start + ETHERNET > context.data_end() {
        return xdp_action::XDP_ABORTED;
    }
    swap::<[u8; 6]>(start, start + 6);
    xdp_action::XDP_TX
}

/// Answers UDP over IPv4 with the same datagram; swaps change no checksum. Passes everything else.
/// It redirects, as a veth flushes what `XDP_TX` sends only if its other end has a program.
#[xdp]
pub fn wire_reflect(context: XdpContext) -> u32 {
    let start = context.data();
    if start + UDP4 > context.data_end() {
        return xdp_action::XDP_PASS;
    }
    // SAFETY: the headers were checked to be there.
    let (ether_type, protocol) =
        unsafe { (*((start + 12) as *const [u8; 2]), *((start + 23) as *const u8)) };
    if ether_type != [0x08, 0x00] || protocol != 17 {
        return xdp_action::XDP_PASS;
    }
    swap::<[u8; 6]>(start, start + 6);
    swap::<[u8; 4]>(start + 26, start + 30);
    swap::<[u8; 2]>(start + 34, start + 36);
    // SAFETY: the context is the kernel's, and no memory is handed over.
    unsafe { bpf_redirect((*context.ctx).ingress_ifindex, 0) as u32 }
}

const ETHERNET: usize = 14;
const UDP4: usize = ETHERNET + 20 + 8;

/// Swaps two fields of checked headers.
#[inline(always)]
fn swap<T: Copy>(one: usize, other: usize) {
    let (one, other) = (one as *mut T, other as *mut T);
    // SAFETY: the caller has checked that both are in the frame; bytes have no alignment.
    unsafe {
        let first = ptr::read(one);
        ptr::write(one, ptr::read(other));
        ptr::write(other, first);
    }
}
