//! Which partition a key belongs to: as Kafka's own clients have it, so that what others write under the
//! same key is beside it.

/// The place of the partition of `key` among `partitions`; 0 where there are none.
pub(super) fn of_key(key: &[u8], partitions: usize) -> usize {
    // Without the sign bit, as the Java client does it.
    let hash = murmur2(key) & 0x7fff_ffff;
    usize::try_from(hash).unwrap_or_default().checked_rem(partitions).unwrap_or_default()
}

/// MurmurHash2 (Austin Appleby), 32 bits, with the seed of Kafka (`Utils.murmur2`).
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    // The length modulo 2^32, as the original has it.
    let mut hash = SEED ^ (bytes.len() as u32);
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own test (`UtilsTest.testMurmur2`).
    #[test]
    fn keys_go_where_kafkas_own_client_puts_them() {
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
        assert_eq!(of_key(b"foobar", 10), ((-790_332_482_i32 & 0x7fff_ffff) % 10) as usize);
        assert_eq!(of_key(b"foobar", 0), 0);
    }
}
