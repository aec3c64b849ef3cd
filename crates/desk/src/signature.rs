use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Header that carries the signature of a delivery: `t=<unix seconds>,v1=<hex>`.
pub const SIGNATURE_HEADER: &str = "Yagura-Signature";

/// The value of [`SIGNATURE_HEADER`] for `body` sent at `unix_seconds`: HMAC-SHA256 with `secret` over
/// the decimal seconds, a full stop and the body, in lower-case hexadecimal. The time is under the
/// signature so that a receiver can refuse old deliveries sent again.
pub fn sign(secret: &[u8], unix_seconds: i64, body: &[u8]) -> String {
    let tag = mac(secret, unix_seconds, body).finalize().into_bytes();
    let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={unix_seconds},v1={hex}")
}

/// What a receiver does: whether `header` is a signature of `body` made at most `tolerance_seconds`
/// before or after `now_unix_seconds`. Takes the same time wherever a wrong signature differs.
pub fn verify(
    secret: &[u8],
    header: &str,
    body: &[u8],
    now_unix_seconds: i64,
    tolerance_seconds: u64,
) -> bool {
    let mut parts = header.split(',');
    let (Some(time), Some(tag), None) = (
        parts.next().and_then(|part| part.strip_prefix("t=")),
        parts.next().and_then(|part| part.strip_prefix("v1=")),
        parts.next(),
    ) else {
        return false;
    };
    let (Ok(time), Some(tag)) = (time.parse::<i64>(), unhex(tag)) else { return false };
    time.abs_diff(now_unix_seconds) <= tolerance_seconds
        && mac(secret, time, body).verify_slice(&tag).is_ok()
}

fn mac(secret: &[u8], unix_seconds: i64, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret)
        .unwrap_or_else(|_| unreachable!("HMAC takes keys of every length"));
    mac.update(unix_seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_hmac_that_others_compute() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
        let header = sign(b"secret", 1_700_000_000, b"{}");
        assert_eq!(header, KNOWN);
    }

    const KNOWN: &str =
        "t=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163";

    #[test]
    fn a_change_of_body_time_or_key_is_noticed() {
        let header = sign(b"secret", 1_000, b"{}");
        assert!(verify(b"secret", &header, b"{}", 1_300, 300));
        assert!(!verify(b"secret", &header, b"{}", 1_301, 300));
        assert!(!verify(b"secret", &header, b"{ }", 1_000, 300));
        assert!(!verify(b"Secret", &header, b"{}", 1_000, 300));
        let later = header.replace("t=1000", "t=1001");
        assert!(!verify(b"secret", &later, b"{}", 1_000, 300));
        for bad in ["", "t=1000", "t=x,v1=00", "t=1000,v1=0", "t=1000,v1=zz", "t=1000,v1=\u{e9}"] {
            assert!(!verify(b"secret", bad, b"{}", 1_000, 300), "{bad}");
        }
    }
}
