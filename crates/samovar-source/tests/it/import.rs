//! The import through the library: what is in the file is in the table, or in the file of rejects.

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its ground has failed")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::Value;
use samovar_core::{Error, ErrorKind};
use samovar_source::import::{ColumnType, DateOrder, ImportOptions, ImportReport, import_csv};

mod key;
mod kill;
mod postgres;
mod round_trip;

/// A folder with a file to import and a database.
struct Shop {
    folder: tempfile::TempDir,
}

impl Shop {
    fn new() -> Shop {
        Shop { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn database(&self) -> Connection {
        Connection::open(self.path("shop.db")).unwrap()
    }

    fn options(&self, content: impl AsRef<[u8]>) -> ImportOptions {
        let file = self.path("sales.csv");
        std::fs::write(&file, content).unwrap();
        let mut options = ImportOptions::new(file, self.path("shop.db"), "sales");
        options.patience = Duration::ZERO;
        options
    }

    fn import(&self, content: impl AsRef<[u8]>) -> Result<ImportReport, Error> {
        run(&self.options(content))
    }

    /// The message of an import that must fail.
    fn failure(&self, content: impl AsRef<[u8]>) -> String {
        self.import(content).unwrap_err().to_string()
    }

    fn table(&self) -> Vec<Vec<Value>> {
        select(&self.database(), "SELECT * FROM sales ORDER BY rowid")
    }

    /// The rejected rows: line, reason, row.
    fn rejects(&self) -> Vec<(u64, String, String)> {
        let mut reader = csv::Reader::from_path(self.path("sales.rejects.csv")).unwrap();
        assert_eq!(reader.headers().unwrap(), vec!["line", "reason", "row"]);
        let rows = reader.records().map(Result::unwrap);
        rows.map(|row| (row[0].parse().unwrap(), row[1].to_owned(), row[2].to_owned())).collect()
    }
}

fn run(options: &ImportOptions) -> Result<ImportReport, Error> {
    import_csv(options, &mut |_| ())
}

fn select(database: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let mut statement = database.prepare(sql).unwrap();
    let width = statement.column_count();
    let rows = statement.query_map([], |row| (0..width).map(|column| row.get(column)).collect());
    rows.unwrap().map(Result::unwrap).collect()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn types_are_found_and_values_kept() {
    let shop = Shop::new();
    let report = shop
        .import(
            "\u{feff}id,code,day,us_day,sale,rate,name\n\
             1,0012,2016-01-31,01/31/2016,\"$1,234.56\",0.5,\"Anna \"\"A\"\"\"\n\
             2,12,2016-02-01,02/01/2016,-$5.00,3,\n\
             3,7,,2/1/2016,,,\"two\nlines\"\n",
        )
        .unwrap();
    let types: Vec<String> =
        report.columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
    let found = "id integer, code text, day date, us_day date, sale money, rate real, name text";
    assert_eq!(types.join(", "), found);
    assert_eq!((report.rows, report.rejected, report.rejects, report.created), (3, 0, None, true));
    assert_eq!(
        shop.table(),
        [
            vec![
                Value::Integer(1),
                text("0012"),
                text("2016-01-31"),
                text("2016-01-31"),
                Value::Real(1234.56),
                Value::Real(0.5),
                text("Anna \"A\""),
            ],
            vec![
                Value::Integer(2),
                text("12"),
                text("2016-02-01"),
                text("2016-02-01"),
                Value::Real(-5.0),
                Value::Real(3.0),
                Value::Null,
            ],
            vec![
                Value::Integer(3),
                text("7"),
                Value::Null,
                text("2016-02-01"),
                Value::Null,
                Value::Null,
                text("two\nlines"),
            ],
        ]
    );
    let declared = select(&shop.database(), "SELECT type FROM pragma_table_info('sales')");
    let declared: Vec<Value> = declared.into_iter().flatten().collect();
    assert_eq!(declared, ["INTEGER", "TEXT", "DATE", "DATE", "REAL", "REAL", "TEXT"].map(text));
    assert!(!shop.path("sales.rejects.csv").exists());
}

#[test]
fn what_is_asked_for_goes_before_what_is_found() {
    let shop = Shop::new();
    let mut options = shop.options("a,b=c,d\n0012,7,01/02/2016\n0013,8,02/03/2016\n");
    options.types = vec![("A".into(), ColumnType::Integer), ("b=c".into(), ColumnType::Text)];
    options.date_orders =
        vec![(None, DateOrder::MonthFirst), (Some("d".into()), DateOrder::DayFirst)];
    run(&options).unwrap();
    assert_eq!(
        shop.table(),
        [
            vec![Value::Integer(12), text("7"), text("2016-02-01")],
            vec![Value::Integer(13), text("8"), text("2016-03-02")],
        ]
    );
    options.types = vec![("nope".into(), ColumnType::Text)];
    let error = run(&options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("no column \"nope\""), "{error}");
}

#[test]
fn compressed_files_are_the_same() {
    let shop = Shop::new();
    let content = "a,b\n1,x\n2,y\n";
    let mut options = shop.options(zstd::encode_all(content.as_bytes(), 3).unwrap());
    let mut last = None;
    import_csv(&options, &mut |progress| last = Some(progress)).unwrap();
    let last = last.unwrap();
    assert_eq!((last.bytes, last.rows), (last.total_bytes, 2));
    assert_eq!(shop.table().len(), 2);

    let whole = zstd::encode_all("a,b\n1,x\n".repeat(5000).as_bytes(), 3).unwrap();
    options = shop.options(&whole[..whole.len() - 5]);
    options.table = "cut".into();
    let error = run(&options).unwrap_err();
    assert!(error.to_string().contains("cannot read"), "{error}");
    assert_eq!(select(&shop.database(), "SELECT name FROM sqlite_schema"), [[text("sales")]]);
}

#[test]
fn what_cannot_be_read_is_kept_with_its_line_and_reason() {
    let shop = Shop::new();
    let mut content = b"day,sale,name\n".to_vec();
    for day in 10..30 {
        writeln!(content, "2016-01-{day},{day}.5,x").unwrap();
    }
    content.extend(b"2016-02-30,1.5,bad day\n"); // 22
    content.extend(b"2016-01-31,oops,bad sale\n");
    content.extend(b"2016-01-31,1.5\n"); // 24
    content.extend(b"2016-01-31,1.5,a,b\n");
    content.extend(b"2016-01-31,1.5,caf\xe9\n"); // 26
    content.extend(b"2016-01-31,1.5,\"two\nlines\"\n\n"); // 27, 28, 29
    content.extend(b"2016-01-31,1.5,\"open\n"); // 30
    content.extend(b"2016-01-31,2.5,last\n");
    let report = shop.import(content).unwrap();
    assert_eq!((report.rows, report.rejected), (22, 6));
    assert_eq!(report.rejects, Some(shop.path("sales.rejects.csv")));
    let rejects = shop.rejects();
    let expected = [
        (22, "column \"day\": `2016-02-30` is not of type date", "2016-02-30,1.5,bad day"),
        (23, "column \"sale\": `oops` is not of type real", "2016-01-31,oops,bad sale"),
        (24, "the row has 2 fields, the header 3", "2016-01-31,1.5"),
        (25, "the row has 4 fields, the header 3", "2016-01-31,1.5,a,b"),
        (26, "byte 19 of the row is not valid UTF-8", "2016-01-31,1.5,caf\\xE9"),
        (30, "a quote is opened and not closed", "2016-01-31,1.5,\"open"),
    ];
    let expected = expected.map(|(line, reason, row)| (line, reason.to_owned(), row.to_owned()));
    assert_eq!(rejects, expected);
    let last = shop.table().pop().unwrap();
    assert_eq!(last, [text("2016-01-31"), Value::Real(2.5), text("last")]);
}

#[test]
fn too_many_rejects_leave_everything_as_it_was() {
    let shop = Shop::new();
    shop.import("a,b\n1,x\n").unwrap();
    let bad = "a,b\n2,x\n3,y,z\n4\n5,x\n";
    let mut options = shop.options(bad);
    options.max_rejects = 1;
    let message = run(&options).unwrap_err().to_string();
    assert!(
        message.contains("stopped at line 4") && message.contains("line 3: the row has 3"),
        "{message}"
    );
    assert_eq!(shop.rejects().len(), 2);
    assert_eq!(shop.table(), [[Value::Integer(1), text("x")]]);

    // Values are judged in the second pass, when rows have been written already.
    let mut options = shop.options("a,b\n2,x\n3,y\nz,z\n");
    options.types = vec![("a".into(), ColumnType::Integer)];
    options.max_rejects = 0;
    run(&options).unwrap_err();
    assert_eq!(shop.table().len(), 1);
    options.table = "fresh".into();
    run(&options).unwrap_err();
    assert_eq!(select(&shop.database(), "SELECT name FROM sqlite_schema"), [[text("sales")]]);

    options.max_rejects = 1;
    assert_eq!(run(&options).unwrap().rows, 2);
    assert_eq!(shop.rejects().len(), 1, "the file of rejects tells of the last import");
}

#[test]
fn rows_are_appended_by_the_names_of_their_columns() {
    let shop = Shop::new();
    let sql = "CREATE TABLE sales (Day DATE, sale REAL, code TEXT, n BIGINT, twice AS (n * 2))";
    shop.database().execute(sql, ()).unwrap();
    shop.import("n,code,day,sale\n1,007,01/31/2016,$2.00\n2,8,02/01/2016,3\n").unwrap();
    let row = |day: &str, sale, code: &str, n| {
        vec![text(day), Value::Real(sale), text(code), Value::Integer(n), Value::Integer(n * 2)]
    };
    let rows = [row("2016-01-31", 2.0, "007", 1), row("2016-02-01", 3.0, "8", 2)];
    assert_eq!(shop.table(), rows);

    let message = shop.failure("n,code,day,extra\n1,x,2016-01-31,\n");
    assert!(message.contains("the table has no column \"extra\""), "{message}");
    assert!(message.contains("the file has no column \"sale\""), "{message}");

    let message = shop.failure("n,code,day,sale\n1.5,x,hello,$1\n");
    assert!(
        message.contains("column \"n\": the table declares it BIGINT, but 1 of 1"),
        "{message}"
    );
    assert!(message.contains("column \"day\": the table declares it DATE"), "{message}");
    assert!(message.contains("line 2: `hello`"), "{message}");

    let mut options = shop.options("n,code,day,sale\n1,x,2016-01-31,1\n");
    options.types = vec![("sale".into(), ColumnType::Date)];
    let message = run(&options).unwrap_err().to_string();
    assert!(message.contains("declares it REAL, so it cannot be read as date"), "{message}");
    assert_eq!(shop.table(), rows);
}

#[test]
fn an_identifier_is_not_made_a_number_to_fit_a_table() {
    let shop = Shop::new();
    shop.import("id\n1\n2\n").unwrap();
    let message = shop.failure("id\n3\n0012\n");
    assert!(message.contains("line 3: `0012`"), "{message}");
    assert_eq!(shop.table().len(), 2);
}

#[test]
fn a_row_that_the_table_refuses_is_a_reject() {
    let shop = Shop::new();
    shop.database()
        .execute_batch(
            "CREATE TABLE sales (id INTEGER PRIMARY KEY, name TEXT NOT NULL, tag TEXT UNIQUE ON CONFLICT IGNORE)",
        )
        .unwrap();
    let report = shop.import("id,name,tag\n1,a,x\n1,b,y\n3,,z\n4,d,x\n5,e,w\n").unwrap();
    assert_eq!((report.rows, report.rejected), (2, 3));
    let reasons: Vec<(u64, bool)> =
        shop.rejects().iter().map(|(line, why, _)| (*line, why.contains("table"))).collect();
    assert_eq!(reasons, [(3, true), (4, true), (5, true)]);
    assert_eq!(shop.table().len(), 2);
}

#[test]
fn a_rule_that_ends_the_transaction_ends_the_import() {
    let shop = Shop::new();
    let sql = "CREATE TABLE sales (id INTEGER UNIQUE ON CONFLICT ROLLBACK)";
    shop.database().execute(sql, ()).unwrap();
    let error = shop.import("id\n1\n1\n2\n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(shop.table().is_empty());
}

#[test]
fn an_order_of_dates_that_nothing_proves_is_asked_for() {
    let shop = Shop::new();
    let content = "sold,billed,n\n01/02/2016,01/31/2016,1\n03/04/2016,31/01/2016,2\n";
    let message = shop.failure(content);
    assert!(message.contains("--date-order sold=mdy"), "{message}");
    assert!(message.contains("line 2: `01/02/2016`"), "{message}");
    assert!(message.contains("--date-order billed=mdy"), "{message}");
    assert!(!shop.path("shop.db").exists(), "no database is made for nothing");

    let mut options = shop.options(content);
    options.date_orders = vec![(None, DateOrder::MonthFirst)];
    assert_eq!(run(&options).unwrap().rejected, 1);
    assert_eq!(shop.table(), [[text("2016-01-02"), text("2016-01-31"), Value::Integer(1)]]);
    assert!(shop.rejects()[0].1.contains("`31/01/2016` is not of type date (mdy)"));
}

#[test]
fn a_column_that_is_almost_a_number_is_reported() {
    let shop = Shop::new();
    let report = shop.import("zip\n50613\n52240\n0501\n").unwrap();
    assert_eq!(report.columns, [("zip".to_owned(), ColumnType::Text)]);
    let [note] = report.notes.as_slice() else { panic!("{:?}", report.notes) };
    assert!(
        note.contains("1 of 3 values are not of type integer, the first on line 4: `0501`"),
        "{note}"
    );
}

#[test]
fn wrong_files_are_told_by_their_mistake() {
    let shop = Shop::new();
    let cases: [(&[u8], &str); 14] = [
        (b"", "is empty"),
        (b"\xff\xfe\x3d\xd8,\0b\0", "not UTF-16LE text"),
        (b"\x1f\x8b\x08\0", "cannot read"),
        (b"PK\x03\x04rest", "spreadsheet"),
        (b"SQLite format 3\0", "SQLite database"),
        (b"caf\xe9,b\n1,2\n", "not UTF-8"),
        (b"a,\0b\n1,2\n", "control characters"),
        (b"a,b,a\n1,2,3\n", "columns 1 and 3 are both named \"a\""),
        (b"a,,c\n1,2,3\n", "column 2 has no name"),
        (b"2016-01-31,7,1.5\n2016-02-01,8,2.5\n", "seems to be a row of data"),
        (b"2016-01-31,Anna,7\n2016-02-01,Bob,8\n", "\"2016-01-31\" reads as a value of its column"),
        (b"a;b\n1\n2\n", "separated by comma, and \"a;b\" holds none"),
        (b"\"a,b\n1,2\n", "a quote is opened and not closed"),
        (b"\x28\xb5\x2f\xfd rubbish", "cannot read"),
    ];
    for (content, expected) in cases {
        let message = shop.failure(content);
        assert!(message.contains(expected), "{expected}: {message}");
        assert!(!shop.path("shop.db").exists());
    }
    let mut options = shop.options("a\nx\n");
    options.file = shop.path("missing.csv");
    assert!(run(&options).unwrap_err().to_string().contains("missing.csv"));
    options.file = shop.folder.path().to_owned();
    assert!(run(&options).unwrap_err().to_string().contains("is a folder"));
}

#[test]
fn a_table_of_years_is_no_row_of_data() {
    let shop = Shop::new();
    let report = shop.import("product,2019,2020\ntea,1,2\n").unwrap();
    assert_eq!(report.rows, 1);
}

#[test]
fn a_database_that_is_held_is_named() {
    let shop = Shop::new();
    shop.import("a\n1\n").unwrap();
    let writer = shop.database();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = shop.import("a\n2\n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Held);
    assert!(error.to_string().contains("in use by another program"), "{error}");
    writer.execute_batch("COMMIT").unwrap();
    shop.import("a\n2\n").unwrap();
    assert_eq!(shop.table().len(), 2);
}

#[test]
fn a_reader_at_the_commit_does_not_leave_half_an_import() {
    let shop = Shop::new();
    shop.import("a\n1\n").unwrap();
    let reader = shop.database();
    reader.execute_batch("BEGIN; SELECT * FROM sales").unwrap();
    assert_eq!(reader.query_row("SELECT count(*) FROM sales", [], |row| row.get(0)), Ok(1));
    assert_eq!(shop.import("a\n2\n").unwrap_err().kind(), ErrorKind::Held);
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(shop.table().len(), 1);
}

#[test]
fn names_may_be_anything() {
    let shop = Shop::new();
    let mut options = shop.options("门店ID,\"a \"\"b\"\"\",select,'); DROP\n1,2,3,4\n");
    options.table = "订单 \"x\"; --".into();
    run(&options).unwrap();
    let sql = r#"SELECT "门店ID", "a ""b""", "select", "'); DROP" FROM "订单 ""x""; --""#;
    assert_eq!(select(&shop.database(), sql), [[1, 2, 3, 4].map(Value::Integer)]);
    run(&options).unwrap();
    assert_eq!(select(&shop.database(), sql).len(), 2);
}

#[test]
fn targets_that_cannot_be() {
    let shop = Shop::new();
    let with = |change: &dyn Fn(&mut ImportOptions)| {
        let mut options = shop.options("a\n1\n2,3\n");
        change(&mut options);
        run(&options).unwrap_err().to_string()
    };
    assert!(with(&|options| options.table = String::new()).contains("name of the table"));
    assert!(
        with(&|options| options.database = shop.path("no/shop.db").into()).contains("no folder")
    );
    let precious = shop.path("precious.txt");
    std::fs::write(&precious, "mine").unwrap();
    let message = with(&|options| options.rejects = Some(precious.clone()));
    assert!(message.contains("not a file of rejected rows"), "{message}");
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "mine");
    let message = with(&|options| options.rejects = Some(options.file.clone()));
    assert!(message.contains("cannot take the rejected rows"), "{message}");
    let message = with(&|options| options.database = precious.clone().into());
    assert!(message.contains("not a SQLite database"), "{message}");

    shop.database().execute("CREATE VIEW sales AS SELECT 1 AS a", ()).unwrap();
    assert!(with(&|_| ()).contains("is a view"));
}

/// The whole content of a table, to compare before and after.
fn fingerprint(database: &Path) -> (i64, i64, String) {
    let database = Connection::open(database).unwrap();
    let sql = "SELECT count(*), coalesce(sum(id), 0) FROM sales";
    let (rows, sum) = database.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let health = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    (rows, sum, health)
}
