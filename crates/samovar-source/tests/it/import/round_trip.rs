//! What is written to a file is what the table holds, for generated tables.

use std::io::Write;

use csv::QuoteStyle;
use proptest::prelude::*;
use rusqlite::types::Value;
use samovar_core::Day;
use samovar_source::import::{ColumnType, DateOrder, DecimalMark, Delimiter, Encoding};

use super::{Shop, run, select};

/// A cell as it stands in the file, and as it must stand in the table.
type Cell = (String, Value);

#[derive(Clone, Debug)]
struct Column {
    name: String,
    kind: ColumnType,
    order: Option<DateOrder>,
    cells: Vec<Cell>,
}

impl Column {
    /// The cell of a row as it stands in a file with decimal commas or points.
    fn written(&self, row: usize, commas: bool) -> String {
        let text = &self.cells[row].0;
        if !commas || !matches!(self.kind, ColumnType::Real | ColumnType::Money) {
            return text.clone();
        }
        text.replace(',', " ").replace('.', ",").replace(' ', ".")
    }
}

/// The text in this encoding, or in UTF-8 if it cannot be written in it.
fn encoded(text: Vec<u8>, encoding: Encoding) -> (Vec<u8>, Encoding) {
    let utf16 = |unit: fn(u16) -> [u8; 2]| {
        let text = std::str::from_utf8(&text).unwrap();
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(unit).collect()
    };
    match encoding {
        Encoding::Utf8 => (text, encoding),
        Encoding::Utf16Le => (utf16(u16::to_le_bytes), encoding),
        Encoding::Utf16Be => (utf16(u16::to_be_bytes), encoding),
        Encoding::Gb18030 => {
            let chinese = encoding_rs::GB18030;
            let bytes = chinese.encode(std::str::from_utf8(&text).unwrap()).0.into_owned();
            // Some characters of the private area do not come back.
            let whole = chinese.decode(&bytes).0.as_bytes() == text;
            if whole { (bytes, encoding) } else { (text, Encoding::Utf8) }
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn cents(cents: i64) -> (String, String) {
    let sign = if cents < 0 { "-" } else { "" };
    let (whole, rest) = (cents.unsigned_abs() / 100, cents.unsigned_abs() % 100);
    let mut grouped = whole.to_string();
    let mut at = grouped.len();
    while at > 3 {
        at -= 3;
        grouped.insert(at, ',');
    }
    (format!("{sign}{whole}.{rest:02}"), format!("{sign}${grouped}.{rest:02}"))
}

fn cell(kind: ColumnType, order: Option<DateOrder>) -> BoxedStrategy<Cell> {
    let amount = || -1_000_000_000_000_i64..1_000_000_000_000;
    let value = match kind {
        ColumnType::Integer => {
            any::<i64>().prop_map(|number| (number.to_string(), Value::Integer(number))).boxed()
        }
        ColumnType::Real => {
            amount().prop_map(|n| (cents(n).0, Value::Real(n as f64 / 100.0))).boxed()
        }
        ColumnType::Money => {
            amount().prop_map(|n| (cents(n).1, Value::Real(n as f64 / 100.0))).boxed()
        }
        ColumnType::Text => prop_oneof!["[0-9,\"\r\n a门]{1,9}", "\\PC{1,20}", any::<String>()]
            .prop_filter("empty is NULL", |text| !text.is_empty())
            .prop_map(|text| (text.clone(), Value::Text(text)))
            .boxed(),
        ColumnType::Date => (-200_000..200_000_i32)
            .prop_map(move |day| {
                let day = Day(day);
                let (year, month, number) = day.ymd();
                let written = match order {
                    None => day.to_string(),
                    Some(DateOrder::MonthFirst) => format!("{month:02}/{number:02}/{year:04}"),
                    Some(DateOrder::DayFirst) => format!("{number}/{month}/{year:04}"),
                };
                (written, Value::Text(day.to_string()))
            })
            .boxed(),
    };
    prop_oneof![6 => value, 1 => Just((String::new(), Value::Null))].boxed()
}

fn column(rows: usize) -> impl Strategy<Value = Column> {
    let kinds = [
        ColumnType::Integer,
        ColumnType::Real,
        ColumnType::Money,
        ColumnType::Text,
        ColumnType::Date,
    ];
    let orders = [None, Some(DateOrder::MonthFirst), Some(DateOrder::DayFirst)];
    let shape =
        (prop::sample::select(kinds.to_vec()), prop::sample::select(orders.to_vec()), "\\PC{0,8}");
    shape.prop_flat_map(move |(kind, order, name)| {
        prop::collection::vec(cell(kind, order), rows).prop_map(move |cells| Column {
            name: name.clone(),
            kind,
            order,
            cells,
        })
    })
}

fn table() -> impl Strategy<Value = Vec<Column>> {
    (0..25_usize).prop_flat_map(|rows| prop::collection::vec(column(rows), 1..5)).prop_map(
        |mut columns| {
            for (index, column) in columns.iter_mut().enumerate() {
                // Never empty, never twice, never a number, no white space at its ends.
                column.name = format!("c{}{index}", column.name);
            }
            columns
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_table_comes_back_as_it_was_written(
        columns in table(),
        delimiter in prop::sample::select(vec![Delimiter::Comma, Delimiter::Semicolon, Delimiter::Tab]),
        encoding in prop::sample::select(vec![Encoding::Utf8, Encoding::Gb18030, Encoding::Utf16Le, Encoding::Utf16Be]),
        compression in 0..3_u8,
        always_quote: bool,
        commas: bool,
    ) {
        // A lone name with a semicolon in it is taken for a wrong delimiter unless it is quoted.
        let quotes = if always_quote || columns.len() == 1 { QuoteStyle::Always } else { QuoteStyle::Necessary };
        let byte = match delimiter {
            Delimiter::Comma => b',',
            Delimiter::Semicolon => b';',
            Delimiter::Tab => b'\t',
        };
        let mut writer =
            csv::WriterBuilder::new().delimiter(byte).quote_style(quotes).from_writer(Vec::new());
        writer.write_record(columns.iter().map(|column| &column.name)).unwrap();
        let rows = columns[0].cells.len();
        for row in 0..rows {
            writer.write_record(columns.iter().map(|column| column.written(row, commas))).unwrap();
        }
        let (content, encoding) = encoded(writer.into_inner().unwrap(), encoding);
        let content = match compression {
            0 => content,
            1 => zstd::encode_all(content.as_slice(), 1).unwrap(),
            _ => gzip(&content),
        };

        let shop = Shop::new();
        let mut options = shop.options(content);
        options.delimiter = Some(delimiter);
        // Text at random is no Chinese, so its encoding could not be found. A mark can.
        options.encoding = (encoding == Encoding::Gb18030).then_some(encoding);
        if commas && delimiter == Delimiter::Comma {
            options.decimal_marks = vec![(None, DecimalMark::Comma)];
        }
        for column in &columns {
            // All but text is found. Text may look like anything, so it is asked for.
            if column.kind == ColumnType::Text {
                options.types.push((column.name.clone(), column.kind));
            }
            options.date_orders.extend(column.order.map(|order| (Some(column.name.clone()), order)));
        }
        let report = run(&options).unwrap();
        prop_assert_eq!((report.rows, report.rejected), (rows as u64, 0));
        prop_assert_eq!(report.encoding, encoding);

        let read = select(&shop.database(), "SELECT * FROM sales ORDER BY rowid");
        let written: Vec<Vec<Value>> = (0..rows)
            .map(|row| columns.iter().map(|column| column.cells[row].1.clone()).collect())
            .collect();
        prop_assert_eq!(read, written);
        for (column, (_, found)) in columns.iter().zip(&report.columns) {
            let holds_some = column.cells.iter().any(|(_, value)| *value != Value::Null);
            prop_assert!(!holds_some || column.kind == *found, "{} was found as {}", column.kind, found);
        }
    }
}
