//! Signed notes (c2sp.org/signed-note) with Ed25519 keys (RFC 8032).

use crate::hash::{decode_base64, encode_base64, encode_hex};
use crate::header::is_origin;
use crate::limits::{NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX};
use ed25519_dalek::Signer as _;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Signature type byte of plain Ed25519 note signatures.
const ED25519: u8 = 1;

/// A note or a verifier key that cannot be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// The bytes are not a signed note.
    #[error("not a signed note (c2sp.org/signed-note)")]
    Malformed,
    /// No signature line bears the key's name and id.
    #[error("the note is not signed by the given key")]
    NotSigned,
    /// The signature line of the key does not verify: the text was changed.
    #[error("the signature does not match the text: the note was changed")]
    BadSignature,
    /// The text is not `name+id+key`.
    #[error("not a verifier key (expected name+id+key as c2sp.org/signed-note writes it)")]
    BadVerifierKey,
    /// A name that breaks the rules of origins.
    #[error("not a key name (use 1 to 255 visible ASCII characters other than '+')")]
    BadName,
}

/// The public half of a log's key. Displays as `name+id+key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: Arc<str>,
    id: [u8; 4],
    key: ed25519_dalek::VerifyingKey,
}

impl VerifierKey {
    fn new(name: Arc<str>, key: ed25519_dalek::VerifyingKey) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(name.as_bytes());
        hasher.update([b'\n', ED25519]);
        hasher.update(key.as_bytes());
        let digest: [u8; 32] = hasher.finalize().into();
        VerifierKey { name, id: [digest[0], digest[1], digest[2], digest[3]], key }
    }

    /// The key's name, which is the origin of its log.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The text of `note`, which this key must have signed; other keys' signatures are ignored.
    pub fn open<'a>(&self, note: &'a [u8]) -> Result<&'a str, NoteError> {
        let (text, signatures) = split_note(note)?;
        let mut signed = false;
        for line in signatures.lines() {
            let (name, signature) = parse_signature(line).ok_or(NoteError::Malformed)?;
            if name != &*self.name || signature[..4] != self.id {
                continue;
            }
            let bytes: [u8; 64] = signature[4..].try_into().map_err(|_| NoteError::BadSignature)?;
            let signature = ed25519_dalek::Signature::from_bytes(&bytes);
            let verified = self.key.verify_strict(text.as_bytes(), &signature);
            verified.map_err(|_| NoteError::BadSignature)?;
            signed = true;
        }
        if signed { Ok(text) } else { Err(NoteError::NotSigned) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519];
        key.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, encode_hex(&self.id), encode_base64(&key))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let read = || {
            // Base64 may hold '+' too, so only the first two separate.
            let mut parts = text.splitn(3, '+');
            let name = parts.next().filter(|name| is_origin(name))?;
            let _id = parts.next()?;
            let key: [u8; 33] = decode_base64(parts.next()?)?.try_into().ok()?;
            let (algorithm, key) = key.split_first()?;
            let key: &[u8; 32] = key.try_into().ok()?;
            let key = ed25519_dalek::VerifyingKey::from_bytes(key).ok()?;
            (*algorithm == ED25519).then(|| VerifierKey::new(name.into(), key))
        };
        let key = read().ok_or(NoteError::BadVerifierKey)?;
        // Writing it again also checks the id.
        if key.to_string() == text { Ok(key) } else { Err(NoteError::BadVerifierKey) }
    }
}

/// A log's signing key. Never displayed; see [`crate::SigningKey::load_or_create`] for its file.
#[derive(Clone)]
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    verifier: VerifierKey,
}

impl SigningKey {
    /// The key of this Ed25519 seed (RFC 8032 calls it the private key).
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<SigningKey, NoteError> {
        if !is_origin(name) {
            return Err(NoteError::BadName);
        }
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(name.into(), key.verifying_key());
        Ok(SigningKey { key, verifier })
    }

    /// The key's name, which is the origin of its log.
    pub fn name(&self) -> &Arc<str> {
        self.verifier.name()
    }

    /// The public half.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    pub(crate) fn seed(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// The signed note over `text`, which ends in LF and holds no other control character.
    pub(crate) fn sign(&self, text: &str) -> String {
        let mut signature = self.verifier.id.to_vec();
        signature.extend_from_slice(&self.key.sign(text.as_bytes()).to_bytes());
        format!("{text}\n\u{2014} {} {}\n", self.verifier.name, encode_base64(&signature))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifier)
    }
}

/// Text (with its last LF) and signature lines of a note.
pub(crate) fn split_note(note: &[u8]) -> Result<(&str, &str), NoteError> {
    if note.len() > NOTE_BYTES_MAX {
        return Err(NoteError::Malformed);
    }
    let note = std::str::from_utf8(note).map_err(|_| NoteError::Malformed)?;
    if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(NoteError::Malformed);
    }
    let gap = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
    let (text, signatures) = (&note[..=gap], &note[gap + 2..]);
    let lines = signatures.lines().count();
    if !signatures.ends_with('\n') || lines > NOTE_SIGNATURES_MAX {
        return Err(NoteError::Malformed);
    }
    Ok((text, signatures))
}

fn parse_signature(line: &str) -> Option<(&str, Vec<u8>)> {
    let (name, signature) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let named = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+');
    let signature = decode_base64(signature).filter(|bytes| bytes.len() > 4)?;
    named.then_some((name, signature))
}
