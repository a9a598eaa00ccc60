//! Sixteen-bit fields in words, in memory order whatever the host's byte order.

/// Four fields as they lie in memory one after the other.
#[inline(always)]
pub const fn pack([a, b, c, d]: [u16; 4]) -> u64 {
    if cfg!(target_endian = "little") {
        a as u64 | (b as u64) << 16 | (c as u64) << 32 | (d as u64) << 48
    } else {
        (a as u64) << 48 | (b as u64) << 32 | (c as u64) << 16 | d as u64
    }
}

/// The four fields of a word, in memory order.
#[inline(always)]
pub const fn unpack(word: u64) -> [u16; 4] {
    let fields = [word as u16, (word >> 16) as u16, (word >> 32) as u16, (word >> 48) as u16];
    let [a, b, c, d] = fields;
    if cfg!(target_endian = "little") { fields } else { [d, c, b, a] }
}
