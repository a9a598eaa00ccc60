//! What somebody else has put on the node's interfaces.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
};

use anyhow::{Context, Result};
use libbpf_rs::libbpf_sys::{BPF_PROG_TYPE_XDP, bpf_prog_load, bpf_xdp_attach, bpf_xdp_query_id};
use nix::net::if_::if_nametoindex;

use crate::netns::Netns;

/// An XDP program that passes everything, attached to an interface without a link, as `ip link
/// set … xdp` does: it stays until it is replaced.
#[derive(Debug)]
pub struct XdpProgram {
    netns: Netns,
    interface: u32,
    id: u32,
    _program: OwnedFd,
}

impl XdpProgram {
    pub const NAME: &str = "somebody_else";

    /// Loads and attaches it.
    pub fn attach(netns: &Netns, interface: &str) -> Result<Self> {
        let program = load().context("loading an XDP program")?;
        let (interface, id) = netns.run(|| {
            let interface = if_nametoindex(interface)?;
            // SAFETY: no options are passed.
            let result = unsafe {
                bpf_xdp_attach(interface.cast_signed(), program.as_raw_fd(), 0, ptr::null())
            };
            check(result).context("attaching an XDP program")?;
            anyhow::Ok((interface, attached(interface)?))
        })?;
        Ok(Self { netns: netns.clone(), interface, id, _program: program })
    }

    /// The kernel's number for it.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether it is what the interface runs.
    pub fn is_attached(&self) -> Result<bool> {
        Ok(self.netns.run(|| attached(self.interface))? == self.id)
    }
}

/// The id of the program on an interface, 0 for none.
fn attached(interface: u32) -> Result<u32> {
    let mut id = 0;
    // SAFETY: `id` is valid for the write.
    check(unsafe { bpf_xdp_query_id(interface.cast_signed(), 0, &raw mut id) })?;
    Ok(id)
}

fn load() -> Result<OwnedFd> {
    let [a, b, c, d] = XDP_PASS.to_ne_bytes();
    // `r0 = XDP_PASS; exit`, as `struct bpf_insn`: code, registers, offset, immediate.
    let instructions = [[0xb7, 0, 0, 0, a, b, c, d], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let name = std::ffi::CString::new(XdpProgram::NAME)?;
    // SAFETY: name, licence and instructions are live and as long as said; no options are passed.
    let fd = unsafe {
        bpf_prog_load(
            BPF_PROG_TYPE_XDP,
            name.as_ptr(),
            c"GPL".as_ptr(),
            instructions.as_ptr().cast(),
            instructions.len() as _,
            ptr::null_mut(),
        )
    };
    check(fd)?;
    // SAFETY: the call has just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: i32) -> Result<()> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result).into()) } else { Ok(()) }
}

const XDP_PASS: i32 = 2;
