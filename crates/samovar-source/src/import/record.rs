//! From bytes to rows, in constant memory and without losing a byte.
//!
//! Why not the reader of the `csv` crate: it takes whatever it is given. An opening quote that is never closed makes
//! it swallow the rest of the file as one field; here such a row is handed out as defective and reading
//! goes on with the next line.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;

use super::encoding::Encoding;

/// The longest row that is read, in bytes. A quoted field that runs on for longer was not closed.
const LONGEST_ROW: usize = 1 << 20;
const CHUNK: usize = 1 << 16;

/// The fields of one row, unquoted; to be used again for the next row.
#[derive(Default)]
pub(super) struct Fields {
    text: String,
    ends: Vec<usize>,
}

impl Fields {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    fn end_field(&mut self) {
        self.ends.push(self.text.len());
    }

    /// Splits a row whose quotes [`extent`] has found in order.
    fn split(&mut self, row: &str, delimiter: u8) {
        let delimiter = char::from(delimiter);
        let mut rest = row;
        loop {
            let after = if let Some(quoted) = rest.strip_prefix('"') {
                let mut inner = quoted;
                loop {
                    let (text, behind) = inner.split_once('"').unwrap_or((inner, ""));
                    self.text.push_str(text);
                    let Some(more) = behind.strip_prefix('"') else { break behind };
                    self.text.push('"');
                    inner = more;
                }
            } else {
                let (text, behind) = rest.split_at(rest.find(delimiter).unwrap_or(rest.len()));
                self.text.push_str(text);
                behind
            };
            self.end_field();
            match after.strip_prefix(delimiter) {
                Some(next) => rest = next,
                None => return,
            }
        }
    }
}

/// Why a row has no fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    Unclosed,
    TextAfterQuote,
    TooLong,
    Undecodable { at: usize, encoding: Encoding },
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Defect::Unclosed => f.write_str("a quote is opened and not closed"),
            Defect::TextAfterQuote => f.write_str(
                "a quoted field does not end at its closing quote (a quote inside is doubled)",
            ),
            Defect::TooLong => {
                write!(f, "the row is longer than {LONGEST_ROW} bytes; its end is cut off")
            }
            Defect::Undecodable { encoding: Encoding::Utf16Le | Encoding::Utf16Be, .. } => {
                f.write_str("the row holds half a character, which is not valid UTF-16")
            }
            Defect::Undecodable { at, encoding } => {
                let encoding = encoding.to_string().to_uppercase();
                write!(f, "byte {} of the row is not valid {encoding}", at + 1)
            }
        }
    }
}

/// A row of the file; its bytes are [`Rows::raw`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// The line it begins on, counted from 1.
    pub(super) line: u64,
    /// What is wrong with it; else its fields have been read.
    pub(super) defect: Option<Defect>,
}

/// The rows of a stream. Blank lines are no rows.
pub(super) struct Rows<R> {
    input: R,
    delimiter: u8,
    encoding: Encoding,
    /// A row that had to be written anew to be text.
    decoded: String,
    /// What has been read and not been handed out begins at `start`.
    buffer: Vec<u8>,
    start: usize,
    /// Where the bytes of the last row are.
    last: Range<usize>,
    ended: bool,
    line: u64,
    /// The rest of the current line is thrown away: its beginning was handed out as too long.
    skipping: bool,
}

impl<R: Read> Rows<R> {
    pub(super) fn new(input: R, delimiter: u8, encoding: Encoding) -> Self {
        Rows {
            input,
            delimiter,
            encoding,
            decoded: String::new(),
            buffer: Vec::new(),
            start: 0,
            last: 0..0,
            ended: false,
            line: 1,
            skipping: false,
        }
    }

    /// The bytes of the row that was read last, without the end of its line.
    pub(super) fn raw(&self) -> &[u8] {
        &self.buffer[self.last.clone()]
    }

    /// The next row; its fields go into `fields`, which are empty if it has a defect.
    pub(super) fn next(&mut self, fields: &mut Fields) -> io::Result<Option<Row>> {
        fields.clear();
        if self.skipping {
            self.skip_line()?;
        }
        loop {
            let bytes = &self.buffer[self.start..];
            match extent(bytes, self.delimiter, self.ended) {
                Extent::Blank { next } => {
                    self.start += next;
                    self.line += 1;
                }
                Extent::Row { len, next } => {
                    let line = self.line;
                    self.line += newlines(&bytes[..next]);
                    self.last = self.start..self.start + len;
                    self.start += next;
                    let encoding = self.encoding;
                    let row = &self.buffer[self.last.clone()];
                    let defect = match encoding.decode(row, &mut self.decoded) {
                        Ok(text) => {
                            fields.split(text, self.delimiter);
                            None
                        }
                        Err(at) => Some(Defect::Undecodable { at, encoding }),
                    };
                    return Ok(Some(Row { line, defect }));
                }
                Extent::Defective(defect) => return self.first_line(defect).map(Some),
                Extent::End => return Ok(None),
                Extent::More if bytes.len() >= LONGEST_ROW => {
                    let defect =
                        if bytes.contains(&b'\n') { Defect::Unclosed } else { Defect::TooLong };
                    return self.first_line(defect).map(Some);
                }
                Extent::More => self.fill()?,
            }
        }
    }

    /// Hands out the first line alone, so that the lines behind it are read in their own right.
    fn first_line(&mut self, defect: Defect) -> io::Result<Row> {
        let (len, next) = loop {
            let bytes = &self.buffer[self.start..];
            match bytes.iter().position(|b| *b == b'\n') {
                Some(at) => break (at, at + 1),
                None if self.ended => break (bytes.len(), bytes.len()),
                None if bytes.len() >= LONGEST_ROW => {
                    self.skipping = true;
                    break (LONGEST_ROW, bytes.len());
                }
                None => self.fill()?,
            }
        };
        let line = self.line;
        let len = without_return(&self.buffer[self.start..self.start + len]).len();
        self.last = self.start..self.start + len;
        self.start += next;
        self.line += u64::from(!self.skipping);
        let defect = if self.skipping { Defect::TooLong } else { defect };
        Ok(Row { line, defect: Some(defect) })
    }

    fn skip_line(&mut self) -> io::Result<()> {
        self.skipping = false;
        self.line += 1;
        loop {
            let bytes = &self.buffer[self.start..];
            if let Some(at) = bytes.iter().position(|b| *b == b'\n') {
                self.start += at + 1;
                return Ok(());
            }
            self.start = self.buffer.len();
            if self.ended {
                return Ok(());
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + CHUNK, 0);
        let read = loop {
            match self.input.read(&mut self.buffer[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.buffer.truncate(before + *read.as_ref().unwrap_or(&0));
        self.ended = read? == 0;
        Ok(())
    }
}

/// How far the first row of some bytes reaches.
enum Extent {
    Row { len: usize, next: usize },
    Blank { next: usize },
    Defective(Defect),
    More,
    End,
}

fn extent(bytes: &[u8], delimiter: u8, ended: bool) -> Extent {
    let newline = bytes.iter().position(|b| *b == b'\n');
    let line = &bytes[..newline.unwrap_or(bytes.len())];
    if line.contains(&b'"') {
        return quoted_extent(bytes, delimiter, ended);
    }
    let next = match newline {
        Some(at) => at + 1,
        None if !ended => return Extent::More,
        None if line.is_empty() => return Extent::End,
        None => line.len(),
    };
    match without_return(line).len() {
        0 => Extent::Blank { next },
        len => Extent::Row { len, next },
    }
}

fn quoted_extent(bytes: &[u8], delimiter: u8, ended: bool) -> Extent {
    enum At {
        FieldStart,
        Plain,
        Quoted,
        Closed,
    }
    let mut at = At::FieldStart;
    for (index, byte) in bytes.iter().copied().enumerate() {
        at = match (at, byte) {
            (At::Quoted, b'"') => At::Closed,
            (At::Quoted, _) => At::Quoted,
            (At::FieldStart | At::Closed, b'"') => At::Quoted,
            (_, b'\n') => {
                return Extent::Row { len: without_return(&bytes[..index]).len(), next: index + 1 };
            }
            (_, byte) if byte == delimiter => At::FieldStart,
            (At::Closed, b'\r') if matches!(bytes.get(index + 1), Some(b'\n')) => At::Closed,
            (At::Closed, b'\r') if index + 1 == bytes.len() => {
                return if ended {
                    Extent::Row { len: index, next: index + 1 }
                } else {
                    Extent::More
                };
            }
            (At::Closed, _) => return Extent::Defective(Defect::TextAfterQuote),
            (At::FieldStart | At::Plain, _) => At::Plain,
        };
    }
    match at {
        _ if !ended => Extent::More,
        At::Quoted => Extent::Defective(Defect::Unclosed),
        _ => Extent::Row { len: without_return(bytes).len(), next: bytes.len() },
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|b| **b == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a few bytes at a time, so that every row crosses a border somewhere.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(into.len());
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    type Seen = (u64, Result<Vec<String>, Defect>);

    fn rows(bytes: &[u8], step: usize) -> Vec<Seen> {
        let mut rows = Rows::new(Trickle(bytes, step), b',', Encoding::Utf8);
        let mut fields = Fields::default();
        let mut seen = Vec::new();
        while let Some(Row { line, defect }) = rows.next(&mut fields).unwrap() {
            let row = fields.iter().map(str::to_owned).collect();
            seen.push((line, defect.map_or(Ok(row), Err)));
        }
        seen
    }

    fn good(line: u64, fields: &[&str]) -> Seen {
        (line, Ok(fields.iter().map(|field| (*field).to_owned()).collect()))
    }

    #[test]
    fn lines_fields_and_quotes() {
        let text = "a,b\r\n\r\n\"x\r\ny\",\"say \"\"hi\"\"\"\n1,\n\"\"\n,5\" pipe\n\"last\",z";
        for step in [1, 3, 1000] {
            assert_eq!(
                rows(text.as_bytes(), step),
                [
                    good(1, &["a", "b"]),
                    good(3, &["x\r\ny", "say \"hi\""]),
                    good(5, &["1", ""]),
                    good(6, &[""]),
                    good(7, &["", "5\" pipe"]),
                    good(8, &["last", "z"]),
                ]
            );
        }
    }

    #[test]
    fn a_bad_quote_costs_one_line() {
        let text = "1,\"open\n2,b\n3,\"c\"\n4,\"d\"x\n5,\"open again\n6,f\n";
        for step in [1, 1000] {
            assert_eq!(
                rows(text.as_bytes(), step),
                [
                    (1, Err(Defect::TextAfterQuote)),
                    good(2, &["2", "b"]),
                    good(3, &["3", "c"]),
                    (4, Err(Defect::TextAfterQuote)),
                    (5, Err(Defect::Unclosed)),
                    good(6, &["6", "f"]),
                ]
            );
        }
    }

    #[test]
    fn what_is_not_utf8_or_endless_costs_one_line() {
        let mut bytes = b"caf\xe9,1\n".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', 3 * LONGEST_ROW));
        bytes.extend(b"\nok,2\n\"");
        for _ in 0..LONGEST_ROW / 4 {
            bytes.extend(b"9,9\n");
        }
        let seen = rows(&bytes, 1 << 20);
        assert_eq!(seen[0], (1, Err(Defect::Undecodable { at: 3, encoding: Encoding::Utf8 })));
        assert_eq!(seen[1], (2, Err(Defect::TooLong)));
        assert_eq!(seen[2], good(3, &["ok", "2"]));
        assert_eq!(seen[3], (4, Err(Defect::Unclosed)));
        assert_eq!(seen[4], good(5, &["9", "9"]));
        assert_eq!(seen.len(), 4 + LONGEST_ROW / 4 - 1);
    }

    proptest! {
        #[test]
        fn what_the_csv_crate_writes_is_read_back(
            table in proptest::collection::vec(proptest::collection::vec("[a-z\",\r\n 门]{0,6}", 3), 0..20),
            step in 1usize..40,
            crlf: bool,
        ) {
            let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
            let mut writer = csv::WriterBuilder::new().terminator(terminator).from_writer(Vec::new());
            for row in &table {
                writer.write_record(row).unwrap();
            }
            let read: Vec<_> =
                rows(&writer.into_inner().unwrap(), step).into_iter().map(|(_, row)| row.unwrap()).collect();
            prop_assert_eq!(read, table);
        }

        #[test]
        fn no_byte_is_lost(bytes in proptest::collection::vec(
            prop_oneof![Just(b'"'), Just(b','), Just(b'\n'), Just(b'\r'), Just(b'a'), Just(0xff)], 0..60), step in 1usize..9,
        ) {
            let mut rows = Rows::new(Trickle(&bytes, step), b',', Encoding::Utf8);
            let mut fields = Fields::default();
            let mut seen: Vec<u8> = Vec::new();
            while rows.next(&mut fields).unwrap().is_some() {
                seen.extend(rows.raw().iter().filter(|b| !matches!(b, b'\n' | b'\r')));
            }
            let all: Vec<u8> = bytes.iter().copied().filter(|b| !matches!(b, b'\n' | b'\r')).collect();
            prop_assert_eq!(seen, all);
        }
    }
}
