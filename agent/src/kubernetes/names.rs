//! Names of resources: readable, distinct, and short enough for the store.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The text if it fits; else its beginning and a hash of the whole.
pub(super) fn bounded(text: String) -> String {
    if text.len() <= NAME_BYTES {
        return text;
    }
    let mut name = text;
    let hash = Sha256::digest(name.as_bytes());
    let mut end = NAME_BYTES - HASH_BYTES * 2 - 1;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name.push('~');
    for byte in &hash[..HASH_BYTES] {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// Writes out whatever could be taken for the punctuation of a name.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/') {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02x}");
        }
    }
    escaped
}

/// The store's default limit `name_bytes`.
const NAME_BYTES: usize = 253;
const HASH_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_differ_and_fit() {
        let long = |end: &str| bounded(format!("{}{end}", "é".repeat(200)));
        assert_ne!(long("a"), long("b"));
        assert_eq!(long("a"), long("a"));
        assert!(long("a").len() <= NAME_BYTES);
        assert_eq!(bounded("a".repeat(253)), "a".repeat(253));
        assert_eq!(bounded("a".repeat(254)).len(), 253);
    }

    #[test]
    fn punctuation_is_written_out() {
        assert_eq!(escaped("app.kubernetes.io/name"), "app.kubernetes.io/name");
        assert_eq!(escaped("a},{=%"), "a%7d%2c%7b%3d%25");
    }
}
