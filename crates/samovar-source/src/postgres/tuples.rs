//! The stream of a binary COPY: tuples out of chunks of bytes.

use super::form::{Form, Kind};
use crate::batch::{Glance, Row};
use crate::cell::Cell;
use crate::decimal::Decimal;
use crate::{SourceError, SourceErrorKind};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Tuples, out of chunks that may end anywhere.
pub(super) struct Tuples<'a> {
    /// The names and forms of a tuple's columns.
    columns: &'a [(String, Form)],
    bytes: Vec<u8>,
    /// Where what is not yet read begins.
    at: usize,
    header: bool,
    /// Where the values of the last tuple begin and end; NULL ends before it begins.
    fields: Box<[(usize, usize)]>,
}

/// Where NULL stands.
const NOWHERE: (usize, usize) = (1, 0);

/// One tuple.
pub(super) struct Tuple<'a>(&'a Tuples<'a>);

impl<'a> Tuples<'a> {
    pub(super) fn of(columns: &'a [(String, Form)]) -> Tuples<'a> {
        let fields = vec![NOWHERE; columns.len()].into();
        Tuples { columns, bytes: Vec::new(), at: 0, header: true, fields }
    }

    /// Where to append the next chunk.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.at);
        self.at = 0;
        &mut self.bytes
    }

    /// The next tuple; `None` if it needs another chunk, or there is none.
    pub(super) fn next(&mut self) -> Result<Option<Tuple<'_>>, SourceError> {
        if self.header {
            let Some(length) = header(&self.bytes)? else { return Ok(None) };
            self.at = length;
            self.header = false;
        }
        let Some(end) = self.walk()? else { return Ok(None) };
        self.at = end;
        Ok(Some(Tuple(self)))
    }

    /// Finds the values of the next tuple, and its end.
    fn walk(&mut self) -> Result<Option<usize>, SourceError> {
        let bytes = &self.bytes[..];
        let Some((count, mut rest)) = bytes[self.at..].split_first_chunk::<2>() else {
            return Ok(None);
        };
        match i16::from_be_bytes(*count) {
            // The end of all.
            -1 => return Ok(None),
            count if usize::try_from(count) != Ok(self.columns.len()) => return Err(garbled()),
            _ => {}
        }
        for field in &mut self.fields {
            let Some((length, after)) = rest.split_first_chunk::<4>() else { return Ok(None) };
            rest = after;
            let length = i32::from_be_bytes(*length);
            if length == -1 {
                *field = NOWHERE;
                continue;
            }
            let length = usize::try_from(length).map_err(|_| garbled())?;
            let from = bytes.len() - rest.len();
            let Some(after) = rest.get(length..) else { return Ok(None) };
            *field = (from, from + length);
            rest = after;
        }
        Ok(Some(bytes.len() - rest.len()))
    }
}

impl Tuple<'_> {
    /// The bytes of a value; `None` for NULL.
    #[inline]
    fn bytes(&self, at: usize) -> Option<&[u8]> {
        let (from, to) = self.0.fields[at];
        self.0.bytes.get(from..to)
    }
}

impl Row for Tuple<'_> {
    #[inline]
    fn fixed(&self, at: usize, decimals: u8) -> Glance<i64> {
        let Some(bytes) = self.bytes(at) else { return Glance::Null };
        let number = match self.0.columns[at].1.kind {
            Kind::Numeric => Decimal::read(bytes).and_then(|number| number.short(decimals)),
            _ => None,
        };
        number.map_or(Glance::Look, Glance::Is)
    }

    #[inline]
    fn text(&self, at: usize) -> Glance<&[u8]> {
        match (self.bytes(at), self.0.columns[at].1.kind) {
            (None, _) => Glance::Null,
            (Some(bytes), Kind::Text) => Glance::Is(bytes),
            _ => Glance::Look,
        }
    }

    fn cell(&self, at: usize) -> Result<Cell<'_>, SourceError> {
        let Some(bytes) = self.bytes(at) else { return Ok(Cell::Null) };
        let (name, form) = &self.0.columns[at];
        form.kind.cell(bytes).ok_or_else(|| {
            let message = format!(
                "column {name} is not of the type that it was at the start; start again after changing a table"
            );
            SourceError::new(SourceErrorKind::Schema, message)
        })
    }
}

/// The length of the header; `None` if there is more of it to come.
fn header(bytes: &[u8]) -> Result<Option<usize>, SourceError> {
    // Signature, flags, length of the rest.
    let Some((head, rest)) = bytes.split_first_chunk::<19>() else { return Ok(None) };
    let [.., a, b, c, d] = *head;
    if !head.starts_with(SIGNATURE) {
        return Err(garbled());
    }
    let extension = usize::try_from(i32::from_be_bytes([a, b, c, d])).map_err(|_| garbled())?;
    Ok((rest.len() >= extension).then_some(19 + extension))
}

fn garbled() -> SourceError {
    let message = "the server's answer to COPY is not in the binary form; is it a PostgreSQL?";
    SourceError::new(SourceErrorKind::Failed, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<(String, Form)> {
        vec![("store".into(), Form::count()), ("name".into(), Form::text())]
    }

    fn stream() -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        // An extension of the header is skipped.
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 2, 9, 9]);
        bytes.extend([0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 3, b't', b'e', b'a']);
        bytes.extend([0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        bytes.extend([0xff, 0xff]);
        bytes
    }

    #[test]
    fn a_chunk_may_end_anywhere() {
        let (columns, stream) = (columns(), stream());
        for size in 1..=stream.len() {
            let mut tuples = Tuples::of(&columns);
            let mut found = Vec::new();
            for chunk in stream.chunks(size) {
                tuples.room().extend(chunk);
                while let Some(tuple) = tuples.next().unwrap() {
                    found.push(format!(
                        "{:?} {:?}",
                        tuple.cell(0).unwrap(),
                        tuple.cell(1).unwrap()
                    ));
                }
            }
            assert_eq!(found, ["Integer(7) Text([116, 101, 97])", "Null Text([])"], "{size}");
        }
    }

    #[test]
    fn what_is_no_copy_is_an_error() {
        let columns = columns();
        let mut other_signature = stream();
        other_signature[3] = b'X';
        let mut other_count = stream();
        other_count[22] = 3;
        let mut other_length = stream();
        other_length[23] = 0xf0;
        for bytes in [other_signature, other_count, other_length] {
            let mut tuples = Tuples::of(&columns);
            tuples.room().extend(bytes);
            assert!(tuples.next().is_err());
        }
        let mut tuples = Tuples::of(&columns);
        let mut short = stream();
        short[26] = 3;
        short.drain(28..33);
        tuples.room().extend(short);
        let wrong = tuples.next().unwrap().unwrap().cell(0).unwrap_err();
        assert!(wrong.to_string().contains("column store"), "{wrong}");
    }
}
