//! Keyed hash of a tuple, inline: no helper call, a handful of multiplications.

use super::bucket::Key;
use crate::Address;

/// Odd constants with well-mixed bits (the fractional parts of the golden ratio and of √3).
const M1: u64 = 0x9e37_79b9_7f4a_7c15;
const M2: u64 = 0xbb67_ae85_84ca_a73b;

/// Hashes a tuple's words under a key. Not a cryptographic function: the key keeps an outsider
/// from choosing tuples that share a bucket.
#[inline(always)]
pub fn hash<A: Address>(key: &Key, secret: [u64; 2]) -> u64 {
    let [k0, k1] = secret;
    let [a, b, c, d] = key.pair;
    let mut state = k0 ^ key.ports;
    state = mix(state, a ^ k1);
    if A::PAIR > 1 {
        state = mix(state, b ^ k0);
        state = mix(state, c ^ k1);
        state = mix(state, d ^ k0);
    }
    state = (state ^ (state >> 32)).wrapping_mul(M2);
    state ^ (state >> 29)
}

#[inline(always)]
const fn mix(state: u64, word: u64) -> u64 {
    let product = (state ^ word).wrapping_mul(M1);
    (product ^ (product >> 31)).wrapping_add(word.rotate_left(17))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_flows_fill_buckets_evenly() {
        let mut counts = [0_u32; 1024];
        for port in 0..16_384_u64 {
            let key = Key { pair: [0x0a00_0001_0a00_0002, 0, 0, 0], ports: port << 16 | 0x50 };
            counts[hash::<crate::V4>(&key, [1, 2]) as usize & 1023] += 1;
        }
        // Sixteen expected in each; a Poisson bucket passes 40 about once in ten million.
        assert!(
            counts.iter().all(|count| *count < 40),
            "fullest bucket: {:?}",
            counts.iter().max()
        );
    }

    #[test]
    fn every_word_and_the_secret_matter() {
        let base = Key { pair: [1, 2, 3, 4], ports: 5 };
        let value = hash::<crate::V6>(&base, [6, 7]);
        for word in 0..4 {
            let mut other = base;
            other.pair[word] ^= 1 << 63;
            assert_ne!(hash::<crate::V6>(&other, [6, 7]), value, "word {word}");
        }
        assert_ne!(hash::<crate::V6>(&Key { ports: 4, ..base }, [6, 7]), value);
        assert_ne!(hash::<crate::V6>(&base, [7, 6]), value);
    }
}
