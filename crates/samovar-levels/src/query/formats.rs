//! A page as JSON, CSV and Arrow.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Date32Array, Float64Array, RecordBatch, RecordBatchOptions, StringArray,
};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema as ArrowSchema};
use samovar_core::{Error, ErrorKind};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::Page;
use super::page::{Column, Values};
use crate::diagnosis::StoresJson;
use crate::selection::Stores;

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An object with the rows and all about them.
    Json,
    /// RFC 4180: a header line, then the rows; what is missing is empty.
    Csv,
    /// An Arrow IPC stream of one batch: texts as Utf8, days as Date32, measures as Float64.
    Arrow,
}

impl Format {
    /// All of them, the first the usual one.
    pub const ALL: [Format; 3] = [Format::Json, Format::Csv, Format::Arrow];

    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Csv => "text/csv",
            Format::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

impl Page {
    /// Its bytes: equal for equal data.
    ///
    /// # Errors
    /// None that is not a bug: all is in memory.
    pub fn write(&self, format: Format) -> Result<Vec<u8>, Error> {
        match format {
            Format::Json => serde_json::to_vec(&Body::of(self)).map_err(failed),
            Format::Csv => self.csv(),
            Format::Arrow => self.arrow(),
        }
    }

    fn csv(&self) -> Result<Vec<u8>, Error> {
        let mut writer =
            csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        writer.write_record(self.columns.iter().map(|c| c.name.as_bytes())).map_err(failed)?;
        let mut text = Vec::new();
        for row in 0..self.rows {
            for column in &self.columns {
                text.clear();
                column.text(row, &mut text).map_err(failed)?;
                writer.write_field(&text).map_err(failed)?;
            }
            writer.write_record(None::<&[u8]>).map_err(failed)?;
        }
        writer.into_inner().map_err(|e| failed(e.into_error()))
    }

    fn arrow(&self) -> Result<Vec<u8>, Error> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(Column::array).collect();
        let fields: Vec<Field> = self.columns.iter().map(Column::field).collect();
        let schema = Arc::new(ArrowSchema::new(fields));
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(schema, columns, &options).map_err(failed)?;
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).map_err(failed)?;
        writer.write(&batch).and_then(|()| writer.finish()).map_err(failed)?;
        writer.into_inner().map_err(failed)
    }
}

fn failed(why: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Invalid, "writing the answer").because(why)
}

impl Column {
    fn text(&self, row: usize, out: &mut Vec<u8>) -> std::io::Result<()> {
        match &self.values {
            Values::Texts(texts) => {
                texts[row].iter().try_for_each(|text| out.write_all(text.as_bytes()))
            }
            Values::Days(days) => write!(out, "{}", days[row]),
            Values::Numbers(values) => {
                values[row].iter().try_for_each(|value| write!(out, "{value}"))
            }
        }
    }

    fn array(&self) -> ArrayRef {
        match &self.values {
            Values::Texts(texts) => {
                Arc::new(texts.iter().map(|text| text.as_deref()).collect::<StringArray>())
            }
            Values::Days(days) => Arc::new(Date32Array::from_iter_values(days.iter().map(|d| d.0))),
            Values::Numbers(values) => Arc::new(Float64Array::from(values.clone())),
        }
    }

    fn field(&self) -> Field {
        let kind = match &self.values {
            Values::Texts(_) => DataType::Utf8,
            Values::Days(_) => DataType::Date32,
            Values::Numbers(_) => DataType::Float64,
        };
        Field::new(&*self.name, kind, true)
    }
}

#[derive(Serialize)]
struct Body<'a> {
    by: Vec<&'a str>,
    measures: Vec<MeasureJson<'a>>,
    selection: Selected<'a>,
    r#where: Vec<ConditionJson<'a>>,
    digest: String,
    covered: u64,
    missing: Missing<'a>,
    total_rows: u64,
    rows: Rows<'a>,
    next: Option<String>,
}

#[derive(Serialize)]
struct MeasureJson<'a> {
    name: &'a str,
    unit: &'a str,
    decimals: u8,
}

#[derive(Serialize)]
struct Selected<'a> {
    stores: StoresJson<'a>,
    from: String,
    to: String,
}

#[derive(Serialize)]
struct ConditionJson<'a> {
    dimension: &'a str,
    operator: &'a str,
    value: Option<String>,
}

#[derive(Serialize)]
struct Missing<'a> {
    partitions: u64,
    stores: u64,
    values: &'a BTreeMap<Arc<str>, u64>,
}

impl<'a> Body<'a> {
    fn of(page: &'a Page) -> Body<'a> {
        let (partitions, stores) = page.missing;
        Body {
            by: page.by.iter().map(|dimension| dimension.as_str()).collect(),
            measures: page
                .measures
                .iter()
                .map(|m| MeasureJson { name: &m.name, unit: m.unit.as_str(), decimals: m.decimals })
                .collect(),
            selection: Selected {
                stores: match &page.selection.stores {
                    Stores::These(ids) => StoresJson::These(ids.iter().map(|id| &**id).collect()),
                    other => StoresJson::Named(other.to_string()),
                },
                from: page.selection.from.to_string(),
                to: page.selection.to.to_string(),
            },
            r#where: page
                .conditions
                .iter()
                .map(|condition| ConditionJson {
                    dimension: condition.is.dimension().as_str(),
                    operator: if condition.not { "!=" } else { "=" },
                    value: condition.is.value(),
                })
                .collect(),
            digest: format!("{:032x}", page.digest),
            covered: page.covered,
            missing: Missing { partitions, stores, values: &page.missing_values },
            total_rows: page.total_rows,
            rows: Rows(page),
            next: page.next.map(|cursor| cursor.to_string()),
        }
    }
}

struct Rows<'a>(&'a Page);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.0.rows))?;
        for row in 0..self.0.rows {
            rows.serialize_element(&Row(self.0, row))?;
        }
        rows.end()
    }
}

struct Row<'a>(&'a Page, usize);

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Row(page, row) = *self;
        let mut map = serializer.serialize_map(Some(page.columns.len()))?;
        for column in &page.columns {
            map.serialize_key(&*column.name)?;
            match &column.values {
                Values::Texts(texts) => map.serialize_value(&texts[row])?,
                Values::Days(days) => map.serialize_value(&days[row].to_string())?,
                Values::Numbers(values) => map.serialize_value(&values[row])?,
            }
        }
        map.end()
    }
}
