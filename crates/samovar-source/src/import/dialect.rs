//! How a file is written: its encoding and its delimiter, as found or as told.

use std::fmt;
use std::io::{Cursor, Read};
use std::str::FromStr;

use samovar_core::{Error, ErrorKind};

use super::ImportOptions;
use super::column::UnknownWord;
use super::encoding::{self, Encoding, Guess};
use super::input::{Input, unreadable};
use super::record::{Fields, Rows};

/// What stands between two fields.
///
/// ```
/// # use samovar_source::import::{Delimiter, ImportOptions, preview_csv};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("sales.csv");
/// std::fs::write(&file, "store;sale\n7;4,50\n8;1,00\n")?;
/// let options = ImportOptions::new(&file, folder.path().join("shop.db"), "sales");
/// assert_eq!(preview_csv(&options, &mut |_| ())?.delimiter, Delimiter::Semicolon);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delimiter {
    /// `,`
    Comma,
    /// `;`, usual where the comma is the decimal mark.
    Semicolon,
    /// A tab.
    Tab,
}

const ALL: [Delimiter; 3] = [Delimiter::Comma, Delimiter::Semicolon, Delimiter::Tab];

impl Delimiter {
    pub(super) fn byte(self) -> u8 {
        match self {
            Delimiter::Comma => b',',
            Delimiter::Semicolon => b';',
            Delimiter::Tab => b'\t',
        }
    }
}

impl fmt::Display for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Delimiter::Comma => "comma",
            Delimiter::Semicolon => "semicolon",
            Delimiter::Tab => "tab",
        })
    }
}

impl FromStr for Delimiter {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word.to_ascii_lowercase().as_str() {
            "," | "comma" => Ok(Delimiter::Comma),
            ";" | "semicolon" => Ok(Delimiter::Semicolon),
            "\t" | "\\t" | "tab" => Ok(Delimiter::Tab),
            _ => Err(UnknownWord { allowed: "comma, semicolon, tab" }),
        }
    }
}

/// How a file is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    pub(super) encoding: Encoding,
    pub(super) delimiter: Delimiter,
}

impl Dialect {
    /// Takes what was asked for and finds the rest.
    pub(super) fn find(input: &Input, options: &ImportOptions) -> Result<Dialect, Error> {
        let encoding = match options.encoding {
            Some(encoding) => encoding,
            None => find_encoding(input)?,
        };
        let delimiter = match options.delimiter {
            Some(delimiter) => delimiter,
            None => delimiter(&head(input, encoding)?, encoding).map_err(|both| {
                let [one, other] = both;
                let message = format!(
                    "the fields of {} could be separated by {one} or by {other}; say which: --delimiter {one} or \
                     --delimiter {other}",
                    input.name()
                );
                Error::new(ErrorKind::Source, message)
            })?,
        };
        Ok(Dialect { encoding, delimiter })
    }
}

fn find_encoding(input: &Input) -> Result<Encoding, Error> {
    let (head, mut bytes) = input.decompressed()?;
    if let Some(encoding) = Encoding::marked(&head) {
        return Ok(encoding);
    }
    match encoding::guess(&mut bytes).map_err(|error| unreadable(input.name(), error))? {
        Guess::Known(encoding) => Ok(encoding),
        Guess::Doubtful(other) => {
            let message = format!(
                "the text of {} is not UTF-8; it may be GB18030, and looks more like {other}. Say --encoding gb18030 \
                 if it is Chinese (--dry-run shows it), or convert it first (iconv -f {other} -t UTF-8)",
                input.name()
            );
            Err(Error::new(ErrorKind::Source, message))
        }
    }
}

/// The first whole lines of the file.
fn head(input: &Input, encoding: Encoding) -> Result<Vec<u8>, Error> {
    const ENOUGH: usize = 1 << 16;
    let mut head = Vec::new();
    (input.stream(encoding)?.bytes.take(ENOUGH as u64))
        .read_to_end(&mut head)
        .map_err(|error| unreadable(input.name(), error))?;
    if head.len() == ENOUGH
        && let Some(end) = head.iter().rposition(|byte| *byte == b'\n')
    {
        head.truncate(end);
    }
    Ok(head)
}

/// The delimiter that makes rows of the header's length, or the two that do so equally well.
fn delimiter(head: &[u8], encoding: Encoding) -> Result<Delimiter, [Delimiter; 2]> {
    let mut fitting: Vec<(u64, Delimiter)> = (ALL.into_iter())
        .filter_map(|delimiter| Some((matches(head, delimiter, encoding)?, delimiter)))
        .collect();
    fitting.sort_by_key(|(rows, _)| std::cmp::Reverse(*rows));
    match fitting.as_slice() {
        // A single column, or no table at all, which the reading proper will tell.
        [] => Ok(Delimiter::Comma),
        [(most, one), (next, other), ..] if most == next => Err([*one, *other]),
        [(_, best), ..] => Ok(*best),
    }
}

/// How many rows have as many fields as the header; `None` if that is one field, or most rows have not.
fn matches(head: &[u8], delimiter: Delimiter, encoding: Encoding) -> Option<u64> {
    let mut rows = Rows::new(Cursor::new(head), delimiter.byte(), encoding);
    let mut fields = Fields::default();
    let mut next = |fields: &mut Fields| rows.next(fields).ok().flatten().map(|row| row.defect);
    if next(&mut fields)?.is_some() || fields.len() < 2 {
        return None;
    }
    let width = fields.len();
    let (mut alike, mut others) = (0, 0);
    while next(&mut fields).is_some() {
        *(if fields.len() == width { &mut alike } else { &mut others }) += 1;
    }
    (alike >= others).then_some(alike)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_and_its_rows_show_the_delimiter() {
        let found = |text: &str| delimiter(text.as_bytes(), Encoding::Utf8);
        assert_eq!(found("a,b\n1,2\n"), Ok(Delimiter::Comma));
        assert_eq!(found("a;b\n1,5;2,5\n"), Ok(Delimiter::Semicolon));
        assert_eq!(found("a\tb\n1;5\t2,5\n"), Ok(Delimiter::Tab));
        assert_eq!(found("a,\"b;c\"\n1,2\n"), Ok(Delimiter::Comma));
        assert_eq!(found("a, per ml;b, each\n1;2\n"), Ok(Delimiter::Semicolon));
        assert_eq!(found("only\n1,2\n3;4\n"), Ok(Delimiter::Comma));
        assert_eq!(found("a;b\nx\n1;2\n3;4\n"), Ok(Delimiter::Semicolon));
        assert_eq!(found(""), Ok(Delimiter::Comma));
        let both = Err([Delimiter::Comma, Delimiter::Semicolon]);
        assert_eq!(found("name;price, net\nx;1,5\n"), both);
        assert_eq!(found("a,b;c\n"), both);
    }
}
