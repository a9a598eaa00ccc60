//! Fingerprints of what verdicts depend on, small enough to be kept with the ids.

use std::{collections::BTreeSet, net::IpAddr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::ranges::{Family, SetRanges, number};

/// Equal fingerprints mean equal content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Digest([u64; 4]);

impl Digest {
    /// Of an endpoint that no rule restricts, whatever policies select it.
    pub(super) const UNRESTRICTED: Self = Self([0; 4]);
}

/// Of both directions of an endpoint.
pub(super) fn endpoint(directions: [Digest; 2]) -> Digest {
    if directions == [Digest::UNRESTRICTED; 2] {
        return Digest::UNRESTRICTED;
    }
    let mut writer = Writer::default();
    for digest in directions {
        writer.digest(digest);
    }
    writer.finish()
}

/// Of which address is whose.
pub(super) fn addresses(owners: &BTreeSet<(IpAddr, u16)>) -> Digest {
    let mut writer = Writer::default();
    for (address, endpoint) in owners {
        writer.number(Family::of(*address) as u128);
        writer.number(number(*address));
        writer.number(*endpoint as u128);
    }
    writer.finish()
}

/// Of addresses.
pub(super) fn ranges(ranges: &SetRanges) -> Digest {
    let mut writer = Writer::default();
    for family in Family::ALL {
        let ranges = ranges.family(family).as_slice();
        writer.number(ranges.len() as u128);
        for (first, last) in ranges {
            writer.number(*first);
            writer.number(*last);
        }
    }
    writer.finish()
}

/// Writes numbers of one width, each list after its length, so that no two contents look alike.
#[derive(Default)]
pub(super) struct Writer(Sha256);

impl Writer {
    pub(super) fn number(&mut self, number: u128) {
        self.0.update(number.to_le_bytes());
    }

    pub(super) fn digest(&mut self, digest: Digest) {
        digest.0.into_iter().for_each(|word| self.number(word as u128));
    }

    pub(super) fn finish(self) -> Digest {
        let bytes: [u8; 32] = self.0.finalize().into();
        let (words, _) = bytes.as_chunks();
        Digest(std::array::from_fn(|index| u64::from_le_bytes(words[index])))
    }
}
