//! One reading of the file from beginning to end, with its progress.

use std::cell::Cell;
use std::io::Read;
use std::rc::Rc;

use samovar_core::{Error, ErrorKind};

use super::dialect::Dialect;
use super::encoding::Encoding;
use super::input::{Input, Stream, unreadable};
use super::record::{Defect, Fields, Row, Rows};
use super::rejects::Rejects;
use super::{ImportPhase, ImportProgress, header};

/// Rows between two reports of progress.
const ROWS_PER_REPORT: u64 = 1024;

/// A row as it stands in the file.
#[derive(Clone, Copy)]
pub(super) struct FileRow<'a> {
    /// The line it begins on, counted from 1.
    pub(super) line: u64,
    bytes: &'a [u8],
    encoding: Encoding,
}

impl FileRow<'_> {
    /// Its text; bytes that cannot be decoded as `\xNN`.
    pub(super) fn text(&self) -> String {
        self.encoding.readable(self.bytes)
    }
}

/// A pass over the rows behind the header; rows that have not its number of fields are rejected on the way.
pub(super) struct Pass {
    rows: Rows<Box<dyn Read>>,
    fields: Fields,
    header: Vec<String>,
    line: u64,
    encoding: Encoding,
    name: String,
    taken: Rc<Cell<u64>>,
    progress: ImportProgress,
}

impl Pass {
    /// Opens the file and reads its header.
    pub(super) fn begin(
        input: &Input,
        dialect: Dialect,
        phase: ImportPhase,
    ) -> Result<Pass, Error> {
        let name = input.name();
        let Dialect { encoding, delimiter } = dialect;
        let Stream { bytes, taken } = input.stream(encoding)?;
        let mut rows = Rows::new(bytes, delimiter.byte(), encoding);
        let mut fields = Fields::default();
        let first = rows.next(&mut fields).map_err(|error| unreadable(name, error))?;
        let problem = match first {
            None => Some("is empty; its first row must name the columns".to_owned()),
            Some(Row { defect: Some(Defect::Undecodable { at, encoding }), .. }) => Some(format!(
                "is not {} text (byte {} of its header); name its encoding (--encoding, such as gb18030), or convert it first \
                 (iconv -t UTF-8)",
                encoding.to_string().to_uppercase(),
                at + 1
            )),
            Some(Row { defect: Some(defect), .. }) => {
                Some(format!("has no header that could be read: {defect}"))
            }
            Some(Row { defect: None, .. }) => None,
        };
        if let Some(problem) = problem {
            return Err(Error::new(ErrorKind::Source, format!("{name} {problem}")));
        }
        let progress = ImportProgress { phase, bytes: 0, total_bytes: input.size(), rows: 0 };
        Ok(Pass {
            header: header::header(fields.iter(), rows.raw().contains(&b'"'), delimiter)?,
            rows,
            fields,
            line: 1,
            encoding,
            name: name.to_owned(),
            taken,
            progress,
        })
    }

    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    /// The fields of the current row, as many as the header has.
    pub(super) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The line on which the current row begins.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Goes to the next row that has its fields; `false` at the end.
    pub(super) fn next(
        &mut self,
        rejects: &mut Rejects,
        progress: &mut dyn FnMut(ImportProgress),
    ) -> Result<bool, Error> {
        loop {
            if self.progress.rows.is_multiple_of(ROWS_PER_REPORT) {
                self.report(progress);
            }
            let row = self.rows.next(&mut self.fields);
            let Some(row) = row.map_err(|error| unreadable(&self.name, error))? else {
                self.report(progress);
                return Ok(false);
            };
            self.progress.rows += 1;
            self.line = row.line;
            let reason = match row.defect {
                Some(defect) => defect.to_string(),
                None if self.fields.len() == self.header.len() => return Ok(true),
                None => format!(
                    "the row has {} fields, the header {}",
                    self.fields.len(),
                    self.header.len()
                ),
            };
            self.reject(&reason, rejects)?;
        }
    }

    /// Rejects the current row.
    pub(super) fn reject(&self, reason: &str, rejects: &mut Rejects) -> Result<(), Error> {
        rejects.push(reason, self.row())
    }

    /// The current row as it stands in the file.
    pub(super) fn row(&self) -> FileRow<'_> {
        FileRow { line: self.line, bytes: self.rows.raw(), encoding: self.encoding }
    }

    /// Rows met so far.
    pub(super) fn count(&self) -> u64 {
        self.progress.rows
    }

    fn report(&mut self, progress: &mut dyn FnMut(ImportProgress)) {
        self.progress.bytes = self.taken.get();
        progress(self.progress);
    }
}
