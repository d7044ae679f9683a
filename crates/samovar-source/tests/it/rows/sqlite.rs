//! SQLite keeps the contract of rows by key, and what is its own.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use samovar_core::Fate;
use samovar_source::SourceErrorKind;
use samovar_source::rows::{RowDatabase, RowOptions, WriteSql};
use samovar_testkit::rows::{Place, suite};
use serde_json::json;

use super::{anything_comes_back, block_on, fate, loader, one, put};
use super::{
    no_more_rows_are_read_than_a_key_may_have, rows_keep_their_order_however_a_query_ends,
};

struct File {
    directory: tempfile::TempDir,
}

impl File {
    fn new() -> File {
        let file = File { directory: tempfile::tempdir().unwrap() };
        // Readers and writers do not wait for each other.
        file.connection().pragma_update(None, "journal_mode", "wal").unwrap();
        file
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("shop.sqlite")
    }

    fn connection(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.busy_timeout(Duration::from_secs(20)).unwrap();
        connection
    }
}

impl Place for File {
    fn open(&self, options: RowOptions) -> RowDatabase {
        RowDatabase::sqlite(&self.path(), options).unwrap()
    }

    fn run(&self, script: &str) -> String {
        let connection = self.connection();
        if !script.starts_with("SELECT") {
            connection.execute_batch(script).unwrap();
            return String::new();
        }
        let mut statement = connection.prepare(script).unwrap();
        let columns = statement.column_count();
        let text = |value: ValueRef<'_>| match value {
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            other => format!("{other:?}"),
        };
        let line = |row: &rusqlite::Row<'_>| {
            let values: Vec<String> = (0..columns).map(|at| text(row.get_ref_unwrap(at))).collect();
            Ok(values.join("|"))
        };
        let lines: Vec<String> =
            statement.query_map([], line).unwrap().map(Result::unwrap).collect();
        lines.join("\n")
    }

    fn slow(&self) -> &'static str {
        "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n)"
    }
}

#[test]
fn sqlite_keeps_the_contract_of_rows() {
    suite(File::new);
}

#[test]
fn anything_comes_back_from_sqlite() {
    anything_comes_back(&File::new());
}

#[test]
fn sqlite_reads_no_more_rows_than_a_key_may_have() {
    no_more_rows_are_read_than_a_key_may_have(&File::new());
}

#[test]
fn sqlite_keeps_the_order_of_rows() {
    rows_keep_their_order_however_a_query_ends(&File::new());
}

#[test]
fn sqlite_tells_values_that_json_has_no_form_for() {
    let file = File::new();
    file.run(
        "CREATE TABLE things (k TEXT, v BLOB, b BOOLEAN, j JSON);
         INSERT INTO things VALUES ('blob', x'00ff', 1, '1'), ('bool', NULL, 2, '1'), ('json', NULL, 1, '{'),
             ('real', 9e999, 1, '1'), ('text', CAST(x'ff' AS TEXT), 1, '1');",
    );
    let things = loader(&file.open(RowOptions::default()), "SELECT * FROM things WHERE k = :key");
    for (key, what) in [
        ("blob", "column v (BLOB) holds a blob of 2 bytes"),
        ("bool", "column b (BOOLEAN) holds the integer 2"),
        ("json", "column j (JSON) holds JSON that is none"),
        ("real", "column v (BLOB) holds the number inf"),
        ("text", "column v (BLOB) holds the text"),
    ] {
        let wrong = block_on(things.load_one(key)).unwrap_err();
        assert_eq!(wrong.kind(), SourceErrorKind::Value);
        let text = wrong.to_string();
        assert!(text.contains(what) && text.contains(&format!("key {key:?}")), "{text}");
    }
}

#[test]
fn sqlite_takes_no_other_parameters() {
    let file = File::new();
    file.run("CREATE TABLE things (k TEXT)");
    let database = file.open(RowOptions::default());
    for sql in ["SELECT * FROM things WHERE k = ?", "SELECT * FROM things WHERE k = @key"] {
        let load = samovar_source::rows::LoadSql::new(sql, Default::default());
        let wrong = database.loader("things", &load).unwrap_err();
        assert!(wrong.to_string().contains(":key and not ?"), "{wrong}");
    }
}

#[test]
fn a_key_of_another_form_is_told_which_it_should_have() {
    let file = File::new();
    file.run("CREATE TABLE things (a TEXT, b TEXT)");
    let key = Some("{a}@{b:integer}".into());
    let write = WriteSql { key, ..WriteSql::new("INSERT INTO things VALUES (:a, :b)") };
    let things = file.open(RowOptions::default()).writer("things", &write).unwrap();
    let (found, text) = fate(&things, put(1, "x", json!({}))).unwrap();
    assert_eq!(found, Fate::Refused);
    assert!(text.contains("as write.key says: {a}@{b:integer}"), "{text}");
}

#[test]
fn another_writer_is_waited_for_in_time() {
    let file = File::new();
    file.run("CREATE TABLE things (k TEXT PRIMARY KEY, v TEXT)");
    let options = RowOptions { write_deadline: Duration::from_secs(1), ..RowOptions::default() };
    let sql = "INSERT INTO things VALUES (:key, :v)";
    let [things, patient] = [options, RowOptions::default()]
        .map(|options| file.open(options).writer("things", &WriteSql::new(sql)).unwrap());
    let other = file.connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (found, text) = fate(&things, put(1, "a", json!({"v": "x"}))).unwrap();
    assert!(found == Fate::NotWritten && text.contains("locked"), "{text}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(fate(&patient, put(1, "a", json!({"v": "x"}))), None);
    assert_eq!(file.run("SELECT * FROM things"), "a|x");
}

#[test]
fn the_time_spent_waiting_for_a_connection_counts() {
    let file = File::new();
    file.run("CREATE TABLE things (k TEXT PRIMARY KEY, v TEXT)");
    let write_deadline = Duration::from_secs(8);
    let options = RowOptions { connections: 1, write_deadline, ..RowOptions::default() };
    let sql = "INSERT INTO things VALUES (:key, :v)";
    let things = file.open(options).writer("things", &WriteSql::new(sql)).unwrap();
    let other = file.connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // All begin now. One after the other waits a quarter of the deadline for the lock, so the last has it too late.
    let writes: Vec<_> = (1..=4).map(|n| put(n, &n.to_string(), json!({"v": "x"}))).collect();
    let call = |write| samovar_core::Writer::write(&things, std::slice::from_ref(write));
    let mut calls: Vec<_> = writes.iter().map(call).collect();
    let last = calls.pop().unwrap();
    for call in calls {
        assert_eq!(block_on(call)[0].as_ref().unwrap_err().fate, Fate::NotWritten);
    }
    other.execute_batch("ROLLBACK").unwrap();
    let outcomes = block_on(last);
    let wrong = outcomes[0].as_ref().unwrap_err();
    assert_eq!(wrong.fate, Fate::NotWritten);
    assert!(wrong.to_string().contains("half of write_deadline"), "{wrong}");
    assert_eq!(file.run("SELECT * FROM things"), "");
}

#[test]
fn a_conflict_that_rolls_back_takes_no_others_along() {
    let file = File::new();
    file.run("CREATE TABLE things (k TEXT PRIMARY KEY, v TEXT UNIQUE ON CONFLICT ROLLBACK)");
    let sql = "INSERT INTO things VALUES (:key, :v)";
    let things = file.open(RowOptions::default()).writer("things", &WriteSql::new(sql)).unwrap();
    let writes = [("a", "x"), ("b", "x"), ("c", "y")];
    let writes: Vec<_> =
        (1..).zip(writes).map(|(number, (k, v))| put(number, k, json!({"v": v}))).collect();
    let outcomes = block_on(samovar_core::Writer::write(&things, &writes));
    let fates: Vec<Option<Fate>> =
        outcomes.into_iter().map(|outcome| outcome.err().map(|wrong| wrong.fate)).collect();
    assert_eq!(fates, [None, Some(Fate::Refused), None]);
    assert_eq!(file.run("SELECT * FROM things"), "a|x\nc|y");
}

#[test]
fn a_file_that_takes_the_place_is_read_and_written() {
    let (file, other) = (File::new(), File::new());
    for (file, v) in [(&file, "old"), (&other, "new")] {
        file.run("PRAGMA journal_mode = DELETE; CREATE TABLE things (k TEXT PRIMARY KEY, v TEXT)");
        file.run(&format!("INSERT INTO things VALUES ('a', '{v}')"));
    }
    let database = file.open(RowOptions { connections: 1, ..RowOptions::default() });
    let read = loader(&database, "SELECT v FROM things WHERE k = :key");
    let sql = "INSERT INTO things VALUES (:key, :v)";
    let write =
        database.writer("things", &WriteSql { remember: false, ..WriteSql::new(sql) }).unwrap();
    assert_eq!(one(&read, "a"), Some(json!({"v": "old"})));
    std::fs::rename(other.path(), file.path()).unwrap();
    assert_eq!(one(&read, "a"), Some(json!({"v": "new"})));
    assert_eq!(fate(&write, put(1, "b", json!({"v": "written"}))), None);
    assert_eq!(file.run("SELECT * FROM things"), "a|new\nb|written");
    // While there is none the last one is read, and nothing is lost by being written to it.
    std::fs::rename(file.path(), other.path()).unwrap();
    assert_eq!(one(&read, "b"), Some(json!({"v": "written"})));
    let (found, text) = fate(&write, put(2, "c", json!({"v": "x"}))).unwrap();
    assert!(found == Fate::NotWritten && text.contains("cannot open"), "{text}");
    std::fs::rename(other.path(), file.path()).unwrap();
    assert_eq!(fate(&write, put(2, "c", json!({"v": "x"}))), None);
    let gone = RowDatabase::sqlite(&other.path(), RowOptions::default()).unwrap_err();
    assert_eq!(gone.kind(), SourceErrorKind::Unreachable);
}

#[test]
fn what_changes_in_the_schema_is_followed() {
    let file = File::new();
    file.run("CREATE TABLE things (k TEXT, v INTEGER); INSERT INTO things VALUES ('a', 7);");
    let database = file.open(RowOptions { connections: 1, ..RowOptions::default() });
    let things = loader(&database, "SELECT * FROM things WHERE k = :key");
    assert_eq!(one(&things, "a"), Some(json!({"k": "a", "v": 7})));
    file.run("ALTER TABLE things ADD COLUMN w BOOLEAN DEFAULT 1");
    assert_eq!(one(&things, "a"), Some(json!({"k": "a", "v": 7, "w": true})));
    file.run("DROP TABLE things");
    for _ in 0..2 {
        // It is no fault of one key.
        let wrong = block_on(things.load(&["a".into(), "b".into()])).unwrap_err();
        assert_eq!(wrong.kind(), SourceErrorKind::Failed);
        assert!(wrong.to_string().contains("no such table: things"), "{wrong}");
    }
    file.run("CREATE TABLE things (u TEXT, k TEXT); INSERT INTO things VALUES ('new', 'a');");
    assert_eq!(one(&things, "a"), Some(json!({"u": "new", "k": "a"})));
}

#[test]
fn a_file_that_cannot_be_written_is_told() {
    let file = File::new();
    file.run("PRAGMA journal_mode = DELETE; CREATE TABLE things (k TEXT PRIMARY KEY)");
    file.run("CREATE VIEW samovar_writes AS SELECT 1 AS node");
    let write = WriteSql::new("INSERT INTO things VALUES (:key)");
    let wrong = file.open(RowOptions::default()).writer("things", &write).unwrap_err().to_string();
    for word in ["caches.things.write: ", "samovar_writes", "remember = false"] {
        assert!(wrong.contains(word), "{wrong}");
    }
}
