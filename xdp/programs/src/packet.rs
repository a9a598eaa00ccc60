//! Frames in the kernel: every unsafe access to packet memory is in this module.

use core::{arch::asm, array, ptr};

use abi::{next_hop::NextHop, tail::HANDOVER};
use aya_ebpf::{
    bindings::{
        BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6, BPF_F_MARK_MANGLED_0,
        BPF_F_PSEUDO_HDR, bpf_adj_room_mode,
    },
    helpers::{
        bpf_l4_csum_replace, bpf_skb_adjust_room, bpf_skb_change_tail, bpf_skb_pull_data,
        bpf_xdp_adjust_head, bpf_xdp_adjust_meta, bpf_xdp_adjust_tail,
    },
    programs::{TcContext, XdpContext},
};
use datapath::{Address, Field, Packet, Unit, V6, checksum, flow::Rewrite};

use crate::route::route;

/// Headers never reach further than this; the bound lets the verifier follow the arithmetic.
const MAX_OFFSET: u32 = 511;
/// Bytes that the fast path has linear on tc: Ethernet, two tags, IPv6 with extensions, TCP.
pub const HEADERS: u32 = 128;
/// The same for the slow path, which also reads what ICMP errors quote: all that it may reach.
pub const REACH: u32 = MAX_OFFSET + 1;

/// A frame whose bytes lie between two addresses that the verifier knows.
trait Linear {
    fn bounds(&self) -> (usize, usize);

    /// Where `N` values lie.
    #[inline(always)]
    fn slots<U: Unit, const N: usize>(&self, offset: u32) -> Option<*mut U> {
        let (start, end) = self.bounds();
        if offset > MAX_OFFSET {
            return None;
        }
        let at = start + offset as usize;
        // At least two: the compiler turns "one byte fits" into a comparison that teaches the
        // verifier nothing. No field that is read by the byte is the last of its header.
        if at + Ord::max(size_of::<[U; N]>(), 2) > end { None } else { Some(at as *mut U) }
    }

    #[inline(always)]
    fn read<U: Unit, const N: usize>(&self, offset: u32) -> Option<[U; N]> {
        let slots = self.slots::<U, N>(offset)?;
        // SAFETY: `slots` checked that all values are inside the frame. Kernels that run these
        // programs allow accesses of any alignment; an unaligned read would be done by the byte.
        Some(array::from_fn(|index| unsafe { ptr::read_volatile(slots.add(index)) }))
    }

    #[inline(always)]
    fn write<U: Unit, const N: usize>(&mut self, offset: u32, values: [U; N]) -> bool {
        let Some(slots) = self.slots::<U, N>(offset) else { return false };
        for (index, value) in values.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { ptr::write_volatile(slots.add(index), value) };
        }
        true
    }
}

/// Hides where a context pointer comes from. Else the compiler, knowing all callers, loads the
/// frame's bounds there and hands them over as integers, and the verifier forgets what they are.
#[inline(always)]
fn opaque<C>(context: *mut C) -> *mut C {
    let mut hidden = context;
    // SAFETY: a register is moved to itself. (Without an instruction, line information clashes.)
    unsafe {
        asm!("{0} = {0}", inlateout(reg) hidden, options(pure, nomem, nostack, preserves_flags));
    }
    hidden
}

/// A frame at an XDP hook.
pub struct XdpFrame<'c>(pub &'c XdpContext);

impl Linear for XdpFrame<'_> {
    #[inline(always)]
    fn bounds(&self) -> (usize, usize) {
        let context = opaque(self.0.ctx);
        // SAFETY: the context is valid while the program runs.
        unsafe { ((*context).data as usize, (*context).data_end as usize) }
    }
}

impl Packet for XdpFrame<'_> {
    #[inline(always)]
    fn len(&self) -> u32 {
        let (start, end) = self.bounds();
        (end - start) as u32
    }

    #[inline(always)]
    fn load_array<U: Unit, const N: usize>(&self, offset: u32) -> Option<[U; N]> {
        self.read(offset)
    }

    #[inline(always)]
    fn store_array<U: Unit, const N: usize>(&mut self, offset: u32, values: [U; N]) -> bool {
        self.write(offset, values)
    }

    #[inline(always)]
    fn update_checksum(&mut self, offset: u32, delta: u16, _: Field, zero_is_none: bool) -> bool {
        let Some(field) = self.load::<u16>(offset) else { return false };
        if zero_is_none && field == 0 {
            return true;
        }
        let updated = checksum::update(field, delta);
        self.store(offset, if zero_is_none && updated == 0 { 0xffff } else { updated })
    }

    #[inline(always)]
    fn resize(&mut self, len: u32) -> bool {
        let change = len as i32 - self.len() as i32;
        if change > 0 {
            return self.grow(change);
        }
        // SAFETY: the context is the program's own.
        change == 0 || unsafe { bpf_xdp_adjust_tail(self.0.ctx, change) } == 0
    }

    #[inline(always)]
    fn insert(&mut self, _: u32, bytes: u32) -> bool {
        self.grow(bytes as i32)
    }

    #[inline(always)]
    fn remove(&mut self, network: u32, bytes: u32) -> bool {
        self.shrink(network, bytes as i32)
    }

    #[inline(always)]
    fn route<A: Address>(&self, to: &Rewrite<A>, protocol: u8, length: u32) -> NextHop {
        route(
            self.0.ctx.cast(),
            self.0.ingress_ifindex() as u32,
            to,
            (protocol as u32) << 16 | length & 0xffff,
        )
    }
}

impl XdpFrame<'_> {
    /// Leaves a word for the tc hook; `false` where the driver has no room for one.
    #[inline(always)]
    pub fn hand_over(&mut self) -> bool {
        // SAFETY: the context is the program's own.
        if unsafe { bpf_xdp_adjust_meta(self.0.ctx, -(size_of::<u32>() as i32)) } != 0 {
            return false;
        }
        let context = opaque(self.0.ctx);
        // SAFETY: the context is valid while the program runs.
        let (start, end) = unsafe { ((*context).data_meta as usize, (*context).data as usize) };
        if start + size_of::<u32>() > end {
            return false;
        }
        // SAFETY: four bytes of metadata begin here, as was just checked.
        unsafe { ptr::write_volatile(start as *mut u32, HANDOVER) };
        true
    }

    /// Grows at the front and takes the link header there: drivers leave room before a frame, but
    /// need not leave any behind it. With two tags that header has 22 bytes.
    ///
    /// Out of line: where the caller has checked more, the compiler drops the checks here, and the
    /// verifier does not follow.
    #[inline(never)]
    fn grow(&mut self, by: i32) -> bool {
        let Some(link) = self.read::<u64, 3>(0) else { return false };
        // SAFETY: the context is the program's own.
        let grown = unsafe { bpf_xdp_adjust_head(self.0.ctx, -by) } == 0;
        grown && self.write(0, link)
    }

    /// Shrinks at the front, and takes the link header along, which ends at `network`.
    #[inline(never)]
    fn shrink(&mut self, network: u32, by: i32) -> bool {
        let Some(link) = self.read::<u16, 11>(0) else { return false };
        // SAFETY: the context is the program's own.
        let shrunk = unsafe { bpf_xdp_adjust_head(self.0.ctx, by) } == 0;
        let [a, b, c, d, e, f, g, h, i, j, k] = link;
        shrunk
            && self.write(0, [a, b, c, d, e, f, g])
            && (network < 18 || self.write(14, [h, i]))
            && (network < 22 || self.write(18, [j, k]))
    }
}

/// A frame at a tc hook: headers linear, checksums perhaps left to the device.
pub struct TcFrame<'c>(&'c TcContext);

impl<'c> TcFrame<'c> {
    /// Makes the first `bytes` linear.
    #[inline(always)]
    pub fn new(context: &'c TcContext, bytes: u32) -> Self {
        let length = context.len();
        let wanted = if length < bytes { length } else { bytes };
        if context.data() + (wanted as usize) > context.data_end() {
            // SAFETY: the context is the program's own. A failure shows as a truncated packet.
            unsafe { bpf_skb_pull_data(context.skb.skb, wanted) };
        }
        Self(context)
    }
}

impl Linear for TcFrame<'_> {
    #[inline(always)]
    fn bounds(&self) -> (usize, usize) {
        let context = opaque(self.0.skb.skb);
        // SAFETY: as for XDP.
        unsafe { ((*context).data as usize, (*context).data_end as usize) }
    }
}

impl Packet for TcFrame<'_> {
    #[inline(always)]
    fn len(&self) -> u32 {
        self.0.len()
    }

    #[inline(always)]
    fn load_array<U: Unit, const N: usize>(&self, offset: u32) -> Option<[U; N]> {
        self.read(offset)
    }

    #[inline(always)]
    fn store_array<U: Unit, const N: usize>(&mut self, offset: u32, values: [U; N]) -> bool {
        self.write(offset, values)
    }

    #[inline(always)]
    fn update_checksum(
        &mut self,
        offset: u32,
        delta: u16,
        field: Field,
        zero_is_none: bool,
    ) -> bool {
        let mut flags = 0;
        if field == Field::Addresses {
            flags |= BPF_F_PSEUDO_HDR as u64;
        }
        if zero_is_none {
            flags |= BPF_F_MARK_MANGLED_0 as u64;
        }
        // SAFETY: the context is the program's own.
        unsafe { bpf_l4_csum_replace(self.0.skb.skb, offset, 0, delta as u64, flags) == 0 }
    }

    #[inline(always)]
    fn resize(&mut self, len: u32) -> bool {
        // SAFETY: the context is the program's own.
        len == self.0.len() || unsafe { bpf_skb_change_tail(self.0.skb.skb, len, 0) } == 0
    }

    #[inline(always)]
    fn insert(&mut self, _: u32, bytes: u32) -> bool {
        let v6 = bytes == V6::HEADER;
        let family =
            if v6 { BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 } else { BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 } as u64;
        // SAFETY: the context is the program's own.
        unsafe {
            bpf_skb_adjust_room(
                self.0.skb.skb,
                bytes as i32,
                bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
                family,
            ) == 0
        }
    }

    #[inline(always)]
    fn wire_length(&self, length: u32, headers: u32) -> u32 {
        // The segment size counts payload only; the longest TCP header is 60 bytes.
        self.segment().map_or(length, |segment| segment + headers + 60)
    }

    #[inline(always)]
    fn segment(&self) -> Option<u32> {
        // SAFETY: the context's buffer is valid while the program runs.
        let segment = unsafe { (*self.0.skb.skb).gso_size };
        (segment != 0).then_some(segment)
    }

    #[inline(always)]
    fn route<A: Address>(&self, to: &Rewrite<A>, protocol: u8, length: u32) -> NextHop {
        route(
            self.0.skb.skb.cast(),
            interface(self.0),
            to,
            (protocol as u32) << 16 | length & 0xffff,
        )
    }
}

/// Whether XDP has left this to the tc hook: see [`XdpFrame::hand_over`].
#[inline(always)]
pub fn is_handed_over(context: &TcContext) -> bool {
    let skb = opaque(context.skb.skb);
    // SAFETY: the context is valid while the program runs.
    let (start, end) = unsafe { ((*skb).data_meta as usize, (*skb).data as usize) };
    // SAFETY: four bytes of metadata begin there, if the comparison holds.
    start + size_of::<u32>() <= end
        && unsafe { ptr::read_volatile(start as *const u32) } == HANDOVER
}

/// The raw context, for helpers that want it.
#[inline(always)]
pub fn interface(context: &TcContext) -> u32 {
    // SAFETY: as above.
    unsafe { (*context.skb.skb).ifindex }
}

#[inline(always)]
pub fn mark(context: &TcContext) -> u32 {
    // SAFETY: as above.
    unsafe { (*context.skb.skb).mark }
}
