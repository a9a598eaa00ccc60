//! Writing the frame of the next flow.

use core::ptr;

use abi::bench::{FIRST_PORT, FRAME, FRAME_WORDS, PORT_BITS, SERVERS, Setup, shape, word_offset};
use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};

const MMAPABLE: usize = BPF_F_MMAPABLE as usize;

#[btf_map(name = "zg1_bench_setup")]
static SETUP: Array<Setup, 1, MMAPABLE> = Array::new();
#[btf_map(name = "zg1_bench_flows")]
static FLOWS: Array<u64, 65_536, MMAPABLE> = Array::new();

/// Writes the next flow's frame between two addresses; `false` where it does not fit.
#[inline(always)]
pub fn restore(start: usize, end: usize) -> bool {
    if start + FRAME > end {
        return false;
    }
    let Some(setup) = SETUP.get_ptr_mut(0) else { return false };
    // SAFETY: the benchmark runs one packet at a time, and writes the element between runs.
    let setup = unsafe { &mut *setup };
    let Some(flow) = next_flow(setup) else { return false };
    let frame = Frame(start);
    for (index, word) in setup.frame.iter().enumerate() {
        frame.write(word_offset(index), *word);
    }
    let client = setup.client.wrapping_add((flow >> PORT_BITS).wrapping_shl(setup.spread));
    let server = setup.server.wrapping_add(flow & (SERVERS - 1));
    let port = (FIRST_PORT as u32 | (flow & ((1 << PORT_BITS) - 1))) as u16;
    match setup.shape {
        shape::V4_TO_SERVER => {
            frame.write(26, client.to_be());
            frame.write(30, server.to_be());
            frame.write(34, port.to_be());
        }
        shape::V4_TO_CLIENT => {
            frame.write(26, server.to_be());
            frame.write(30, client.to_be());
            frame.write(36, port.to_be());
        }
        shape::V6_TO_SERVER => {
            frame.write(30, with_end(setup.frame[SOURCE6], client));
            frame.write(46, with_end(setup.frame[DESTINATION6], server));
            frame.write(54, port.to_be());
        }
        _ => {
            frame.write(30, with_end(setup.frame[SOURCE6], server));
            frame.write(46, with_end(setup.frame[DESTINATION6], client));
            frame.write(56, port.to_be());
        }
    }
    true
}

/// The words that hold the lower halves of IPv6 addresses.
const SOURCE6: usize = 4;
const DESTINATION6: usize = 6;
const _: () = assert!(word_offset(SOURCE6) == 30 && word_offset(DESTINATION6) == 46);
const _: () = assert!(FRAME_WORDS > DESTINATION6);

#[inline(always)]
fn next_flow(setup: &mut Setup) -> Option<u32> {
    let at = setup.next;
    if setup.flows == 0 {
        setup.next = at + 1;
        return Some(at as u32);
    }
    setup.next = if at + 1 >= setup.flows as u64 { 0 } else { at + 1 };
    FLOWS.get(at as u32).map(|flow| *flow as u32)
}

/// A word of an address with its last four bytes replaced.
#[inline(always)]
const fn with_end(word: u64, end: u32) -> u64 {
    if cfg!(target_endian = "little") {
        (word & 0xffff_ffff) | (end.to_be() as u64) << 32
    } else {
        (word & 0xffff_ffff << 32) | end as u64
    }
}

/// Where a frame of [`FRAME`] bytes begins.
struct Frame(usize);

impl Frame {
    /// `offset` is a constant that leaves room for the value.
    #[inline(always)]
    fn write<T>(&self, offset: usize, value: T) {
        // SAFETY: `restore` checked that the frame is there. An unaligned write would be done by
        // the byte; the kernels that run this allow any alignment.
        unsafe { ptr::write_volatile((self.0 + offset) as *mut T, value) };
    }
}
