//! What is written to a file is what the table holds, for generated tables.

use csv::QuoteStyle;
use proptest::prelude::*;
use rusqlite::types::Value;
use samovar_core::Day;
use samovar_source::import::{ColumnType, DateOrder, Delimiter};

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
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_table_comes_back_as_it_was_written(columns in table(), compress: bool, always_quote: bool) {
        // A lone name with a semicolon in it is taken for a wrong delimiter unless it is quoted.
        let quotes = if always_quote || columns.len() == 1 { QuoteStyle::Always } else { QuoteStyle::Necessary };
        let mut writer = csv::WriterBuilder::new().quote_style(quotes).from_writer(Vec::new());
        writer.write_record(columns.iter().map(|column| &column.name)).unwrap();
        let rows = columns[0].cells.len();
        for row in 0..rows {
            writer.write_record(columns.iter().map(|column| &column.cells[row].0)).unwrap();
        }
        let mut content = writer.into_inner().unwrap();
        if compress {
            content = zstd::encode_all(content.as_slice(), 1).unwrap();
        }

        let shop = Shop::new();
        let mut options = shop.options(content);
        options.delimiter = Some(Delimiter::Comma);
        for column in &columns {
            // All but text is found. Text may look like anything, so it is asked for.
            if column.kind == ColumnType::Text {
                options.types.push((column.name.clone(), column.kind));
            }
            options.date_orders.extend(column.order.map(|order| (Some(column.name.clone()), order)));
        }
        let report = run(&options).unwrap();
        prop_assert_eq!((report.rows, report.rejected), (rows as u64, 0));

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
