//! Content encodings of bodies, and entity tags.

use std::io::Write;

use axum::http::{HeaderMap, HeaderValue, header};
use samovar_levels::{Encoding, Format};

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

/// The format that an `Accept` header likes best (RFC 9110, 12.5.1): of several the first of [`Format::ALL`], and that
/// too where there is no such header. `None` if it allows none of them.
pub(crate) fn format(headers: &HeaderMap) -> Option<Format> {
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let ranges: Vec<(String, f32)> =
        lines.flat_map(|line| line.split(',')).filter_map(range).collect();
    if ranges.is_empty() {
        return Some(Format::Json);
    }
    // Of the ranges that fit, the narrowest counts.
    let quality = |format: Format| {
        let name = format.media_type();
        let all_of = format!("{}/*", name.split('/').next().unwrap_or(name));
        let fits = [name, &all_of, "*/*"];
        let found = fits.iter().find_map(|fit| ranges.iter().find(|(range, _)| range == fit));
        found.map_or(0.0, |(_, quality)| *quality)
    };
    // The last of equals would win: so from the end.
    let formats = Format::ALL.into_iter().rev().map(|format| (format, quality(format)));
    let best = formats.max_by(|a, b| a.1.total_cmp(&b.1));
    best.filter(|(_, quality)| *quality > 0.0).map(|(format, _)| format)
}

/// A media range without its parameters, and its quality.
fn range(text: &str) -> Option<(String, f32)> {
    let mut pieces = text.split(';').map(str::trim);
    let name = pieces.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
    let quality = pieces.find_map(|piece| {
        let (name, value) = piece.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse().unwrap_or(0.0))
    });
    Some((name, quality.unwrap_or(1.0)))
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

/// A strong entity tag, from 128 bits over the bytes as they are sent.
pub(crate) fn etag(tag: u128) -> String {
    format!("\"{tag:032x}\"")
}

#[cfg(test)]
mod tests {
    use samovar_levels::Encoded;

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
    fn the_format_that_is_liked_best() {
        let liked = |lines: &[&'static str]| {
            let lines = lines.iter().map(|line| (header::ACCEPT, HeaderValue::from_static(line)));
            format(&lines.collect())
        };
        let (json, csv, arrow) = (Some(Format::Json), Some(Format::Csv), Some(Format::Arrow));
        assert_eq!(liked(&[]), json);
        assert_eq!(liked(&["*/*"]), json);
        assert_eq!(liked(&["text/csv"]), csv);
        assert_eq!(liked(&["Text/CSV; charset=utf-8, application/json;q=0.9"]), csv);
        assert_eq!(liked(&["text/html, application/xhtml+xml, */*;q=0.8"]), json);
        assert_eq!(liked(&["text/*, application/json;q=0.5"]), csv);
        assert_eq!(liked(&["application/*"]), json);
        assert_eq!(liked(&["application/*;q=0.5, application/json;q=0.1"]), arrow);
        assert_eq!(liked(&["text/csv;q=0.2", "application/vnd.apache.arrow.stream; q=0.3"]), arrow);
        assert_eq!(liked(&["*/*, application/json;q=0, text/csv;q=0"]), arrow);
        for none in
            ["text/html", "application/json;q=0", "text/csv;q=much", "application/xml, image/*"]
        {
            assert_eq!(liked(&[none]), None, "{none}");
        }
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
        assert_ne!(Encoded::new(gzip).tag, Encoded::new(body).tag);
    }
}
