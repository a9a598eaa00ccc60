//! What makes a veth's end receive frames that XDP sends: a program of its own.
//!
//! The kernel flushes frames sent by `XDP_TX` only to a peer that runs an XDP program
//! (`veth_xdp_flush` in drivers/net/veth.c); a real NIC's other end needs nothing.

use std::{
    ffi::CString,
    io,
    os::fd::{FromRawFd, OwnedFd},
};

use anyhow::{Context, Result, ensure};
use libbpf_rs::libbpf_sys;
use nix::net::if_::if_nametoindex;

use crate::netns::Netns;

/// A program that passes everything, attached as long as this lives.
#[derive(Debug)]
pub(super) struct Receiver {
    _program: OwnedFd,
    _link: OwnedFd,
}

impl Receiver {
    pub fn attach(netns: &Netns, interface: &str) -> Result<Self> {
        netns.run(|| attach(interface)).with_context(|| format!("XDP on {interface}"))
    }
}

fn attach(interface: &str) -> Result<Receiver> {
    let index = if_nametoindex(interface)?;
    // r0 = XDP_PASS; exit
    let instructions = [instruction(0xb7, 2), instruction(0x95, 0)];
    let (name, license) = (CString::new("zg_pass")?, CString::new("GPL")?);
    // SAFETY: the texts end with zero and the instructions are as many as said.
    let program = unsafe {
        libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_XDP,
            name.as_ptr(),
            license.as_ptr(),
            instructions.as_ptr(),
            instructions.len() as u64,
            std::ptr::null_mut(),
        )
    };
    ensure!(program >= 0, "loading: {}", io::Error::from_raw_os_error(-program));
    // SAFETY: the kernel gave this descriptor to nobody else.
    let owned = unsafe { OwnedFd::from_raw_fd(program) };
    // SAFETY: no options.
    let link = unsafe {
        libbpf_sys::bpf_link_create(
            program,
            index.cast_signed(),
            libbpf_sys::BPF_XDP,
            std::ptr::null(),
        )
    };
    ensure!(link >= 0, "attaching: {}", io::Error::from_raw_os_error(-link));
    // SAFETY: as above.
    Ok(Receiver { _program: owned, _link: unsafe { OwnedFd::from_raw_fd(link) } })
}

fn instruction(code: u8, imm: i32) -> libbpf_sys::bpf_insn {
    libbpf_sys::bpf_insn { code, imm, ..Default::default() }
}
