//! The packet generator: programs that fill live frames and send them out of an interface.
//!
//! Frames come out of a pool and back into it with whatever others wrote into their headers, so
//! that every header is written as a whole each time.

use core::ptr;

use abi::generate::{
    LONGEST, Plan, Position, Recorded, SHORTEST, SIZES, TEMPLATES, Template, shape,
};
use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, xdp_action},
    btf_maps::Array,
    helpers::{bpf_get_smp_processor_id, bpf_redirect, bpf_xdp_adjust_tail, bpf_xdp_store_bytes},
    macros::{btf_map, xdp},
    programs::XdpContext,
};

const MMAPABLE: usize = BPF_F_MMAPABLE as usize;

#[btf_map(name = "zg1_gen_plan")]
static PLAN: Array<Plan, 1, MMAPABLE> = Array::new();
#[btf_map(name = "zg1_gen_template")]
static TEMPLATE: Array<Template, { TEMPLATES as usize }, MMAPABLE> = Array::new();
/// By processor.
#[btf_map(name = "zg1_gen_position")]
static POSITION: Array<Position, 1, MMAPABLE> = Array::new();
#[btf_map(name = "zg1_gen_recorded")]
static RECORDED: Array<Recorded, 1, MMAPABLE> = Array::new();

/// Makes frames of the plan's flows.
#[xdp]
pub fn bench_generate(context: XdpContext) -> u32 {
    generate(&context).unwrap_or(xdp_action::XDP_ABORTED)
}

/// Sends recorded frames in turn.
#[xdp]
pub fn bench_replay(context: XdpContext) -> u32 {
    replay(&context).unwrap_or(xdp_action::XDP_ABORTED)
}

#[inline(always)]
fn generate(context: &XdpContext) -> Option<u32> {
    let plan = PLAN.get(0)?;
    let position = position()?;
    let (number, flows) = (position.next, plan.flows as u64);
    let index = number.checked_rem(flows)?;
    let flow = (index * plan.stride as u64).checked_rem(flows)? as u32;
    // Sizes move on by one from round to round, or a flow would always have the same.
    let size = (number + number.checked_div(flows)?) % SIZES as u64;
    let template = TEMPLATE.get(flow.checked_rem(plan.protocols)? * SIZES + size as u32)?;
    let fields = Fields::of(plan, flow)?;
    let frame = Frame { start: context.data(), end: context.data_end() };
    match template.shape {
        // Where TCP's headers fit they may have been: the payload that was there is written, too.
        shape::V4_UDP => {
            frame.copy::<TCP4>(template).or_else(|| frame.copy::<UDP4>(template))?;
            frame.fill::<V4, false>(template, &fields);
        }
        shape::V4_TCP => {
            frame.copy::<TCP4>(template)?;
            frame.fill::<V4, true>(template, &fields);
        }
        shape::V6_UDP => {
            frame.copy::<TCP6>(template).or_else(|| frame.copy::<UDP6>(template))?;
            frame.fill::<V6, false>(template, &fields);
        }
        _ => {
            frame.copy::<TCP6>(template)?;
            frame.fill::<V6, true>(template, &fields);
        }
    }
    shorten(context, plan.longest, template.length)?;
    Some(send(position, plan))
}

#[inline(always)]
fn replay(context: &XdpContext) -> Option<u32> {
    let plan = PLAN.get(0)?;
    let position = position()?;
    let recorded = RECORDED.get(position.next.checked_rem(plan.recorded as u64)? as u32)?;
    let length = recorded.length;
    if length < SHORTEST as u32 || length > LONGEST as u32 {
        return None;
    }
    let bytes = ptr::from_ref(&recorded.bytes).cast_mut().cast();
    // SAFETY: the helper reads `length` bytes, which the element has.
    if unsafe { bpf_xdp_store_bytes(context.ctx, 0, bytes, length) } != 0 {
        return None;
    }
    shorten(context, plan.longest, length)?;
    Some(send(position, plan))
}

/// Of this processor, where it takes part.
#[inline(always)]
fn position() -> Option<&'static mut Position> {
    // SAFETY: the helper only reads.
    let processor = unsafe { bpf_get_smp_processor_id() };
    let position = POSITION.get_ptr_mut(processor)?;
    // SAFETY: frames are made one at a time on a processor, and the generator writes the element
    // between runs.
    let position = unsafe { &mut *position };
    (position.step != 0).then_some(position)
}

/// Cuts the frame, which is as long as the longest, to a length.
#[inline(always)]
fn shorten(context: &XdpContext, longest: u32, length: u32) -> Option<()> {
    let excess = longest as i32 - length as i32;
    if excess == 0 {
        return Some(());
    }
    // SAFETY: nothing of the frame is read or written after this.
    (unsafe { bpf_xdp_adjust_tail(context.ctx, -excess) } == 0).then_some(())
}

#[inline(always)]
fn send(position: &mut Position, plan: &Plan) -> u32 {
    position.next += position.step;
    position.made += 1;
    // SAFETY: no memory is handed over.
    unsafe { bpf_redirect(plan.interface, 0) as u32 }
}

/// What differs from flow to flow, as numbers.
struct Fields {
    source: u32,
    destination: u32,
    source_port: u32,
    destination_port: u32,
    sequence: u32,
}

impl Fields {
    /// `None` where a span is empty.
    #[inline(always)]
    fn of(plan: &Plan, flow: u32) -> Option<Self> {
        let (rest, destination) = digit(flow, plan.destination.count)?;
        let (rest, destination_port) = digit(rest, plan.destination_port.count)?;
        let (source, source_port) = digit(rest, plan.source_port.count)?;
        Some(Self {
            destination: plan.destination.first.wrapping_add(destination),
            destination_port: plan.destination_port.first + destination_port,
            source_port: plan.source_port.first + source_port,
            source: plan.source.first.wrapping_add(source),
            // Fibonacci hashing: neighbours are far apart.
            sequence: if plan.vary_sequence == 0 { 1 } else { flow.wrapping_mul(0x9e37_79b1) },
        })
    }

    /// Of the 16-bit words of both addresses.
    #[inline(always)]
    const fn addresses(&self) -> u32 {
        halves(self.source) + halves(self.destination)
    }
}

/// What is left of a number, and its lowest digit.
#[inline(always)]
fn digit(number: u32, count: u32) -> Option<(u32, u32)> {
    Some((number.checked_div(count)?, number.checked_rem(count)?))
}

/// Where the headers of an IP version have what differs.
struct Offsets {
    source: usize,
    destination: usize,
    transport: usize,
}

const V4: bool = false;
const V6: bool = true;
const OFFSETS4: Offsets = Offsets { source: 26, destination: 30, transport: 34 };
const OFFSETS6: Offsets = Offsets { source: 34, destination: 50, transport: 54 };
/// Bytes of all headers.
const UDP4: usize = OFFSETS4.transport + 8;
const TCP4: usize = OFFSETS4.transport + 20;
const UDP6: usize = OFFSETS6.transport + 8;
const TCP6: usize = OFFSETS6.transport + 20;
const IPV4_CHECKSUM: usize = 24;

struct Frame {
    start: usize,
    end: usize,
}

impl Frame {
    /// Writes the first `LENGTH` bytes of a template, if the frame has as many.
    #[inline(always)]
    fn copy<const LENGTH: usize>(&self, template: &Template) -> Option<()> {
        if self.start + LENGTH > self.end {
            return None;
        }
        let words = LENGTH / 8;
        for (index, word) in template.headers.iter().enumerate() {
            if index < words {
                self.put(8 * index, *word);
            }
        }
        for rest in 0..LENGTH % 8 / 2 {
            let shift = if cfg!(target_endian = "little") { 16 * rest } else { 48 - 16 * rest };
            self.put(8 * words + 2 * rest, (template.headers[words] >> shift) as u16);
        }
        Some(())
    }

    /// Writes what differs from flow to flow, and checksums, where headers were copied to.
    #[inline(always)]
    fn fill<const IPV6: bool, const TCP: bool>(&self, template: &Template, fields: &Fields) {
        let offsets = if IPV6 { OFFSETS6 } else { OFFSETS4 };
        self.put(offsets.source, fields.source.to_be());
        self.put(offsets.destination, fields.destination.to_be());
        self.put(offsets.transport, (fields.source_port as u16).to_be());
        self.put(offsets.transport + 2, (fields.destination_port as u16).to_be());
        if !IPV6 {
            self.put(IPV4_CHECKSUM, checksum(template.network_sum + fields.addresses()).to_be());
        }
        let sum = template.transport_sum
            + fields.addresses()
            + fields.source_port
            + fields.destination_port;
        if TCP {
            self.put(offsets.transport + 4, fields.sequence.to_be());
            let checksum = checksum(sum + halves(fields.sequence));
            self.put(offsets.transport + 16, checksum.to_be());
        } else {
            let checksum = checksum(sum);
            // Zero would say that there is none (RFC 768).
            self.put(offsets.transport + 6, if checksum == 0 { 0xffff } else { checksum.to_be() });
        }
    }

    /// `offset` is a constant that leaves room for the value in the headers.
    #[inline(always)]
    fn put<T>(&self, offset: usize, value: T) {
        // SAFETY: `copy` checked that the headers are there. An unaligned write would be done by
        // the byte; the kernels that run this allow any alignment.
        unsafe { ptr::write_volatile((self.start + offset) as *mut T, value) };
    }
}

const fn halves(word: u32) -> u32 {
    (word >> 16) + (word & 0xffff)
}

/// The internet checksum of words with this sum (RFC 1071).
const fn checksum(sum: u32) -> u16 {
    !(halves(halves(sum)) as u16)
}
