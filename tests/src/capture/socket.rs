//! An `AF_PACKET` socket (packet(7)), with the metadata that goes beside a frame.

use std::{
    io,
    mem::{self, MaybeUninit},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    ptr,
    time::Instant,
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    net::if_::if_nametoindex,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, send, setsockopt, socket,
        sockopt,
    },
};

use super::Captured;

#[derive(Debug)]
pub(super) struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Opens a socket in the calling thread's namespace.
    pub fn open(interface: &str) -> Result<Self> {
        let index = if_nametoindex(interface).context("no such interface")?;
        // Without a protocol it receives nothing before it is bound.
        let fd = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None::<SockProtocol>,
        )?;
        setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BUFFER)?;
        let socket = Self(fd);
        socket.ask_for_metadata()?;
        socket.bind(index)?;
        Ok(socket)
    }

    pub fn send(&self, frame: &[u8]) -> Result<()> {
        send(self.0.as_raw_fd(), frame, MsgFlags::empty())?;
        Ok(())
    }

    /// The next frame in either direction, or none by the deadline.
    pub fn receive(&self, deadline: Instant) -> Result<Option<Captured>> {
        loop {
            match self.receive_now() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return Ok(Some(received?)),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let wait = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], wait) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn ask_for_metadata(&self) -> io::Result<()> {
        let on: libc::c_int = 1;
        // SAFETY: the pointer and length describe `on`, which outlives the call.
        let result = unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_AUXDATA,
                (&raw const on).cast(),
                size_of_val(&on) as libc::socklen_t,
            )
        };
        check(result as isize).map(drop)
    }

    fn bind(&self, index: u32) -> io::Result<()> {
        // SAFETY: all-zero bytes are a valid sockaddr_ll.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index.cast_signed();
        // SAFETY: the pointer and length describe `address`, which outlives the call.
        let result = unsafe {
            libc::bind(
                self.0.as_raw_fd(),
                (&raw const address).cast(),
                size_of_val(&address) as libc::socklen_t,
            )
        };
        check(result as isize).map(drop)
    }

    fn receive_now(&self) -> io::Result<Captured> {
        let mut frame = vec![0_u8; LONGEST];
        let mut control = [0_u64; 16];
        let mut vector = libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() };
        // SAFETY: all-zero bytes are a valid sockaddr_ll and a valid msghdr.
        let (mut from, mut message): (libc::sockaddr_ll, libc::msghdr) =
            unsafe { (mem::zeroed(), mem::zeroed()) };
        message.msg_name = (&raw mut from).cast();
        message.msg_namelen = size_of_val(&from) as libc::socklen_t;
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        // SAFETY: every pointer in `message` is to a local that outlives the call, with its length.
        let length = check(unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut message, 0) })?;
        frame.truncate(length.cast_unsigned());
        let metadata = metadata(&message);
        let status = metadata.map_or(0, |metadata| metadata.tp_status);
        if let Some(metadata) = metadata.filter(|_| status & libc::TP_STATUS_VLAN_VALID != 0) {
            let has_tpid = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
            let tpid = if has_tpid { metadata.tp_vlan_tpid } else { libc::ETH_P_8021Q as u16 };
            let tag = [tpid.to_be_bytes(), metadata.tp_vlan_tci.to_be_bytes()].concat();
            frame.splice(12.min(frame.len())..12.min(frame.len()), tag);
        }
        Ok(Captured {
            frame,
            sent: from.sll_pkttype == libc::PACKET_OUTGOING,
            checksum_filled: status & libc::TP_STATUS_CSUMNOTREADY == 0,
        })
    }
}

/// The `PACKET_AUXDATA` of a received message.
fn metadata(message: &libc::msghdr) -> Option<libc::tpacket_auxdata> {
    // SAFETY: recvmsg has filled in the control buffer that `message` still points to.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return pointers to headers inside the buffer.
        let (level, kind) = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
        if (level, kind) == (libc::SOL_PACKET, libc::PACKET_AUXDATA) {
            let mut data = MaybeUninit::<libc::tpacket_auxdata>::uninit();
            // SAFETY: a PACKET_AUXDATA message carries one tpacket_auxdata, perhaps unaligned.
            return Some(unsafe {
                ptr::copy_nonoverlapping(
                    libc::CMSG_DATA(header),
                    data.as_mut_ptr().cast(),
                    size_of_val(&data),
                );
                data.assume_init()
            });
        }
        // SAFETY: as for CMSG_FIRSTHDR above.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    None
}

fn check(result: isize) -> io::Result<isize> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The longest packet, as GRO hands it up.
const LONGEST: usize = 65_536 + 64;

const RECEIVE_BUFFER: usize = 16 << 20;
