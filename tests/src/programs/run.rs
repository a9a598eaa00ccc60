//! `BPF_PROG_TEST_RUN`: a program, a packet, and what comes out.

use std::{
    ffi::c_void,
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use libbpf_rs::libbpf_sys::{bpf_prog_test_run_opts, bpf_test_run_opts, xdp_md};

/// What a program did with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// An XDP action, or a tc one.
    pub action: i32,
    pub frame: Vec<u8>,
    /// The packet's mark afterwards; 0 for XDP.
    pub mark: u32,
}

/// Runs an XDP program on a frame that came in by an interface of this thread's namespace.
pub fn xdp(program: BorrowedFd<'_>, interface: u32, frame: &[u8]) -> io::Result<Run> {
    let mut context =
        xdp_md { data_end: frame.len() as u32, ingress_ifindex: interface, ..Default::default() };
    let (action, frame) = run(program, frame, &mut context)?;
    Ok(Run { action, frame, mark: 0 })
}

/// Runs a tc program on a frame at an interface of this thread's namespace.
pub fn tc(program: BorrowedFd<'_>, interface: u32, mark: u32, frame: &[u8]) -> io::Result<Run> {
    let mut context = [0_u32; SKB_WORDS];
    context[SKB_MARK] = mark;
    context[SKB_IFINDEX] = interface;
    let (action, frame) = run(program, frame, &mut context)?;
    Ok(Run { action, frame, mark: context[SKB_MARK] })
}

fn run<C>(program: BorrowedFd<'_>, frame: &[u8], context: &mut C) -> io::Result<(i32, Vec<u8>)> {
    let mut out = vec![0; LARGEST];
    let context = std::ptr::from_mut(context).cast::<c_void>();
    let mut options = bpf_test_run_opts {
        sz: size_of::<bpf_test_run_opts>() as _,
        data_in: frame.as_ptr().cast(),
        data_size_in: frame.len() as u32,
        data_out: out.as_mut_ptr().cast(),
        data_size_out: out.len() as u32,
        ctx_in: context,
        ctx_size_in: size_of::<C>() as u32,
        ctx_out: context,
        ctx_size_out: size_of::<C>() as u32,
        repeat: 1,
        ..Default::default()
    };
    // SAFETY: the buffers are live and as long as said; the kernel reads the context before it
    // writes it.
    let result = unsafe { bpf_prog_test_run_opts(program.as_raw_fd(), &raw mut options) };
    if result != 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    out.truncate(options.data_size_out as usize);
    Ok((options.retval.cast_signed(), out))
}

/// `struct __sk_buff` (`linux/bpf.h`) in words of 32 bits, and where two of its fields are.
const SKB_WORDS: usize = 48;
const SKB_MARK: usize = 2;
const SKB_IFINDEX: usize = 10;

/// Room for any frame that a test sends.
const LARGEST: usize = 16_384;
