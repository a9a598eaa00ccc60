//! UDP sockets of this network namespace, as the kernel lists and ends them (`sock_diag(7)`).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd, OwnedFd},
};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A netlink socket of its own.
pub(super) struct SocketDiagnosis(OwnedFd);

/// A UDP socket that is connected, whoever owns it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectedUdp {
    family: u8,
    id: SocketId,
}

impl ConnectedUdp {
    /// The kernel's number of the socket, never used again.
    pub(super) fn cookie(&self) -> u64 {
        let [low, high] = self.id.cookie;
        u64::from(low) | u64::from(high) << 32
    }

    /// As the socket names it: IPv4 through an IPv6 socket is mapped.
    pub(super) fn peer(&self) -> SocketAddr {
        let octets = self.id.destination;
        let [a, b, c, d, ..] = octets;
        let address = match i32::from(self.family) {
            libc::AF_INET => IpAddr::from(Ipv4Addr::new(a, b, c, d)),
            _ => Ipv6Addr::from(octets).into(),
        };
        SocketAddr::new(address, u16::from_be_bytes(self.id.destination_port))
    }
}

impl SocketDiagnosis {
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        )?;
        Ok(Self(socket))
    }

    /// All of them, over IPv4 and IPv6. `ENOENT`: the kernel cannot list UDP sockets
    /// (`CONFIG_INET_UDP_DIAG`).
    pub(super) fn connected(&self) -> io::Result<Vec<ConnectedUdp>> {
        let mut sockets = Vec::new();
        for family in [libc::AF_INET, libc::AF_INET6] {
            let request = Request::new(family.cast_unsigned() as u8, SocketId::default());
            self.send(SOCK_DIAG_BY_FAMILY, libc::NLM_F_DUMP, &request)?;
            self.receive(|payload| {
                if let Ok((answer, _)) = Answer::read_from_prefix(payload) {
                    sockets.push(ConnectedUdp { family: answer.family, id: answer.id });
                }
            })?;
        }
        Ok(sockets)
    }

    /// Has calls on the socket fail with `ECONNABORTED`, and disconnects it. `EOPNOTSUPP`: the
    /// kernel cannot do that (`CONFIG_INET_DIAG_DESTROY`); `ENOENT`: it is closed already.
    pub(super) fn destroy(&self, socket: &ConnectedUdp) -> io::Result<()> {
        let request = Request::new(socket.family, socket.id);
        self.send(SOCK_DESTROY, libc::NLM_F_ACK, &request)?;
        self.receive(|_| ())
    }

    fn send(&self, kind: u16, flags: i32, request: &Request) -> io::Result<()> {
        let header = Header {
            length: (size_of::<Header>() + size_of::<Request>()) as u32,
            kind,
            flags: (libc::NLM_F_REQUEST | flags).cast_unsigned() as u16,
            ..Header::default()
        };
        let message = [header.as_bytes(), request.as_bytes()].concat();
        send(self.0.as_raw_fd(), &message, MsgFlags::empty())?;
        Ok(())
    }

    /// Hands over what messages carry, until the answer is complete.
    fn receive(&self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let mut messages = &buffer[..length];
            while let Ok((header, _)) = Header::read_from_prefix(messages) {
                let end = (header.length as usize).clamp(size_of::<Header>(), messages.len());
                let payload = &messages[size_of::<Header>()..end];
                match i32::from(header.kind) {
                    libc::NLMSG_DONE => return Ok(()),
                    libc::NLMSG_ERROR => {
                        let code = i32::read_from_prefix(payload).map_or(0, |(code, _)| code);
                        return match code {
                            0 => Ok(()),
                            code => Err(io::Error::from_raw_os_error(-code)),
                        };
                    }
                    _ => take(payload),
                }
                messages = &messages[end.next_multiple_of(ALIGNMENT).min(messages.len())..];
            }
        }
    }
}

/// `struct nlmsghdr`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Header {
    length: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
}

/// `struct inet_diag_sockid`; addresses and ports in network order.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct SocketId {
    source_port: [u8; 2],
    destination_port: [u8; 2],
    source: [u8; 16],
    destination: [u8; 16],
    interface: u32,
    cookie: [u32; 2],
}

/// `struct inet_diag_req_v2`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Request {
    family: u8,
    protocol: u8,
    extensions: u8,
    padding: u8,
    states: u32,
    id: SocketId,
}

impl Request {
    fn new(family: u8, id: SocketId) -> Self {
        let protocol = libc::IPPROTO_UDP as u8;
        Self { family, protocol, states: 1 << ESTABLISHED, id, ..Self::default() }
    }
}

/// `struct inet_diag_msg`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Answer {
    family: u8,
    state: u8,
    timer: u8,
    retransmits: u8,
    id: SocketId,
    expires: u32,
    receive_queue: u32,
    send_queue: u32,
    owner: u32,
    inode: u32,
}

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
/// The state of a connected UDP socket (`TCP_ESTABLISHED`).
const ESTABLISHED: u32 = 1;
const ALIGNMENT: usize = 4;
/// What the kernel fills at most at once.
const BUFFER: usize = 32 << 10;

const _: () = {
    assert!(size_of::<SocketId>() == 48);
    assert!(size_of::<Request>() == 56);
    assert!(size_of::<Answer>() == 72);
};

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn connected_sockets_are_listed_and_end() {
        let diagnosis = SocketDiagnosis::open().unwrap();
        for address in ["127.0.0.1:9", "[::1]:9"] {
            let server: SocketAddr = address.parse().unwrap();
            let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
            socket.connect(server).unwrap();
            let own = socket.local_addr().unwrap().port().to_be_bytes();
            let sockets = diagnosis.connected().unwrap();
            let found = sockets.iter().find(|it| it.peer() == server && it.id.source_port == own);
            let found = found.unwrap_or_else(|| panic!("{address} is not among {sockets:?}"));
            match diagnosis.destroy(found).map_err(|error| error.raw_os_error()) {
                Ok(()) => {
                    let error = socket.recv(&mut [0; 9]).unwrap_err();
                    assert_eq!(error.raw_os_error(), Some(libc::ECONNABORTED), "{error}");
                    let again = diagnosis.destroy(found).unwrap_err();
                    assert_eq!(again.raw_os_error(), Some(libc::ENOENT), "{again}");
                }
                // Without the capability or the kernel's support.
                Err(code) => {
                    assert!(matches!(code, Some(libc::EPERM | libc::EOPNOTSUPP)), "{code:?}");
                }
            }
        }
    }
}
