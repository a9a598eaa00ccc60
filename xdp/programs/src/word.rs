//! The flow table's cell, in map memory.

use core::{
    arch::asm,
    cell::UnsafeCell,
    intrinsics::{AtomicOrdering, atomic_cxchg},
    ptr,
};

use datapath::Word;

/// A word of a map value.
#[repr(transparent)]
pub struct MapWord(UnsafeCell<u64>);

impl Word for MapWord {
    #[inline(always)]
    fn load(&self) -> u64 {
        // SAFETY: the cell is a word of a map value; a plain aligned load does not tear.
        unsafe { ptr::read_volatile(self.0.get()) }
    }

    #[inline(always)]
    fn store(&self, value: u64) {
        // SAFETY: as above.
        unsafe { ptr::write_volatile(self.0.get(), value) }
    }

    #[inline(always)]
    fn blur(value: usize, unknown: u64) -> usize {
        let mut blurred = value;
        // SAFETY: two exclusive ors with the same word undo each other.
        unsafe {
            asm!("{0} ^= {1}", "{0} ^= {1}", inlateout(reg) blurred, in(reg) unknown,
                options(pure, nomem, nostack, preserves_flags));
        }
        blurred
    }

    #[inline(always)]
    fn compare_exchange(&self, current: u64, new: u64) -> bool {
        const ORDER: AtomicOrdering = AtomicOrdering::SeqCst;
        // SAFETY: as above; BPF's compare-and-exchange is fully ordered.
        unsafe { atomic_cxchg::<u64, ORDER, ORDER>(self.0.get(), current, new).1 }
    }
}
