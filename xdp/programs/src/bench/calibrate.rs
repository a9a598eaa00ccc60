//! A fixed piece of work, of the kind that the datapath does: what the speed of a machine is
//! measured with. Changing it changes what every committed ratio means.

use core::ptr;

use abi::bench::{FRAME, FRAME_WORDS, word_offset};
use aya_ebpf::{btf_maps::Array, macros::btf_map};

/// As large as half of a small first-level cache.
#[btf_map(name = "zg1_bench_work")]
static WORK: Array<u64, ELEMENTS> = Array::new();

const ELEMENTS: usize = 1 << ELEMENT_BITS;
const ELEMENT_BITS: u32 = 11;

/// Hashes the words of a frame, each with an element that the hash so far chooses, sums
/// them as checksums are, and leaves both in the frame's last two bytes; `false` where there is no
/// such frame.
#[inline(always)]
pub fn calibrate(start: usize, end: usize) -> bool {
    if start + FRAME > end {
        return false;
    }
    let (mut hash, mut sum) = (0_u64, 0_u64);
    for index in 0..FRAME_WORDS {
        // SAFETY: the frame was checked to be there. These kernels allow any alignment.
        let word = unsafe { ptr::read_volatile((start + word_offset(index)) as *const u64) };
        sum += (word >> 32) + (word & 0xffff_ffff);
        hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let Some(element) = WORK.get((hash >> (u64::BITS - ELEMENT_BITS)) as u32) else {
            return false;
        };
        hash = hash.rotate_left(32) ^ *element;
    }
    let folded = sum ^ hash;
    // SAFETY: as above.
    unsafe { ptr::write_volatile((start + FRAME - 2) as *mut u16, (folded ^ folded >> 16) as u16) };
    true
}
