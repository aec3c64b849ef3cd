use super::BodyError;
use crate::limits::{
    BODY_BYTES_MAX, BODY_EXPANDED_BYTES_MAX, BODY_KEPT_UNCOUNTED_BYTES, BODY_RATIO_FREE_BYTES,
    BODY_RATIO_MAX, ZSTD_WINDOW_LOG_MAX,
};
use bytes::Bytes;
use std::io::{self, Read};

/// Undoes the `Content-Encoding` of a body. Refuses, without expanding further, what grows past
/// [`BODY_EXPANDED_BYTES_MAX`] or past [`BODY_RATIO_MAX`] times its size.
pub fn decode_body(content_encoding: Option<&str>, body: Bytes) -> Result<Bytes, BodyError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(BodyError::TooLarge { what: "has", limit_bytes: BODY_BYTES_MAX });
    }
    let encoding = content_encoding.unwrap_or_default().trim().to_ascii_lowercase();
    let limit = (body.len() * BODY_RATIO_MAX).clamp(BODY_RATIO_FREE_BYTES, BODY_EXPANDED_BYTES_MAX);
    match encoding.as_str() {
        "" | "identity" => Ok(body),
        "gzip" | "x-gzip" => {
            expand("gzip", limit, || Ok(flate2::read::MultiGzDecoder::new(&body[..])))
        }
        // RFC 9110 section 8.4.1.2: "deflate" is the zlib format, though some send it bare.
        "deflate" if is_zlib(&body) => {
            expand("deflate", limit, || Ok(flate2::read::ZlibDecoder::new(&body[..])))
        }
        "deflate" => expand("deflate", limit, || Ok(flate2::read::DeflateDecoder::new(&body[..]))),
        "zstd" => expand("zstd", limit, || {
            let mut decoder = zstd::Decoder::with_buffer(&body[..])?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Ok(decoder)
        }),
        _ => Err(BodyError::Encoding(content_encoding.unwrap_or_default().to_owned())),
    }
}

/// Past [`BODY_KEPT_UNCOUNTED_BYTES`] the body is first expanded to nowhere and counted, so that a
/// bomb costs time and no memory.
fn expand<D: Read>(
    encoding: &'static str,
    limit_bytes: usize,
    open: impl Fn() -> io::Result<D>,
) -> Result<Bytes, BodyError> {
    let too_large = BodyError::TooLarge { what: "expands to", limit_bytes };
    let past_limit = limit_bytes as u64 + 1;
    let read = |expanded: &mut Vec<u8>| -> io::Result<bool> {
        let mut decoder = open()?;
        let kept = past_limit.min(BODY_KEPT_UNCOUNTED_BYTES);
        if decoder.by_ref().take(kept).read_to_end(expanded)? as u64 == kept {
            let total = io::copy(&mut open()?.take(past_limit), &mut io::sink())?;
            if total == past_limit {
                return Ok(false);
            }
            expanded.reserve_exact((total - kept) as usize);
            decoder.take(total - kept).read_to_end(expanded)?;
        }
        Ok(true)
    };
    let mut expanded = Vec::new();
    match read(&mut expanded) {
        Ok(true) => Ok(expanded.into()),
        Ok(false) => Err(too_large),
        Err(error) => Err(damaged(encoding)(error)),
    }
}

fn damaged(encoding: &'static str) -> impl Fn(io::Error) -> BodyError {
    move |error| BodyError::Damaged { encoding, reason: error.to_string() }
}

/// RFC 1950 section 2.2: method 8, and the first two bytes divide by 31.
fn is_zlib(body: &[u8]) -> bool {
    let [first, second, ..] = body else { return false };
    first & 0x0f == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(data: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn every_encoding_comes_back() {
        let text = b"{\"a\":1}\n".repeat(3);
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&text).unwrap();
        let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        bare.write_all(&text).unwrap();
        let bodies: [(Option<&str>, Bytes); 7] = [
            (None, text.clone().into()),
            (Some("identity"), text.clone().into()),
            (Some("gzip"), gzip(&text)),
            (Some(" X-GZIP "), [gzip(&text[..8]), gzip(&text[8..])].concat().into()),
            (Some("deflate"), zlib.finish().unwrap().into()),
            (Some("deflate"), bare.finish().unwrap().into()),
            (Some("zstd"), zstd::encode_all(&text[..], 1).unwrap().into()),
        ];
        for (encoding, body) in bodies {
            assert_eq!(decode_body(encoding, body).unwrap(), text, "{encoding:?}");
        }
    }

    #[test]
    fn bombs_and_damage_are_refused() {
        let bomb = vec![0; BODY_RATIO_FREE_BYTES + 1];
        for (encoding, body) in
            [("gzip", gzip(&bomb)), ("zstd", zstd::encode_all(&bomb[..], 3).unwrap().into())]
        {
            assert!(body.len() * BODY_RATIO_MAX < bomb.len());
            let error = decode_body(Some(encoding), body).unwrap_err();
            assert_eq!(error.status(), 413, "{error}");
            let full = decode_body(Some(encoding), gzip_or_zstd(encoding, &bomb[1..]));
            assert_eq!(full.unwrap().len(), BODY_RATIO_FREE_BYTES);
        }
        let whole = gzip(b"{\"a\":1}");
        assert_eq!(decode_body(Some("gzip"), whole.slice(..9)).unwrap_err().status(), 400);
        assert_eq!(decode_body(Some("zstd"), whole.clone()).unwrap_err().status(), 400);
        assert_eq!(decode_body(Some("gzip, gzip"), whole).unwrap_err().status(), 415);
        assert!(decode_body(None, vec![b' '; BODY_BYTES_MAX].into()).is_ok());
        let error = decode_body(None, vec![b' '; BODY_BYTES_MAX + 1].into()).unwrap_err();
        assert_eq!(error.status(), 413);
    }

    #[test]
    fn bodies_around_the_uncounted_part_come_back_whole() {
        let edge = BODY_KEPT_UNCOUNTED_BYTES as usize;
        // Noise enough that the ratio stays below the limit.
        let noise = |at: usize| (at.wrapping_mul(2_654_435_761) >> 13) as u8;
        for size in [edge - 1, edge, edge + 1, edge + 100_000] {
            let text: Vec<u8> = (0..size).map(noise).collect();
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&text).unwrap();
            let body = encoder.finish().unwrap();
            assert!(decode_body(Some("gzip"), body.into()).unwrap() == text, "{size}");
        }
    }

    fn gzip_or_zstd(encoding: &str, data: &[u8]) -> Bytes {
        if encoding == "gzip" { gzip(data) } else { zstd::encode_all(data, 3).unwrap().into() }
    }
}
