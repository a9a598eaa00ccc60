//! The CRC-32C of SCTP (RFC 9260, appendix A) after a change, without a look at what it covers.
//!
//! A CRC is linear: that of two messages of one length differs by the CRC of their difference,
//! begun at zero. A difference of four bytes at the start is a polynomial times a power of x that
//! the length alone decides, modulo the CRC's own. So the payload need not be there.
//!
//! Polynomials are reflected: the highest bit is x⁰.

/// The CRC of a message of `length ≥ 4` bytes that had `crc`, once `change` was added to its first
/// four bytes. Both words are as bytes that lie in memory in little-endian order.
#[inline(never)]
pub fn update(crc: u32, change: u32, length: u32) -> u32 {
    crc ^ multiply(change, power(length))
}

/// x to the 8·`bytes`, of which the lower 16 bits count: no packet is longer. By two of them at a
/// time, the highest first.
#[inline(always)]
fn power(bytes: u32) -> u32 {
    let mut power = ONE;
    for pair in (0..8).rev() {
        let digit = bytes >> (pair * 2) & 3;
        power = multiply(power, power);
        power = multiply(power, power);
        power = multiply(power, ONE >> (digit * 8));
    }
    power
}

/// The product modulo the CRC's polynomial, by Barrett reduction (Intel, "Fast CRC Computation for
/// Generic Polynomials Using PCLMULQDQ").
///
/// Without branches, and without masks of a bit: the kernel's verifier follows both values of each.
#[inline(never)]
fn multiply(one: u32, other: u32) -> u32 {
    let product = carryless(one, other) << 1;
    let quotient = carryless(product as u32, QUOTIENT) as u32;
    // The polynomial has 33 bits.
    let multiple = carryless(quotient, POLYNOMIAL) ^ (quotient as u64) << 32;
    ((product ^ multiple) >> 32) as u32
}

/// The product without carries, by integer multiplications of every fourth bit: sums of up to eight
/// ones stay within their four bits (`ghash_ctmul` of Bear SSL).
#[inline(always)]
fn carryless(one: u32, other: u32) -> u64 {
    let every = |word: u32, first: u32| (word & 0x1111_1111 << first) as u64;
    let mut product = 0;
    for first in 0..4 {
        let sum = (0..4).fold(0, |sum, of_one| {
            sum ^ every(one, of_one).wrapping_mul(every(other, (first + 4 - of_one) % 4))
        });
        product |= sum & 0x1111_1111_1111_1111 << first;
    }
    product
}

const ONE: u32 = 1 << 31;
/// The lower 32 bits of x³² + …, and the quotient of x⁶⁴ by it.
const POLYNOMIAL: u32 = 0x05ec_76f1;
const QUOTIENT: u32 = 0xdea7_13f1;

#[cfg(test)]
mod tests {
    use crc::{CRC_32_ISCSI, Crc};

    use super::*;

    #[test]
    fn an_updated_crc_is_one_computed_afresh() {
        let reference = Crc::<u32>::new(&CRC_32_ISCSI);
        let lengths = [4, 5, 12, 13, 16, 255, 256, 257, 1480, 9000, 65_515];
        for length in lengths {
            let old: Vec<u8> = (0..length).map(|n: u32| (n * 31 + length) as u8).collect();
            for change in [0, 1, 0x8000_0000, 0xffff_ffff, 0x1234_abcd, 0x0001_0000] {
                let mut new = old.clone();
                for (byte, change) in new.iter_mut().zip(u32::to_le_bytes(change)) {
                    *byte ^= change;
                }
                let updated = update(reference.checksum(&old), change, length);
                assert_eq!(updated, reference.checksum(&new), "{length} bytes, {change:#x}");
            }
        }
    }
}
