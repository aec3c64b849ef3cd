//! Copies of bytes that could not be read, kept for whoever wants to look: `.quarantine`, `.torn`.

use crate::disk::Disk;
use crate::frame::{u32_at, u64_at};
use std::io;

const MAGIC: &[u8; 8] = b"YAGURAQ1";
const HEAD_BYTES: usize = 24;

/// Writes `pieces` (offset, bytes) as the file `name`, replacing one that says less.
///
/// Order: temporary file, `fsync`, rename, `fsync` of the directory. A crash before the rename
/// leaves a `.tmp` that the next start removes; after it, the complete file.
pub(crate) fn keep(disk: &dyn Disk, name: &str, pieces: &[(u64, Vec<u8>)]) -> io::Result<()> {
    let content = encode(pieces);
    let limit = content.len() as u64 + 1;
    if disk.read(name, limit).is_ok_and(|existing| existing == content) {
        return Ok(());
    }
    let temporary = format!("{name}.tmp");
    // A leftover of an earlier crash may be in the way; if not, there is nothing to remove.
    let _ = disk.remove(&temporary);
    let mut file = disk.create(&temporary)?;
    file.append(&content)?;
    file.sync()?;
    disk.rename(&temporary, name)?;
    disk.sync_dir()
}

fn encode(pieces: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut content = Vec::new();
    for (offset, bytes) in pieces {
        let start = content.len();
        content.extend_from_slice(MAGIC);
        content.extend_from_slice(&offset.to_le_bytes());
        // Proof: pieces are parts of a segment, at most `SEGMENT_BYTES_MAX` (1 GiB).
        content.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&content[start..]), bytes);
        content.extend_from_slice(&crc.to_le_bytes());
        content.extend_from_slice(bytes);
    }
    content
}

/// The offset of the first entry that is not as it was written.
pub(crate) fn check(content: &[u8]) -> Result<(), usize> {
    let mut at = 0;
    while at < content.len() {
        at = next_entry(content, at).ok_or(at)?;
    }
    Ok(())
}

fn next_entry(content: &[u8], at: usize) -> Option<usize> {
    let rest = content.get(at..)?;
    let length = usize::try_from(u32_at(rest, 16)?).ok()?;
    u64_at(rest, 8)?;
    let body = rest.get(HEAD_BYTES..)?.get(..length)?;
    let crc = crc32c::crc32c_append(crc32c::crc32c(rest.get(..20)?), body);
    let sound = rest.starts_with(MAGIC) && crc == u32_at(rest, 20)?;
    sound.then_some(at + HEAD_BYTES + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_byte_of_a_quarantine_is_found() {
        let content = encode(&[(64, b"damaged".to_vec()), (900, vec![0; 40])]);
        assert_eq!(check(&content), Ok(()));
        for at in 0..content.len() {
            let mut changed = content.clone();
            changed[at] ^= 0x10;
            assert!(check(&changed).is_err(), "byte {at}");
        }
        assert_eq!(check(&content[..content.len() - 1]), Err(31));
    }
}
