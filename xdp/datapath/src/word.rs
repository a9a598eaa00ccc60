//! The one shared-memory cell of the flow table: atomics of the kernel, of the host, of loom.

/// A 64-bit word that several processors and the agent share.
///
/// The kernel's programs have no acquire loads: there, [`Word::load`] is a plain load, which on
/// x86 is one; readers re-check the tag after reading.
pub trait Word {
    /// Loads with acquire order.
    fn load(&self) -> u64;

    /// Stores without order; made visible by a later [`Word::compare_exchange`].
    fn store(&self, value: u64);

    /// Gives back `value`. In the kernel, the verifier does not see that: it follows every value
    /// that an index may have to the end of the program, unless the index is unknown and masked.
    /// `unknown` is any word whose value the verifier does not know.
    #[must_use]
    fn blur(value: usize, unknown: u64) -> usize {
        let _ = unknown;
        value
    }

    /// Replaces `current` by `new` with full order; says whether it did.
    fn compare_exchange(&self, current: u64, new: u64) -> bool;
}

#[cfg(not(target_arch = "bpf"))]
mod host {
    #[cfg(not(loom))]
    use core::sync::atomic::{AtomicU64, Ordering, fence};
    #[cfg(loom)]
    use loom::sync::atomic::{AtomicU64, Ordering, fence};

    impl super::Word for AtomicU64 {
        fn load(&self) -> u64 {
            self.load(Ordering::Acquire)
        }

        fn store(&self, value: u64) {
            self.store(value, Ordering::Relaxed);
        }

        fn compare_exchange(&self, current: u64, new: u64) -> bool {
            let done =
                self.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire).is_ok();
            // The kernel's read-modify-write operations order everything around them; Rust's
            // order nothing against later loads.
            fence(Ordering::SeqCst);
            done
        }
    }
}
