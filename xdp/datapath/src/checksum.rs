//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
//!
//! Sums are over 16-bit words as they lie in memory, which gives the right bytes on any host
//! (RFC 1071, 2B).

/// The sum of the two halves of a word.
#[inline(always)]
pub const fn halves(word: u32) -> u32 {
    (word & 0xffff) + (word >> 16)
}

/// The sum of the four quarters of a word.
#[inline(always)]
pub const fn quarters(word: u64) -> u32 {
    halves(word as u32) + halves((word >> 32) as u32)
}

/// One sixteen-bit word of a sum, by its bytes.
#[inline(always)]
pub const fn bytes(first: u8, second: u8) -> u32 {
    u16::from_ne_bytes([first, second]) as u32
}

/// Folds a sum of up to 2¹⁶ words to 16 bits.
#[inline(always)]
pub const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// What to add to a one's complement sum when words that sum to `old` become words that sum to
/// `new`.
#[inline(always)]
pub const fn delta(old: u32, new: u32) -> u16 {
    fold(new + !fold(old) as u32)
}

/// The checksum field after `delta` was added to the sum of what it covers.
#[inline(always)]
pub const fn update(field: u16, delta: u16) -> u16 {
    !fold(!field as u32 + delta as u32)
}

/// The checksum field for words that sum to `sum`.
#[inline(always)]
pub const fn finish(sum: u32) -> u16 {
    !fold(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_updated_field_equals_one_computed_afresh() {
        // Words chosen around the carries: all zeros, all ones, and values that wrap.
        let words = [0, 0xffff, 1, 0x100, 0x80, 0x3412_u16];
        for old in words {
            for new in words {
                for rest in words {
                    let before = finish(old as u32 + rest as u32);
                    let after = finish(new as u32 + rest as u32);
                    let updated = update(before, delta(old as u32, new as u32));
                    // RFC 1624: zero has two forms in one's complement.
                    let same = updated % 0xffff == after % 0xffff;
                    assert!(same, "{old:x} to {new:x} with {rest:x}: {updated:x}, not {after:x}");
                }
            }
        }
    }

    #[test]
    fn the_example_of_rfc_1071_sums_to_ddf2() {
        let word = u64::from_ne_bytes([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(fold(quarters(word)).to_ne_bytes(), [0xdd, 0xf2]);
    }
}
