//! Waiting until every packet under way is done.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType, libbpf_sys};

use super::error::{MapError, system};

/// A map of maps that nobody looks into.
///
/// The kernel answers an update of a map of maps after an RCU grace period, so that its author
/// may reuse what was replaced (`maybe_wait_bpf_programs` in `kernel/bpf/syscall.c`). Programs
/// run inside RCU read sections: when the update returns, all that ran when it began have ended.
pub struct GracePeriod {
    outer: MapHandle,
    inner: MapHandle,
}

impl GracePeriod {
    /// Makes the map.
    pub fn new() -> Result<Self, MapError> {
        let error = |source: libbpf_rs::Error| MapError::Create {
            name: "zg_grace",
            source: system(&source),
        };
        let mut options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as _,
            ..Default::default()
        };
        let inner = MapHandle::create(MapType::Array, Some("zg_grace_in"), 4, 8, 1, &options)
            .map_err(error)?;
        options.inner_map_fd = inner.as_fd().as_raw_fd().cast_unsigned();
        let outer = MapHandle::create(MapType::ArrayOfMaps, Some("zg_grace"), 4, 4, 1, &options)
            .map_err(error)?;
        Ok(Self { outer, inner })
    }

    /// Returns when every packet that was under way is done.
    pub fn wait(&self) -> io::Result<()> {
        let inner = self.inner.as_fd().as_raw_fd().to_ne_bytes();
        self.outer
            .update(&0u32.to_ne_bytes(), &inner, MapFlags::ANY)
            .map_err(|error| system(&error))
    }
}
