//! An mmapable array map as the 64-bit words that the kernel's programs see.

use std::{
    io,
    os::fd::AsFd,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use libbpf_rs::{MapCore, MapHandle};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::error::MapError;

/// All elements of an array map, one after the other, for as long as this value lives.
pub struct Mapping {
    words: NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: the mapping is memory shared with the kernel that is only reached through atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps an array whose values are whole words.
    pub fn new(name: &'static str, map: &MapHandle) -> Result<Self, MapError> {
        let error = |source| MapError::Mapping { name, source };
        let bytes = map.value_size() as usize * map.max_entries() as usize;
        let Some(size) = std::num::NonZeroUsize::new(bytes) else {
            return Err(error(io::ErrorKind::InvalidData.into()));
        };
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new shared mapping at an address of the kernel's choice.
        let start = unsafe { mmap(None, size, protection, MapFlags::MAP_SHARED, map.as_fd(), 0) }
            .map_err(|errno| error(errno.into()))?;
        Ok(Self { words: start.cast(), len: bytes / size_of::<u64>() })
    }

    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: `words` points to `len` aligned words until this value is dropped; the kernel
        // writes them, which atomics allow.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.len) }
    }

    /// Word `index`, or 0 beyond the end.
    pub fn load(&self, index: usize) -> u64 {
        self.words().get(index).map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// Stores a word after everything stored before; beyond the end nothing happens.
    pub fn store(&self, index: usize, value: u64) {
        if let Some(word) = self.words().get(index) {
            word.store(value, Ordering::Release);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by `mmap` with this length; no reference outlives `self`.
        let unmapped = unsafe { munmap(self.words.cast(), self.len * size_of::<u64>()) };
        debug_assert!(unmapped.is_ok());
    }
}
