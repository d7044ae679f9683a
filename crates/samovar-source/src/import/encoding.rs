//! The encoding of a file: found, and every row decoded or told to be undecodable, never patched up.
//!
//! In GB18030 no byte of a longer character is a line feed, a quote, a comma, a semicolon or a tab, so rows
//! and quotes are found in the bytes as they are and each row is decoded by itself. UTF-16 is made UTF-8
//! before anything else; half a surrogate pair becomes bytes that are not valid UTF-8, so its row is caught
//! like any other.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{BIG5, Decoder, DecoderResult, EUC_JP, EUC_KR, GB18030, GBK, SHIFT_JIS};

use super::column::UnknownWord;
use super::find::few;

/// How the text of a file is encoded.
///
/// ```
/// # use samovar_source::import::{Encoding, ImportOptions, preview_csv};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("sales.csv");
/// let text = b"\xff\xfes\0a\0l\0e\0\n\x007\0\n\0"; // with a byte-order mark
/// std::fs::write(&file, text)?;
/// let options = ImportOptions::new(&file, folder.path().join("shop.db"), "sales");
/// assert_eq!(preview_csv(&options, &mut |_| ())?.encoding, Encoding::Utf16Le);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `utf-8`, with or without a byte-order mark.
    Utf8,
    /// `gb18030`: Chinese text, GBK and GB2312 included.
    Gb18030,
    /// `utf-16le`; found only by its byte-order mark.
    Utf16Le,
    /// `utf-16be`; found only by its byte-order mark.
    Utf16Be,
}

const ALL: [Encoding; 4] =
    [Encoding::Utf8, Encoding::Gb18030, Encoding::Utf16Le, Encoding::Utf16Be];

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encoding::Utf8 => "utf-8",
            Encoding::Gb18030 => "gb18030",
            Encoding::Utf16Le => "utf-16le",
            Encoding::Utf16Be => "utf-16be",
        })
    }
}

impl FromStr for Encoding {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Ok(Encoding::Utf8),
            "gb18030" | "gbk" | "gb2312" => Ok(Encoding::Gb18030),
            "utf-16le" => Ok(Encoding::Utf16Le),
            "utf-16be" => Ok(Encoding::Utf16Be),
            _ => Err(UnknownWord { allowed: "utf-8, gb18030, utf-16le, utf-16be" }),
        }
    }
}

impl Encoding {
    /// The byte-order mark that a file of this encoding may begin with.
    pub(super) fn mark(self) -> &'static [u8] {
        match self {
            Encoding::Utf8 => b"\xef\xbb\xbf",
            Encoding::Gb18030 => b"\x84\x31\x95\x33",
            Encoding::Utf16Le => b"\xff\xfe",
            Encoding::Utf16Be => b"\xfe\xff",
        }
    }

    /// The encoding whose mark the file begins with.
    pub(super) fn marked(head: &[u8]) -> Option<Encoding> {
        ALL.into_iter().find(|encoding| head.starts_with(encoding.mark()))
    }

    /// The bytes as rows are read from them: UTF-16 made UTF-8, others as they are.
    pub(super) fn transcoded(self, bytes: Box<dyn Read>) -> Box<dyn Read> {
        match self {
            Encoding::Utf8 | Encoding::Gb18030 => bytes,
            Encoding::Utf16Le => Box::new(Utf16::new(bytes, u16::from_le_bytes)),
            Encoding::Utf16Be => Box::new(Utf16::new(bytes, u16::from_be_bytes)),
        }
    }

    /// The text of a row, or where it cannot be decoded (in bytes, from 0). `scratch` is used where the row
    /// has to be written anew.
    pub(super) fn decode<'a>(
        self,
        row: &'a [u8],
        scratch: &'a mut String,
    ) -> Result<&'a str, usize> {
        if self != Encoding::Gb18030 || row.is_ascii() {
            return std::str::from_utf8(row).map_err(|error| error.valid_up_to());
        }
        scratch.clear();
        let mut decoder = GB18030.new_decoder_without_bom_handling();
        match decode_some(&mut decoder, row, scratch) {
            (_, None) => Ok(scratch),
            (at, Some(_)) => Err(at),
        }
    }

    /// The text of a row for a person to read; bytes that cannot be decoded as `\xNN`.
    pub(super) fn readable(self, row: &[u8]) -> String {
        let mut text = String::with_capacity(row.len());
        let hex = |text: &mut String, bytes: &[u8]| {
            text.extend(bytes.iter().map(|byte| format!("\\x{byte:02X}")));
        };
        if self != Encoding::Gb18030 {
            for chunk in row.utf8_chunks() {
                text.push_str(chunk.valid());
                hex(&mut text, chunk.invalid());
            }
            return text;
        }
        let mut rest = row;
        let mut decoded = String::new();
        loop {
            decoded.clear();
            let mut decoder = GB18030.new_decoder_without_bom_handling();
            let (at, bad) = decode_some(&mut decoder, rest, &mut decoded);
            text.push_str(&decoded);
            let Some(bad) = bad else { return text };
            hex(&mut text, &rest[at..at + bad]);
            rest = &rest[at + bad..];
        }
    }
}

/// Decodes up to the first bytes that cannot be; returns where they begin and how many they are.
fn decode_some(decoder: &mut Decoder, bytes: &[u8], into: &mut String) -> (usize, Option<usize>) {
    // No character of GB18030 takes more than thrice its bytes in UTF-8.
    into.reserve(3 * bytes.len() + 16);
    let (result, read) = decoder.decode_to_string_without_replacement(bytes, into, true);
    match result {
        DecoderResult::Malformed(bad, after) => {
            let (bad, after) = (usize::from(bad), usize::from(after));
            (read.saturating_sub(bad + after), Some(bad.max(1)))
        }
        DecoderResult::InputEmpty | DecoderResult::OutputFull => (read, None),
    }
}

/// What bytes tell of their encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guess {
    Known(Encoding),
    /// It may be GB18030, but looks more like this one.
    Doubtful(&'static str),
}

/// The encoding of bytes without a mark: reads on to the first byte beyond ASCII and judges what follows.
///
/// UTF-8 is told by its form. What has not that form is GB18030 only where the frequencies of its
/// characters say Chinese; a few words may as well be Korean, which is not for us to decide. Anything else is
/// taken as broken UTF-8, whose rows are rejected one by one.
pub(super) fn guess(bytes: &mut dyn Read) -> io::Result<Guess> {
    let evidence = evidence(bytes)?;
    let lines: Vec<&[u8]> =
        evidence.split(|byte| *byte == b'\n').filter(|line| !line.is_ascii()).collect();
    let broken = lines.iter().filter(|line| std::str::from_utf8(line).is_err()).count();
    if 2 * broken <= lines.len() {
        return Ok(Guess::Known(Encoding::Utf8));
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    let (mut misfits, mut scratch) = (0, String::new());
    for line in &lines {
        // To the detector a single slip rules an encoding out; to us it is a row to be rejected.
        if Encoding::Gb18030.decode(line, &mut scratch).is_ok() {
            detector.feed(line, false);
            detector.feed(b"\n", false);
        } else {
            misfits += 1;
        }
    }
    detector.feed(b"", true);
    let likely = detector.guess(None, Utf8Detection::Deny);
    Ok(if !few(misfits, lines.len() as u64) {
        Guess::Known(Encoding::Utf8)
    } else if likely == GBK || likely == GB18030 {
        Guess::Known(Encoding::Gb18030)
    } else if [EUC_KR, BIG5, EUC_JP, SHIFT_JIS].contains(&likely) {
        Guess::Doubtful(likely.name())
    } else {
        Guess::Known(Encoding::Utf8)
    })
}

/// Whole lines from the first byte beyond ASCII on; empty if there is none.
fn evidence(bytes: &mut dyn Read) -> io::Result<Vec<u8>> {
    const ENOUGH: u64 = 1 << 18;
    let mut chunk = vec![0; 1 << 16];
    let mut seen = loop {
        let count = match bytes.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        if count == 0 {
            return Ok(Vec::new());
        }
        if let Some(at) = chunk[..count].iter().position(|byte| !byte.is_ascii()) {
            break chunk[at..count].to_vec();
        }
    };
    let cut = bytes.take(ENOUGH).read_to_end(&mut seen)? as u64 == ENOUGH;
    if cut && let Some(end) = seen.iter().rposition(|byte| *byte == b'\n') {
        seen.truncate(end);
    }
    Ok(seen)
}

/// UTF-16 as UTF-8.
struct Utf16<R> {
    input: R,
    unit: fn([u8; 2]) -> u16,
    /// What is left of the last chunk: half a unit, or the first half of a pair.
    rest: Vec<u8>,
    ready: Vec<u8>,
    given: usize,
    ended: bool,
}

impl<R: Read> Utf16<R> {
    fn new(input: R, unit: fn([u8; 2]) -> u16) -> Self {
        Utf16 { input, unit, rest: Vec::new(), ready: Vec::new(), given: 0, ended: false }
    }

    fn fill(&mut self) -> io::Result<()> {
        const CHUNK: u64 = 1 << 16;
        let mut bytes = std::mem::take(&mut self.rest);
        self.ended = (&mut self.input).take(CHUNK).read_to_end(&mut bytes)? == 0;
        let mut units: Vec<u16> =
            bytes.chunks_exact(2).map(|pair| (self.unit)([pair[0], pair[1]])).collect();
        let mut taken = 2 * units.len();
        if !self.ended && units.last().is_some_and(|unit| (0xd800..0xdc00).contains(unit)) {
            units.pop();
            taken -= 2;
        }
        self.ready.clear();
        self.given = 0;
        for character in char::decode_utf16(units) {
            match character {
                Ok(character) => {
                    let mut buffer = [0; 4];
                    self.ready.extend(character.encode_utf8(&mut buffer).as_bytes());
                }
                // The three bytes that UTF-8 would have for it, if it allowed half a pair.
                Err(half) => {
                    let [high, low] = half.unpaired_surrogate().to_be_bytes();
                    self.ready.extend([
                        0xe0 | (high >> 4),
                        0x80 | ((high & 0x0f) << 2) | (low >> 6),
                        0x80 | (low & 0x3f),
                    ]);
                }
            }
        }
        self.rest = bytes.split_off(taken);
        if self.ended && !self.rest.is_empty() {
            self.rest.clear();
            self.ready.push(0xff);
        }
        Ok(())
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.given == self.ready.len() && !self.ended {
            self.fill()?;
        }
        let count = (&self.ready[self.given..]).read(into)?;
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gb18030(text: &str) -> Vec<u8> {
        GB18030.encode(text).0.into_owned()
    }

    fn guessed(bytes: &[u8]) -> Guess {
        guess(&mut &*bytes).unwrap()
    }

    #[test]
    fn chinese_is_told_from_other_text() {
        let (utf8, chinese) = (Guess::Known(Encoding::Utf8), Guess::Known(Encoding::Gb18030));
        assert_eq!(guessed(b"a,b\n1,2\n"), utf8);
        assert_eq!(guessed("门店ID,日期\n1,2\n".as_bytes()), utf8);
        assert_eq!(guessed(&gb18030("门店ID,日期,销售额\n1,2,3\n")), chinese);
        let far = [b"a,b\n1,2\n".repeat(50_000), gb18030("城市,人民广场店\n")].concat();
        assert_eq!(guessed(&far), chinese);
        let slip = gb18030("门店,销售额\n人民广场店,1\n南京路店,2\n虹桥店,3\n");
        assert_eq!(guessed(&[&*slip, b"\xff,4\n"].concat()), chinese);
        let slip = ["门店,日期\n北京,1\n".as_bytes(), b"caf\xe9,1\n"].concat();
        assert_eq!(guessed(&slip), utf8);

        let latin = |text| encoding_rs::WINDOWS_1252.encode(text).0.into_owned();
        assert_eq!(guessed(&latin("größe,x\nMüller,1\n")), utf8);
        let many = latin("Müller\nCafé,1\nBäcker\nSchröder\nTür\n");
        assert_eq!(guessed(&many), utf8, "though most of its lines could be GB18030");
        let korean = EUC_KR.encode("매장,날짜\n서울,1\n").0;
        assert_eq!(guessed(&korean), Guess::Doubtful("EUC-KR"));
        assert_eq!(guessed(&gb18030("门店\n")), Guess::Doubtful("EUC-KR"));
    }

    #[test]
    fn what_cannot_be_decoded_is_shown_as_it_is() {
        let row = [gb18030("店,").as_slice(), b"\xff,a\x81".as_slice()].concat();
        let mut scratch = String::new();
        assert_eq!(Encoding::Gb18030.decode(&row, &mut scratch), Err(3));
        assert_eq!(Encoding::Gb18030.readable(&row), "店,\\xFF,a\\x81");
        assert_eq!(Encoding::Utf8.readable(b"caf\xe9"), "caf\\xE9");
    }

    #[test]
    fn half_a_pair_is_no_character() {
        let read = |bytes: &'static [u8]| {
            let mut all = Vec::new();
            Utf16::new(bytes, u16::from_be_bytes).read_to_end(&mut all).unwrap();
            String::from_utf8(all).is_ok()
        };
        assert!(read(b"\0a\xd8\x3d\xde\x00"));
        assert!(!read(b"\0a\xd8\x3d\0b"));
        assert!(!read(b"\0a\xde\x00"));
        assert!(!read(b"\0a\xd8\x3d"));
        assert!(!read(b"\0a\0"));
    }

    proptest! {
        #[test]
        fn text_comes_back_from_each_encoding(
            // The standard has given some characters of the private area other places since.
            text in any::<String>().prop_filter("private", |t| !t.contains(|c| ('\u{e000}'..='\u{f8ff}').contains(&c)))
        ) {
            let mut scratch = String::new();
            let bytes = gb18030(&text);
            prop_assert_eq!(Encoding::Gb18030.decode(&bytes, &mut scratch), Ok(&*text));
            prop_assert_eq!(&Encoding::Gb18030.readable(&bytes), &text);
            for (encoding, bytes) in [
                (Encoding::Utf16Le, text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()),
                (Encoding::Utf16Be, text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
            ] {
                let mut read = String::new();
                encoding.transcoded(Box::new(io::Cursor::new(bytes))).read_to_string(&mut read).unwrap();
                prop_assert_eq!(&read, &text);
            }
        }

        #[test]
        fn any_bytes_are_readable(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut scratch = String::new();
            let readable = Encoding::Gb18030.readable(&bytes);
            if let Ok(text) = Encoding::Gb18030.decode(&bytes, &mut scratch) {
                prop_assert_eq!(readable, text);
            } else {
                prop_assert!(readable.contains("\\x"));
            }
        }
    }
}
