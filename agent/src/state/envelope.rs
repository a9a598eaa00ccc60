//! What surrounds the payload: enough to tell a whole snapshot from anything else.
//!
//! | bytes | content |
//! |---|---|
//! | 0–7 | `ZGSTATE\n` |
//! | 8–11 | format version, little-endian |
//! | 12–19 | length of the payload in bytes, little-endian |
//! | 20–51 | SHA-256 of bytes 0–19 and the payload |
//! | 52– | payload |

use sha2::{Digest, Sha256};

/// Why bytes are not a whole snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("it does not begin like one")]
    Magic,
    #[error("it is {actual} bytes long where its header says {expected}")]
    Length { expected: u64, actual: u64 },
    #[error("its checksum does not match its content")]
    Checksum,
    /// Checked last: whole, but of a format this agent does not read.
    #[error("its format is version {0}, and this agent reads version {VERSION}")]
    Version(u32),
}

/// What goes in front of `payload`.
pub(super) fn header(payload: &[u8]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..DIGEST].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    let digest = digest(&header[..DIGEST], payload);
    header[DIGEST..].copy_from_slice(&digest);
    header
}

/// The first of several envelopes with its payload, and the rest; `None` where the first is not
/// all there.
pub(super) fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = bytes.get(DIGEST - 8..DIGEST)?;
    let length = usize::try_from(u64::from_le_bytes(array(length))).ok()?;
    bytes.split_at_checked(HEADER.checked_add(length)?)
}

/// The payload of a whole snapshot.
pub(super) fn open(bytes: &[u8]) -> Result<&[u8], EnvelopeError> {
    let (header, payload) = bytes.split_at_checked(HEADER).ok_or(EnvelopeError::Magic)?;
    let (fields, expected_digest) = header.split_at(DIGEST);
    let (magic, numbers) = fields.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(EnvelopeError::Magic);
    }
    let (version, length) = numbers.split_at(4);
    let expected = u64::from_le_bytes(array(length));
    let actual = payload.len() as u64;
    if expected != actual {
        return Err(EnvelopeError::Length { expected, actual });
    }
    if digest(fields, payload) != expected_digest {
        return Err(EnvelopeError::Checksum);
    }
    match u32::from_le_bytes(array(version)) {
        VERSION => Ok(payload),
        other => Err(EnvelopeError::Version(other)),
    }
}

fn digest(fields: &[u8], payload: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(fields).chain_update(payload).finalize().into()
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|index| bytes[index])
}

const MAGIC: &[u8; 8] = b"ZGSTATE\n";
const VERSION: u32 = 1;
/// Where the digest begins, and where the payload does.
const DIGEST: usize = 20;
const HEADER: usize = DIGEST + 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(payload: &[u8]) -> Vec<u8> {
        [&header(payload)[..], payload].concat()
    }

    #[test]
    fn a_whole_snapshot_gives_back_its_payload() {
        for payload in [&b""[..], b"x", &[0; 4096]] {
            assert_eq!(open(&sealed(payload)), Ok(payload));
        }
    }

    #[test]
    fn a_snapshot_cut_at_any_length_is_bad() {
        let whole = sealed(b"services and policies");
        for length in 0..whole.len() {
            assert!(open(&whole[..length]).is_err(), "cut to {length} bytes");
        }
    }

    #[test]
    fn a_snapshot_with_bytes_behind_it_is_bad() {
        let mut longer = sealed(b"services and policies");
        longer.push(0);
        assert!(matches!(open(&longer), Err(EnvelopeError::Length { expected: 21, actual: 22 })));
    }

    #[test]
    fn a_snapshot_with_any_bit_flipped_is_bad() {
        let whole = sealed(b"services and policies");
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn another_version_is_named_when_the_snapshot_is_whole() {
        let mut other = sealed(b"payload");
        other[8] = 2;
        let digest = digest(&other[..DIGEST], b"payload");
        other[DIGEST..HEADER].copy_from_slice(&digest);
        assert_eq!(open(&other), Err(EnvelopeError::Version(2)));
    }
}
