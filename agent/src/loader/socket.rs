//! The programs at sockets: attached to a cgroup for the node's own processes.
//!
//! Their links are pinned beside the tail-call maps of their set, and go with it. aya cannot give
//! such a link another program, so an agent attaches its own beside those of the earlier one, which
//! it then detaches. While both are there, what one has translated is no service to the other.

use std::{fs::File, io, os::fd::AsRawFd, path::Path};

use aya::{
    Ebpf,
    programs::{CgroupAttachMode, CgroupSockAddr, links::FdLink},
};
use libbpf_rs::Link;
use nix::sys::{
    socket::{AddressFamily, SockFlag, SockType, socket},
    statfs::{CGROUP2_SUPER_MAGIC, fstatfs},
};

use super::{attach::describe, error::LoadError};

/// As in [`crate::dataplane::Attachment::hook`].
pub const HOOK: &str = "cgroup";

/// The global of the programs that names the network namespace that they act in.
pub const NETNS_GLOBAL: &str = "NODE_NETNS";

/// By what happens when: an address comes back before it is given out.
const PROGRAMS: [&str; 8] = [
    "socket_recvmsg4",
    "socket_recvmsg6",
    "socket_getpeername4",
    "socket_getpeername6",
    "socket_sendmsg4",
    "socket_sendmsg6",
    "socket_connect4",
    "socket_connect6",
];

/// The kernel's number of this process' network namespace.
pub fn netns_cookie() -> Result<u64, LoadError> {
    let any = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
    let any = any.map_err(|errno| LoadError::NetnsCookie(errno.into()))?;
    let mut cookie = 0_u64;
    let mut length = size_of_val(&cookie) as libc::socklen_t;
    // SAFETY: both pointers are valid for writes, and the length is that of the value.
    let result = unsafe {
        libc::getsockopt(
            any.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(cookie) } else { Err(LoadError::NetnsCookie(io::Error::last_os_error())) }
}

/// Attaches all programs to a cgroup and pins their links in the set's directory.
pub fn attach(ebpf: &mut Ebpf, cgroup: &Path, set: &Path) -> Result<(), LoadError> {
    let cgroup_error = |source| LoadError::Cgroup { path: cgroup.to_owned(), source };
    let directory = File::open(cgroup).map_err(cgroup_error)?;
    let system = fstatfs(&directory).map_err(|errno| cgroup_error(errno.into()))?;
    if system.filesystem_type() != CGROUP2_SUPER_MAGIC {
        return Err(cgroup_error(io::Error::other("no cgroup2 file system")));
    }
    for program in PROGRAMS {
        let failed = |reason: String| LoadError::Attach {
            program,
            interface: cgroup.display().to_string(),
            hook: HOOK,
            reason,
        };
        let loaded = ebpf.program_mut(program).ok_or(LoadError::MissingProgram(program))?;
        let loaded: &mut CgroupSockAddr =
            loaded.try_into().map_err(|error| failed(describe(&error)))?;
        // A link goes beside whatever else is attached, without being asked to.
        let link = loaded
            .attach(&directory, CgroupAttachMode::Single)
            .and_then(|id| loaded.take_link(id))
            .map_err(|error| failed(describe(&error)))?;
        let link = FdLink::try_from(link).map_err(|error| failed(describe(&error)))?;
        link.pin(set.join(program)).map_err(|error| failed(describe(&error)))?;
    }
    tracing::info!(cgroup = %cgroup.display(), "attached to sockets");
    Ok(())
}

/// Detaches the programs of a set at once; the pins go with its directory.
pub fn detach(set: &Path) {
    for program in PROGRAMS {
        // Without a cgroup there are none, and one whose cgroup is gone is detached already.
        let path = set.join(program);
        if path.exists()
            && let Ok(link) = Link::open(path)
        {
            let _ = link.detach();
        }
    }
}
