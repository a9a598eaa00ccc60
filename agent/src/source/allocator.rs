//! What the allocator keeps of memory that nobody uses.

/// Gives the kernel back what a snapshot needed on its way: lists of the source, the resources that it made,
/// what the compiler did first. glibc keeps it otherwise, between smaller pieces that are in use.
pub(super) fn release() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointer and may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
