//! One reading of the file from beginning to end, with its progress.

use std::cell::Cell;
use std::io::Read;
use std::path::PathBuf;
use std::rc::Rc;

use samovar_core::{Error, ErrorKind};

use super::input::{Input, Stream, unreadable};
use super::record::{Defect, Fields, Row, Rows};
use super::rejects::Rejects;
use super::{ImportPhase, ImportProgress, plan};

/// Rows between two reports of progress.
const ROWS_PER_REPORT: u64 = 1024;

/// A pass over the rows behind the header; rows that have not its number of fields are rejected on the way.
pub(super) struct Pass {
    rows: Rows<Box<dyn Read>>,
    fields: Fields,
    header: Vec<String>,
    line: u64,
    path: PathBuf,
    taken: Rc<Cell<u64>>,
    progress: ImportProgress,
}

impl Pass {
    /// Opens the file and reads its header.
    pub(super) fn begin(input: &Input, phase: ImportPhase) -> Result<Pass, Error> {
        let path = input.path();
        let Stream { bytes, taken } = input.stream()?;
        let mut rows = Rows::new(bytes, b',');
        let mut fields = Fields::default();
        let first = rows.next(&mut fields).map_err(|error| unreadable(path, error))?;
        let problem = match first {
            None => Some("is empty; its first row must name the columns".to_owned()),
            Some(Row { defect: Some(Defect::NotUtf8 { at }), .. }) => Some(format!(
                "is not UTF-8 text (byte {} of its header); convert it first (iconv -t UTF-8)",
                at + 1
            )),
            Some(Row { defect: Some(defect), .. }) => {
                Some(format!("has no header that could be read: {defect}"))
            }
            Some(Row { defect: None, .. }) => None,
        };
        if let Some(problem) = problem {
            return Err(Error::new(ErrorKind::Source, format!("{} {problem}", path.display())));
        }
        let progress = ImportProgress { phase, bytes: 0, total_bytes: input.size(), rows: 0 };
        Ok(Pass {
            header: plan::header(fields.iter(), rows.raw().contains(&b'"'))?,
            rows,
            fields,
            line: 1,
            path: path.to_owned(),
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
            let Some(row) = row.map_err(|error| unreadable(&self.path, error))? else {
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
        rejects.push(self.line, reason, self.rows.raw())
    }

    fn report(&mut self, progress: &mut dyn FnMut(ImportProgress)) {
        self.progress.bytes = self.taken.get();
        progress(self.progress);
    }
}
