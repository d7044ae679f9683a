//! `samovar import`, as it is typed.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rusqlite::types::Value;
use samovar_testkit::postgres;
use serde_json::json;

use crate::server::{Ended, open, poll, run, samovar};

/// A folder with files to import and a database.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file and imports it into the table `sales` of `shop.db`.
    fn import(&self, name: &str, content: impl AsRef<[u8]>, more: &[&str]) -> Ended {
        fs::write(self.path(name), content).unwrap();
        self.run("sales", name, more)
    }

    fn run(&self, table: &str, name: &str, more: &[&str]) -> Ended {
        let (file, database) = (self.path(name), self.path("shop.db"));
        let (file, database) = (file.to_str().unwrap(), database.to_str().unwrap());
        run(&[&["import", file, "--database", database, "--table", table], more].concat())
    }

    fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        let database = open(&self.path("shop.db"));
        let mut statement = database.prepare(sql).unwrap();
        let width = statement.column_count();
        let rows = statement.query_map([], |row| (0..width).map(|at| row.get(at)).collect());
        rows.unwrap().map(Result::unwrap).collect()
    }

    fn sales(&self) -> Vec<Vec<Value>> {
        self.rows("SELECT * FROM sales ORDER BY rowid")
    }

    fn names(&self) -> Vec<String> {
        let files = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn done(ended: &Ended) -> serde_json::Value {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}

fn failed<'a>(ended: &'a Ended, words: &[&str]) -> &'a str {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for word in words {
        assert!(ended.err.contains(word), "{word} is not in {}", ended.err);
    }
    &ended.err
}

fn gb18030(text: &str) -> Vec<u8> {
    encoding_rs::GB18030.encode(text).0.into_owned()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const CHINESE: &str = "门店ID,门店,日期,销售额\n\
                       1,人民广场店,2016年1月31日,\"¥1,234.56\"\n\
                       2,南京路店,2016年2月1日,￥88\n\
                       3,𠮷野家,2016/2/1,(12.00)\n";

fn chinese() -> Vec<Vec<Value>> {
    let row =
        |id, name, day, sale| vec![Value::Integer(id), text(name), text(day), Value::Real(sale)];
    vec![
        row(1, "人民广场店", "2016-01-31", 1234.56),
        row(2, "南京路店", "2016-02-01", 88.0),
        row(3, "𠮷野家", "2016-02-01", -12.0),
    ]
}

#[test]
fn a_chinese_export_is_read_in_every_encoding_and_compression() {
    let utf16 = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        format!("\u{feff}{CHINESE}").encode_utf16().flat_map(unit).collect()
    };
    // Compressed in two parts and joined, as log rotation does.
    let (half, rest) = CHINESE.split_at(CHINESE.find('3').unwrap());
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("a.csv", CHINESE.into(), "utf-8"),
        ("b.csv", format!("\u{feff}{CHINESE}").into(), "utf-8"),
        ("c.csv", gb18030(CHINESE), "gb18030"),
        ("d.csv.gz", gzip(&gb18030(CHINESE)), "gb18030"),
        ("e.csv.zst", zstd::encode_all(&*gb18030(CHINESE), 1).unwrap(), "gb18030"),
        ("f.csv", [gzip(half.as_bytes()), gzip(rest.as_bytes())].concat(), "utf-8"),
        ("g.csv", utf16(u16::to_le_bytes), "utf-16le"),
        ("h.csv", utf16(u16::to_be_bytes), "utf-16be"),
    ];
    for (name, content, encoding) in cases {
        let folder = Folder::new();
        let report = done(&folder.import(name, content, &["--json"]));
        assert_eq!(report["encoding"], encoding, "{name}");
        assert_eq!((&report["rows"], &report["rejected"]), (&json!(3), &json!(0)), "{name}");
        assert_eq!(folder.sales(), chinese(), "{name}");
        let columns = folder.rows("SELECT name FROM pragma_table_info('sales')").concat();
        assert_eq!(columns, ["门店ID", "门店", "日期", "销售额"].map(text));
    }
}

#[test]
fn bytes_that_are_no_text_cost_their_row_and_are_shown() {
    let folder = Folder::new();
    let mut content = gb18030(CHINESE);
    content.extend(gb18030("4,虹桥"));
    content.extend(b"\xff,2016/2/1,5\n5,x,2016/2/2,6\n");
    let report = done(&folder.import("sales.csv", content, &["--json"]));
    assert_eq!((&report["rows"], &report["rejected"]), (&json!(4), &json!(1)));
    let rejects = fs::read_to_string(folder.path("sales.rejects.csv")).unwrap();
    let expected =
        "line,reason,row\n5,byte 7 of the row is not valid GB18030,\"4,虹桥\\xFF,2016/2/1,5\"\n";
    assert_eq!(rejects, expected);
}

#[test]
fn the_encoding_may_be_told() {
    let folder = Folder::new();
    // Two bytes that are a character of both; nothing shows that they were meant as Chinese.
    let content = b"name\n\xc4\xa3\n";
    assert_eq!(done(&folder.import("a.csv", content, &["--json"]))["encoding"], "utf-8");
    assert_eq!(done(&folder.import("b.csv", content, &["--encoding", "gbk", "--json"]))["rows"], 1);
    assert_eq!(folder.sales(), [[text("ģ")], [text("模")]]);
    let ended = folder.import("c.csv", content, &["--encoding", "latin-1"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("utf-8, gb18030"), "{}", ended.err);
    let told = ["--encoding", "gb18030"];
    failed(&folder.import("d.csv", b"na\xffme\n", &told), &["not GB18030 text"]);

    // Two characters are as likely Korean, and it asks.
    let short = gb18030("门店\n1\n");
    fs::write(folder.path("e.csv"), short).unwrap();
    failed(&folder.run("e", "e.csv", &[]), &["looks more like EUC-KR", "--encoding gb18030"]);
    assert_eq!(done(&folder.run("e", "e.csv", &[&told[..], &["--json"]].concat()))["rows"], 1);
}

#[test]
fn standard_input_is_read_like_a_file() {
    for content in [CHINESE.as_bytes().to_vec(), gzip(&gb18030(CHINESE))] {
        let folder = Folder::new();
        let database = folder.path("shop.db");
        let database = database.to_str().unwrap();
        let mut child =
            samovar(&["import", "-", "--database", database, "--table", "sales", "--json"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&content).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(folder.sales(), chinese());
        assert_eq!(folder.names(), ["shop.db"], "nothing else is left");
    }
}

#[test]
fn rejects_of_standard_input_have_a_file_too() {
    let folder = Folder::new();
    let database = folder.path("shop.db");
    let mut child =
        samovar(&["import", "-", "--database", database.to_str().unwrap(), "--table", "sales"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
    child.stdin.take().unwrap().write_all(b"a,b\n1,2\n3\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(folder.names(), ["shop.db", "stdin.rejects.csv"]);
}

#[test]
fn a_dry_run_tells_what_and_why_and_writes_nothing() {
    let folder = Folder::new();
    let content = "门店编号;售出日期;销售额;商品编码\n1;31.01.2016;1.234,50 €;007\n2;01.02.2016;12,00 €;8\nx\n";
    let ended = folder.import("sales.csv", gb18030(content), &["--dry-run"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for line in [
        "encoding gb18030, fields separated by semicolon, 3 rows looked at, 1 of them no rows",
        "line 4: the row has 1 fields, the header 4",
        "new table sales:",
        "门店编号: integer (all 2 values are)",
        "such as 1 | 2",
        "售出日期: date (all 2 values are; dmy, as shown by line 2: `31.01.2016`)",
        "销售额: money (all 2 values are; decimal comma, as shown by line 2: `1.234,50 €`)",
        "商品编码: text (not all are numbers or dates, the first on line 2: `007`)",
        "such as 007 | 8",
        "nothing was written",
    ] {
        assert!(ended.out.contains(line), "{line} is not in\n{}", ended.out);
    }
    assert_eq!(folder.names(), ["sales.csv"]);

    // What must be asked for is told among the rest.
    let content = "店,sold\n1,01/02/2016\n";
    let ended = folder.import("sales.csv", content, &["--dry-run", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(told["columns"][0]["type"], "integer");
    assert_eq!(told["columns"][1]["type"], json!(null));
    failed(&ended, &["--date-order sold=mdy"]);
    let told =
        done(&folder.run("sales", "sales.csv", &["--dry-run", "--json", "--date-order", "mdy"]));
    assert_eq!(told["columns"][1]["why"], "its one value is; mdy, as asked for");
    assert_eq!(folder.names(), ["sales.csv"]);
}

#[test]
fn a_dry_run_leaves_a_table_as_it_is() {
    let folder = Folder::new();
    done(&folder.import("sales.csv", "id,sale\n1,5.5\n", &["--json"]));
    let before = fs::read(folder.path("shop.db")).unwrap();
    let told = done(&folder.import("sales.csv", "id,sale\n2,5\n", &["--dry-run", "--json"]));
    assert_eq!(told["creates"], false);
    assert_eq!(told["columns"][1]["why"], "the table declares it REAL; its one value is");
    assert_eq!(fs::read(folder.path("shop.db")).unwrap(), before);
    failed(
        &folder.import("sales.csv", "id,other\n2,5\n", &["--dry-run"]),
        &["no column \"other\""],
    );
}

#[test]
fn with_a_key_a_second_import_adds_nothing() {
    let folder = Folder::new();
    let content = "store_id,date,sale\n1,2016-01-31,5.5\n1,2016-02-01,6\n2,2016-01-31,\n";
    let key = ["--key", "store_id,date", "--json"];
    let first = done(&folder.import("sales.csv", content, &key));
    assert_eq!((&first["rows"], &first["already_there"]), (&json!(3), &json!(0)));
    let before = folder.sales();
    let second = done(&folder.import("sales.csv", content, &key));
    assert_eq!((&second["rows"], &second["already_there"]), (&json!(0), &json!(3)));
    assert_eq!(second["rejected"], 0);
    assert_eq!(folder.sales(), before);

    // New rows come in; the same key with other values is told with its line, wherever the first one is from.
    let more = "store_id,date,sale\n1,2016-01-31,5.5\n3,2016-01-31,1\n3,2016-01-31,2\n1,2016-02-01,7\n\
                3,2016-01-31,1\n";
    let third = done(&folder.import("sales.csv", more, &key));
    assert_eq!((&third["rows"], &third["already_there"]), (&json!(1), &json!(2)));
    assert_eq!(third["rejected"], 2);
    let rejects = fs::read_to_string(folder.path("sales.rejects.csv")).unwrap();
    let reason =
        "\"a row with the same key (store_id, date) is there already, with other values in: sale\"";
    let expected =
        format!("line,reason,row\n4,{reason},\"3,2016-01-31,2\"\n5,{reason},\"1,2016-02-01,7\"\n");
    assert_eq!(rejects, expected);
    assert_eq!(folder.sales().len(), 4);

    let ended = folder.run("sales", "sales.csv", &["--key", "store_id, date"]);
    assert!(ended.out.contains("0 rows imported, 3 already there, 2 rejected"), "{}", ended.out);
    let ended = folder.import("sales.csv", content, &["--key", "store"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("no column \"store\""), "{}", ended.err);
}

#[test]
fn indexes_are_made_on_request_and_once() {
    let folder = Folder::new();
    let content = "store_id,date,sale\n1,2016-01-31,5.5\n";
    let wanted = ["--index", "store_id,date", "--index", "sale", "--json"];
    done(&folder.import("sales.csv", content, &wanted));
    done(&folder.import("sales.csv", content, &wanted));
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'index' ORDER BY name";
    let indexes = ["sales_sale_idx", "sales_store_id_date_idx"].map(text);
    assert_eq!(folder.rows(sql).concat(), indexes);
    let plan =
        folder.rows("EXPLAIN QUERY PLAN SELECT * FROM sales WHERE store_id = 1 AND date = ''");
    assert!(format!("{plan:?}").contains("sales_store_id_date_idx"), "{plan:?}");
    // One that begins with the columns asked for serves as well.
    done(&folder.import("sales.csv", content, &["--index", "store_id", "--json"]));
    assert_eq!(folder.rows(sql).concat(), indexes);
}

#[test]
fn decimal_commas_are_read_where_they_are_proven_and_asked_for_where_not() {
    let folder = Folder::new();
    done(&folder.import("a.csv", "x;y\n1.234,56;-0,5\n7;12,25\n1.234;3\n", &["--json"]));
    let real = Value::Real;
    assert_eq!(
        folder.sales(),
        [[real(1234.56), real(-0.5)], [real(7.0), real(12.25)], [real(1234.0), real(3.0)]]
    );

    let doubtful = "x\tn\n1.234\t1\n5.678\t2\n";
    fs::write(folder.path("b.tsv"), doubtful).unwrap();
    let import = |more: &[&str]| folder.run("other", "b.tsv", &[&["--json"], more].concat());
    failed(&import(&[]), &["line 2: `1.234`", "--decimal x=point or --decimal x=comma"]);
    done(&import(&["--decimal", "x=comma"]));
    done(&import(&["--decimal", "point"]));
    let read = folder.rows("SELECT x FROM other").concat();
    assert_eq!(read, [real(1234.0), real(5678.0), real(1.234), real(5.678)]);

    let both = "x;n\n1.5;1\n2,5;2\n";
    let words = ["line 2: `1.5`", "line 3: `2,5`", "--decimal x=point"];
    fs::write(folder.path("c.csv"), both).unwrap();
    failed(&folder.run("both", "c.csv", &[]), &words);
}

#[test]
fn orders_of_dates_are_never_mixed() {
    let folder = Folder::new();
    let mixed = "sold\n31.01.2016\n01/31/2016\n";
    failed(&folder.import("a.csv", mixed, &[]), &["line 2: `31.01.2016`", "line 3: `01/31/2016`"]);
    let doubtful = "sold\n1.2.2016\n2016-01-31\n";
    failed(
        &folder.import("b.csv", doubtful, &[]),
        &["line 2: `1.2.2016`", "--date-order sold=dmy"],
    );
    assert!(!folder.path("shop.db").exists());
    done(&folder.import("b.csv", doubtful, &["--date-order", "dmy", "--json"]));
    assert_eq!(folder.sales().concat(), ["2016-02-01", "2016-01-31"].map(text));
}

#[test]
fn amounts_in_two_currencies_are_not_added_up() {
    let folder = Folder::new();
    let content = "sale\n$5.00\n€6.00\n";
    failed(&folder.import("a.csv", content, &[]), &["line 2: `$5.00`", "line 3: `€6.00`"]);
    done(&folder.import("a.csv", content, &["--type", "sale=text", "--json"]));
    assert_eq!(folder.sales().concat(), ["$5.00", "€6.00"].map(text));
}

#[test]
fn a_delimiter_in_doubt_is_asked_for() {
    let folder = Folder::new();
    let content = "name;price, net\nx;1,5\n";
    failed(&folder.import("a.csv", content, &[]), &["--delimiter comma or --delimiter semicolon"]);
    done(&folder.import("a.csv", content, &["--delimiter", "semicolon", "--json"]));
    assert_eq!(folder.sales().concat(), [text("x"), Value::Real(1.5)]);
}

#[test]
fn a_killed_import_leaves_the_table_as_it_was() {
    let folder = Folder::new();
    done(&folder.import("old.csv", "id,name\n1,a\n", &["--key", "id", "--json"]));
    let mut content = String::from("id,name\n");
    (2..20_000).for_each(|id| content += &format!("{id},name {id}\n"));
    fs::write(folder.path("new.csv"), content).unwrap();
    let (file, database) = (folder.path("new.csv"), folder.path("shop.db"));
    let command = ["import", file.to_str().unwrap(), "--database", database.to_str().unwrap()];
    let command = [&command[..], &["--table", "sales", "--key", "id", "--index", "name"]].concat();

    // Who reads keeps the import from its commit, so that it is killed before that.
    let reader = open(&database);
    reader.execute_batch("BEGIN; SELECT count(*) FROM sales").unwrap();
    assert_eq!(reader.query_row("SELECT count(*) FROM sales", [], |row| row.get(0)), Ok(1));
    let mut child = samovar(&command).stderr(Stdio::null()).spawn().unwrap();
    poll("the import to write", || begun(&folder.path("shop.db-journal")).then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.execute_batch("COMMIT").unwrap();

    assert_eq!(folder.rows("SELECT id FROM sales").concat(), [Value::Integer(1)]);
    assert_eq!(folder.rows("PRAGMA integrity_check").concat(), [text("ok")]);
    let again = run(&[&command[..], &["--json"]].concat());
    assert_eq!(done(&again)["rows"], 19_998);
    assert_eq!(done(&run(&[&command[..], &["--json"]].concat()))["already_there"], 19_998);
}

fn begun(journal: &Path) -> bool {
    journal.metadata().is_ok_and(|journal| journal.len() > 0)
}

#[test]
fn killed_while_it_reads_standard_input_it_leaves_nothing() {
    let folder = Folder::new();
    let spool = folder.path("spool");
    fs::create_dir(&spool).unwrap();
    let database = folder.path("shop.db");
    let mut child =
        samovar(&["import", "-", "--database", database.to_str().unwrap(), "--table", "sales"])
            .env("TMPDIR", &spool)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
    // More than a pipe holds, so the import has begun to copy when all is written.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all("id\n".repeat(1 << 20).as_bytes()).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(folder.names(), ["spool"]);
    assert_eq!(fs::read_dir(&spool).unwrap().count(), 0);
}

/// `samovar import sales.csv` into a database of PostgreSQL, in the folder.
fn into_postgres(folder: &Folder, database: &str, more: &[&str]) -> Ended {
    let command = ["import", "sales.csv", "--database", database, "--table", "销售"];
    let mut command = samovar(&[&command[..], more].concat());
    Ended::of(command.current_dir(folder.0.path()))
}

#[test]
fn postgresql_takes_what_sqlite_takes() {
    let database = postgres::Server::shared().unwrap().database().unwrap();
    let (folder, url) = (Folder::new(), database.url());
    fs::write(folder.path("sales.csv"), format!("{CHINESE}4,虹桥店\n")).unwrap();
    let keyed = ["--key", "门店ID", "--index", "日期,门店ID", "--json"];

    let told = into_postgres(&folder, &url, &["--dry-run"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    for line in ["new table 销售:", "销售额: money (all 3 values are), declared as numeric"] {
        assert!(told.out.contains(line), "{line} is not in\n{}", told.out);
    }
    assert_eq!(database.run("SELECT to_regclass('销售') IS NULL").unwrap(), "t");

    let report = done(&into_postgres(&folder, &url, &keyed));
    assert_eq!((&report["rows"], &report["rejected"]), (&json!(3), &json!(1)));
    assert_eq!(report["rejects"], "销售.rejects.csv");
    assert_eq!(folder.names(), ["sales.csv", "销售.rejects.csv"]);
    let report = done(&into_postgres(&folder, &url, &keyed));
    assert_eq!((&report["rows"], &report["already_there"]), (&json!(0), &json!(3)));
    let rows =
        "1|人民广场店|2016-01-31|1234.56\n2|南京路店|2016-02-01|88\n3|𠮷野家|2016-02-01|-12.00";
    assert_eq!(database.run("SELECT * FROM 销售 ORDER BY 1").unwrap(), rows);
    let indexes = "SELECT count(*) FROM pg_indexes WHERE tablename = '销售'";
    assert_eq!(database.run(indexes).unwrap(), "2");

    let lost = "postgres://ann:secret@127.0.0.1:1/shop";
    let message = into_postgres(&folder, lost, &[]);
    let message = failed(&message, &["cannot reach PostgreSQL at 127.0.0.1:1 as user ann"]);
    assert!(!message.contains("secret"), "{message}");
}

#[test]
fn authorities_are_named_for_postgresql_alone() {
    let database = postgres::Server::shared().unwrap().database().unwrap();
    let folder = Folder::new();
    fs::write(folder.path("sales.csv"), CHINESE).unwrap();
    fs::write(folder.path("ca.pem"), "none").unwrap();
    let with_file = ["--ca-file", "ca.pem"];
    for (database, words) in [
        (&*database.url(), "the CA file ca.pem holds no certificate"),
        ("shop.db", "--ca-file is for PostgreSQL"),
    ] {
        let told = into_postgres(&folder, database, &with_file);
        assert_eq!(told.code, Some(2), "{told:?}");
        assert!(told.err.contains(words), "{told:?}");
    }
}

#[test]
fn a_killed_import_into_postgresql_leaves_the_table_as_it_was() {
    let database = postgres::Server::shared().unwrap().database().unwrap();
    database.run("CREATE TABLE sales (id bigint, name text)").unwrap();
    let folder = Folder::new();
    let mut content = String::from("id,name\n");
    (1..=20_000).for_each(|id| content += &format!("{id},name {id}\n"));
    fs::write(folder.path("sales.csv"), content).unwrap();
    let (file, url) = (folder.path("sales.csv"), database.url());
    let command = ["import", file.to_str().unwrap(), "--database", &url, "--table", "sales"];
    let command = [&command[..], &["--key", "id"]].concat();

    // Rows whose arrival is waited for keep the import from its commit, so that it is killed before that.
    let slow = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN IF NEW.id = 15000 THEN PERFORM pg_sleep(1000); END IF; RETURN NEW; END';
        CREATE TRIGGER slow BEFORE INSERT ON sales FOR EACH ROW EXECUTE FUNCTION wait()";
    database.run(slow).unwrap();
    let mut child = samovar(&command).current_dir(folder.0.path()).spawn().unwrap();
    let at_work = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event = 'PgSleep'";
    database.wait_until(at_work, "1").unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // The server notices by itself, and does not go on for nobody.
    let left = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'samovar'";
    database.wait_until(left, "0").unwrap();
    assert_eq!(
        database.run("SELECT count(*) FROM sales; DROP TRIGGER slow ON sales").unwrap(),
        "0"
    );
    assert_eq!(done(&run(&[&command[..], &["--json"]].concat()))["rows"], 20_000);
}
