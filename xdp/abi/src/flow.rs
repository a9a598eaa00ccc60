//! Flow-table entries: buckets of four, each entry a run of 64-bit words.
//!
//! | word (v4) | (v6) | content |
//! |---|---|---|
//! | 0 | 0–3 | key: source then destination address |
//! | 1 | 4 | key: source port, destination port, protocol, zeros, as bytes in that order |
//! | 2 | 5–8 | source then destination address after translation |
//! | 3 | 9 | source and destination port after translation (2+2 bytes), checksum delta of the addresses (16 bits), of the ports (16 bits) |
//! | 4 | 10 | bytes that it carried, of IP packets: link headers are not counted |
//! | 5 | 11 | epoch sum (lowest 32 bits), source endpoint (16), destination endpoint (16), both after translation |
//! | 6 | 12 | backend (lowest 32 bits), service (24), kind (8) |
//! | 7 | 13 | packets that it carried: [`Packets`] |
//!
//! The entries' heads lie before them in one cache line: a packet touches that and its entry's own,
//! whichever of the four it is. One without a flow touches no entry, and who of a full bucket has to
//! leave for another shows in the heads too.
//! Addresses and ports lie in words as bytes in network order, whatever the host's order is.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Entries in a bucket. An entry is in one of two, which follow from its key's hash.
pub const WAYS: usize = 4;
/// Words of an IPv4 entry and of an IPv6 entry.
pub const WORDS4: usize = 8;
pub const WORDS6: usize = 16;

/// The tag's fields, from the lowest bit: state (2 bits), generation (14), hash (48).
pub mod tag {
    pub const STATE: u64 = 0b11;
    pub const FREE: u64 = 0;
    /// Being written; not to be read.
    pub const CLAIMED: u64 = 1;
    pub const LIVE: u64 = 2;
    pub const GENERATION_SHIFT: u32 = 2;
    pub const GENERATION: u64 = 0x3fff << GENERATION_SHIFT;
    pub const HASH: u64 = !0 << 16;
}

/// Bits of an entry's kind.
pub mod kind {
    /// The entry is for replies; its partner is the direction that opened the flow.
    pub const REPLY: u8 = 1;
    /// The destination (of replies: the source) is rewritten.
    pub const DNAT: u8 = 2;
    /// The source (of replies: the destination) is one of this node's own addresses: the kernel
    /// routes no such packet, so both directions are translated where they come in.
    pub const SNAT: u8 = 4;
    /// A workload reaches itself: like [`SNAT`], and packets go back to where they came from.
    pub const HAIRPIN: u8 = 8;
    /// Packets go to the backend as they are, inside another IP header, and answers do not come back
    /// by this node. The entry says what they become there.
    pub const TUNNEL: u8 = 16;
}

/// Bits of an entry's state byte: what this direction has shown.
pub mod seen {
    pub const FIN: u8 = 1;
    pub const RST: u8 = 2;
    /// The flow is no stranger's: both ends have answered each other. Who sends from an address that
    /// is not his own gets a TCP flow no further than the SYN-ACK.
    pub const CONFIRMED: u8 = 4;
    /// The next packet of this direction takes the flow further, so the slow path is to see it.
    pub const AWAITED: u8 = 8;
    /// The flow is TCP's: which idle times it is allowed.
    pub const TCP: u8 = 16;
    /// UDP's or SCTP's.
    pub const DATAGRAMS: u8 = 32;
}

/// What lies before the entries for each of them.
#[repr(C)]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Head {
    /// [`tag`].
    pub tag: u64,
    /// Last look in jiffies (lowest 32 bits), next hop (24), [`seen`] (8).
    pub looks: u64,
}

/// The packets that an entry has counted, and in an entry of replies beside them how long a TCP
/// connection took to be answered.
///
/// | bits | until the answer | then |
/// |---|---|---|
/// | 63 | 1 | 0 |
/// | 61–62 | when the SYN came | unit of the time: 1, 32 or 1024 µs |
/// | 48–60 | in microseconds | the time, at least 1; 0 if it was not taken |
/// | 0–47 | since the node started | packets |
///
/// So counting is adding one, whatever lies beside it: nothing is counted before the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Packets(pub u64);

impl Packets {
    const WAITING: u64 = 1 << 63;
    const TIME_SHIFT: u32 = 48;
    const TIME_BITS: u32 = 13;
    const TIME: u64 = (1 << Self::TIME_BITS) - 1;
    /// Each unit is so many powers of two of the one before.
    const UNIT_STEP: u32 = 5;

    /// The SYN came at a time in microseconds.
    #[inline(always)]
    pub const fn waiting(since: u64) -> Self {
        Self(since | Self::WAITING)
    }

    /// When the SYN came, as long as it was not answered.
    #[inline(always)]
    pub const fn since(self) -> Option<u64> {
        if self.0 & Self::WAITING == 0 { None } else { Some(self.0 & !Self::WAITING) }
    }

    /// Nothing counted yet, and an answer after so many microseconds: exact to one part in 256, up
    /// to 8.4 seconds, which stand for all that is longer.
    #[inline(always)]
    pub const fn answered(microseconds: u64) -> Self {
        let step = Self::UNIT_STEP;
        let (unit, time) = if microseconds <= Self::TIME {
            (0, microseconds)
        } else if microseconds >> step <= Self::TIME {
            (1, microseconds >> step)
        } else {
            (2, microseconds >> (2 * step))
        };
        let time = match time {
            0 => 1,
            time if time > Self::TIME => Self::TIME,
            time => time,
        };
        Self((unit << Self::TIME_BITS | time) << Self::TIME_SHIFT)
    }

    pub const fn count(self) -> u64 {
        if self.0 & Self::WAITING == 0 { self.0 & ((1 << Self::TIME_SHIFT) - 1) } else { 0 }
    }

    /// Microseconds until the answer.
    pub const fn handshake(self) -> Option<u32> {
        let time = (self.0 >> Self::TIME_SHIFT & Self::TIME) as u32;
        let unit = (self.0 >> (Self::TIME_SHIFT + Self::TIME_BITS)) as u32;
        if self.0 & Self::WAITING != 0 || time == 0 {
            return None;
        }
        Some(time << (unit * Self::UNIT_STEP))
    }
}

/// One bucket as it lies in the map.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub struct Bucket<const WORDS: usize> {
    pub heads: [Head; WAYS],
    pub entries: [[u64; WORDS]; WAYS],
}

pub const FLOWS4_MAP: &str = crate::map_name!("flows4");
pub const FLOWS6_MAP: &str = crate::map_name!("flows6");

const _: () = {
    assert!(size_of::<Bucket<WORDS4>>() == 320);
    assert!(size_of::<Bucket<WORDS6>>() == 576);
};

#[cfg(test)]
mod tests {
    use super::Packets;

    #[test]
    fn a_time_is_kept_beside_the_packets() {
        let longest = 8191 << 10;
        for (microseconds, kept) in [
            (0, 1),
            (1, 1),
            (137, 137),
            (8191, 8191),
            (8192, 8192),
            (10_007, 9984),
            (262_143, 262_112),
            (262_144, 262_144),
            (1_000_500, 1_000_448),
            (longest.into(), longest),
            (60_000_000, longest),
        ] {
            let mut packets = Packets::answered(microseconds);
            assert_eq!((packets.count(), packets.handshake()), (0, Some(kept)), "{microseconds}");
            packets.0 += 1_000_000_000_007;
            assert_eq!(packets.count(), 1_000_000_000_007, "{microseconds}");
            assert_eq!((packets.handshake(), packets.since()), (Some(kept), None));
        }
    }

    #[test]
    fn what_waits_has_counted_nothing() {
        for since in [0, 77, u64::MAX >> 1] {
            let packets = Packets::waiting(since);
            assert_eq!(packets.since(), Some(since));
            assert_eq!((packets.count(), packets.handshake()), (0, None));
        }
        let plain = Packets(41);
        assert_eq!((plain.count(), plain.handshake(), plain.since()), (41, None, None));
    }
}
