use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// A SHA-256 hash. Displays as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

/// A text that is not a hash in its only spelling.
#[derive(Debug, thiserror::Error)]
#[error("not a SHA-256 hash: {0:?}")]
pub struct HashError(String);

impl Hash {
    /// SHA-256 of plain bytes, without a prefix.
    pub fn of(bytes: &[u8]) -> Hash {
        Hash(Sha256::digest(bytes).into())
    }

    /// The root of a tree without leaves: SHA-256 of nothing (RFC 6962 section 2.1).
    pub fn empty_root() -> Hash {
        Hash::of(&[])
    }

    /// Hash of a leaf: SHA-256 of a zero byte and the leaf (RFC 6962 section 2.1).
    pub fn leaf(bytes: &[u8]) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update([0]);
        hasher.update(bytes);
        Hash(hasher.finalize().into())
    }

    /// Hash of an inner node: SHA-256 of a one byte and both children (RFC 6962 section 2.1).
    pub fn node(left: Hash, right: Hash) -> Hash {
        let mut bytes = [1; 65];
        bytes[1..33].copy_from_slice(&left.0);
        bytes[33..].copy_from_slice(&right.0);
        Hash(Sha256::digest(bytes).into())
    }

    /// Standard base64 with padding, 44 characters.
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads what [`Hash::to_base64`] writes, and nothing else.
    pub fn from_base64(text: &str) -> Result<Hash, HashError> {
        let bytes = decode_base64(text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Hash).ok_or_else(|| wrong(text))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode_hex(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Hash, HashError> {
        decode_hex(text).map(Hash).ok_or_else(|| wrong(text))
    }
}

fn wrong(text: &str) -> HashError {
    HashError(text.chars().take(80).collect())
}

/// Decodes standard base64 with padding; spare bits must be zero, so one spelling only.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn encode_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    text
}

pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// Decodes exactly `2 * N` lower-case hexadecimal digits.
pub(crate) fn decode_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_round_trip_and_no_other_is_read() {
        let hash = Hash::leaf(b"");
        let hex = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(hash.to_string(), hex);
        assert_eq!(hex.parse::<Hash>().unwrap(), hash);
        assert!(hex.to_uppercase().parse::<Hash>().is_err());
        assert!(hex[1..].parse::<Hash>().is_err());
        let base64 = hash.to_base64();
        assert_eq!(Hash::from_base64(&base64).unwrap(), hash);
        // The last character before the padding has two spare bits; setting one is refused.
        let malleable = base64.replace("0=", "1=");
        assert_ne!(malleable, base64);
        assert!(Hash::from_base64(&malleable).is_err());
        assert!(Hash::from_base64(&base64[..43]).is_err());
    }
}
