//! Content encodings of bodies, and entity tags.

use std::io::Write;

use axum::http::HeaderValue;
use samovar_levels::Encoding;

/// The best encoding that an `Accept-Encoding` header allows: zstd, else gzip, else none.
pub(crate) fn choose(accepted: Option<&HeaderValue>) -> Encoding {
    let Some(accepted) = accepted.and_then(|value| value.to_str().ok()) else {
        return Encoding::Identity;
    };
    let allows = |name: &str| {
        accepted.split(',').any(|item| {
            let mut pieces = item.split(';').map(str::trim);
            let named = pieces.next().is_some_and(|found| found.eq_ignore_ascii_case(name));
            let refused = pieces.any(|piece| {
                piece.strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok()) == Some(0.0)
            });
            named && !refused
        })
    };
    if allows("zstd") {
        Encoding::Zstd
    } else if allows("gzip") {
        Encoding::Gzip
    } else {
        Encoding::Identity
    }
}

/// The name used in `Content-Encoding`.
pub(crate) fn name(encoding: Encoding) -> Option<&'static str> {
    match encoding {
        Encoding::Identity => None,
        Encoding::Gzip => Some("gzip"),
        Encoding::Zstd => Some("zstd"),
    }
}

/// Encodes a body. Writing to memory cannot fail; if it did, an empty body would show it at once.
pub(crate) fn encode(encoding: Encoding, bytes: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Identity => bytes.to_vec(),
        Encoding::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
            encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default()
        }
        Encoding::Zstd => zstd::bulk::compress(bytes, 3).unwrap_or_default(),
    }
}

/// A strong entity tag, from the bytes as they are sent.
pub(crate) fn etag(bytes: &[u8]) -> String {
    format!("\"{:032x}\"", xxhash_rust::xxh3::xxh3_128(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_that_is_accepted() {
        let chosen = |text: &str| choose(Some(&HeaderValue::from_str(text).unwrap()));
        assert_eq!(chosen("gzip, deflate, br, zstd"), Encoding::Zstd);
        assert_eq!(chosen("zstd;q=0, GZIP;q=0.5"), Encoding::Gzip);
        assert_eq!(chosen("br"), Encoding::Identity);
        assert_eq!(choose(None), Encoding::Identity);
    }

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        let body = b"{\"sales\":1}".repeat(100);
        let mut plain = Vec::new();
        let gzip = encode(Encoding::Gzip, &body);
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&gzip[..]), &mut plain)
            .unwrap();
        assert_eq!(plain, body);
        assert_eq!(zstd::stream::decode_all(&encode(Encoding::Zstd, &body)[..]).unwrap(), body);
        assert_ne!(etag(&gzip), etag(&body));
    }
}
