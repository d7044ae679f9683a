//! The import into PostgreSQL: what SQLite gets, PostgreSQL gets, in its own types.

mod rules;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use samovar_core::{Error, ErrorKind};
use samovar_source::import::{
    DateOrder, ImportOptions, ImportPhase, ImportProgress, ImportReport, import_csv, preview_csv,
};
use samovar_testkit::postgres::{Database, Server};

use super::{Shop, run, select};

const ALL: &str = "SELECT * FROM sales ORDER BY 1";
const TYPES: &str = "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = 'sales'::regclass AND attnum > 0 ORDER BY attnum";
const INDEXES: &str = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1";
const END_ALL: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'samovar'";

/// A folder with a file to import, and a database of PostgreSQL.
struct Store {
    shop: Shop,
    database: Database<'static>,
}

impl Store {
    fn new(script: &str) -> Store {
        let database = Server::shared().unwrap().database().unwrap();
        database.run(script).unwrap();
        Store { shop: Shop::new(), database }
    }

    fn options(&self, content: &str) -> ImportOptions {
        let mut options = self.shop.options(content);
        options.database = Path::new(&self.database.url()).into();
        options.rejects = Some(self.shop.path("sales.rejects.csv"));
        // The server may still be at work on an import before, whose connection has closed.
        options.patience = Duration::from_secs(20);
        options
    }

    fn import(&self, content: &str) -> Result<ImportReport, Error> {
        run(&self.options(content))
    }

    fn keyed(&self, content: &str, key: &[&str]) -> (u64, u64, u64) {
        let mut options = self.options(content);
        options.key = key.iter().map(ToString::to_string).collect();
        counts(&run(&options).unwrap())
    }

    fn sql(&self, sql: &str) -> String {
        self.database.run(sql).unwrap()
    }

    /// Line and reason of each rejected row.
    fn rejects(&self) -> Vec<(u64, String)> {
        self.shop.rejects().into_iter().map(|(line, reason, _)| (line, reason)).collect()
    }
}

fn counts(report: &ImportReport) -> (u64, u64, u64) {
    (report.rows, report.already_there, report.rejected)
}

#[test]
fn a_table_is_made_with_its_types_and_every_digit() {
    let store = Store::new("");
    let content = "id,code,day,sale,rate,name\n\
                   1,0012,01/31/2016,\"$12,345,678,901,234,567.8901\",0.5,\"tab\there, \"\"q\"\" \\N\"\n\
                   2,12,2/1/2016,($5.10),3,\n\
                   9007199254740993,7,,,1e-7,\"two\nlines\\.\"\n";
    let preview = preview_csv(&store.options(content), &mut |_| ()).unwrap();
    let declared: Vec<&str> =
        preview.columns.iter().map(|column| column.declared.as_deref().unwrap()).collect();
    assert_eq!(declared, ["bigint", "text", "date", "numeric", "double precision", "text"]);
    assert!(preview.creates);
    assert_eq!(store.sql("SELECT count(*) FROM pg_class WHERE relname = 'sales'"), "0");

    let report = store.import(content).unwrap();
    assert_eq!((counts(&report), report.created), ((3, 0, 0), true));
    assert_eq!(
        store.sql(TYPES),
        "id|bigint\ncode|text\nday|date\nsale|numeric\nrate|double precision\nname|text"
    );
    assert_eq!(
        store.sql(ALL),
        "1|0012|2016-01-31|12345678901234567.8901|0.5|tab\there, \"q\" \\N\n\
         2|12|2016-02-01|-5.10|3|\n\
         9007199254740993|7|||1e-07|two\nlines\\."
    );
    assert_eq!(store.sql("SELECT id FROM sales WHERE name IS NULL"), "2");
}

#[test]
fn rows_are_appended_in_the_types_of_the_table() {
    let store = Store::new(
        "CREATE TABLE sales (n smallint, \"At\" timestamp, seen timestamptz, price numeric(6,2),
             share real, code varchar(4), day date NOT NULL, twice integer GENERATED ALWAYS AS (n * 2) STORED)",
    );
    let content = "day,n,at,seen,price,share,code\n\
        2016-01-31,1,2016-01-31 19:06:53.5,2016-01-31T19:06:53+01:00,1234.50,0.25,0012\n\
        2016-02-01,40000,,,1,1,a\n\
        2016-02-02,3,noon,,1,1,a\n\
        2016-02-03,4,,2016-01-31 19:06:53,1,1,a\n\
        2016-02-04,5,,,1.005,1,a\n\
        2016-02-05,6,,,12345.5,1,a\n\
        2016-02-06,7,,,1,1.0e39,a\n\
        2016-02-07,8,,,1,1,门店门店店\n\
        ,9,,,1,1,a\n\
        2016-02-08,10,,,0.1,,门店门店\n\
        2016-02-09,11,,,,,a\0b\n";
    let report = store.import(content).unwrap();
    assert_eq!((counts(&report), report.created), ((2, 0, 9), false));
    let found = store.sql("SET timezone = 'UTC'; SELECT * FROM sales ORDER BY 1");
    assert_eq!(
        found,
        "1|2016-01-31 19:06:53.5|2016-01-31 18:06:53+00|1234.50|0.25|0012|2016-01-31|2\n\
         10|||0.10||门店门店|2016-02-08|20"
    );
    let rejects = store.rejects();
    let expected = [
        "column \"n\" (smallint): `40000` is greater",
        "column \"At\" (timestamp without time zone): `noon` is no time",
        "column \"seen\" (timestamp with time zone): `2016-01-31 19:06:53` is no time",
        "column \"price\" (numeric(6,2)): `1.005` has more decimals",
        "column \"price\" (numeric(6,2)): `12345.5` is greater",
        "column \"share\" (real): `1.0e39` is out of the range",
        "column \"code\" (character varying(4)): `门店门店店` has more characters",
        "column \"day\" (date): is empty",
        "column \"code\" (character varying(4)): the text holds a zero byte",
    ];
    let lines: Vec<u64> = rejects.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [3, 4, 5, 6, 7, 8, 9, 10, 12]);
    for ((line, reason), expected) in rejects.iter().zip(expected) {
        assert!(reason.starts_with(expected), "line {line}: {reason}");
    }
}

#[test]
fn a_second_import_adds_nothing() {
    let store = Store::new("CREATE SCHEMA 商店; CREATE TABLE sales (x int)");
    let keyed = |content: &str| {
        let mut options = store.options(content);
        options.table = "商店.订单".into();
        options.key = vec!["门店ID".into(), "日期".into()];
        counts(&run(&options).unwrap())
    };
    let content = "门店ID,门店,日期,销售额\n\
                   1,人民广场店,2016年1月31日,\"¥1,234.56\"\n\
                   2,南京路店,2016年2月1日,￥88\n\
                   3,𠮷野家,2016/2/1,(12.00)\n";
    assert_eq!(keyed(content), (3, 0, 0));
    assert_eq!(keyed(content), (0, 3, 0));
    let changed = "门店ID,门店,日期,销售额\n\
                   4,新,2016/2/2,¥1\n\
                   4,新,2016/2/2,¥1.00\n\
                   4,旧,2016/2/2,¥2\n\
                   2,南京路店,2016/2/1,\n\
                   ,没有,2016/2/1,¥5\n\
                   3,𠮷野家,2016/2/1,-12.00\n";
    assert_eq!(keyed(changed), (1, 2, 3));
    let mut rejects = store.rejects();
    rejects.sort();
    assert_eq!(rejects.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [4, 5, 6]);
    let same = "a row with the same key (门店ID, 日期) is there already, with other values in: ";
    assert_eq!(rejects[0].1, format!("{same}门店, 销售额"));
    assert_eq!(rejects[1].1, format!("{same}销售额"));
    assert_eq!(store.shop.rejects().last().unwrap().2, "2,南京路店,2016/2/1,");
    let found = store.sql("SELECT sum(销售额), count(*) FROM 商店.订单");
    assert_eq!(found, "1311.56|4");
    let left = "SELECT count(*) FROM pg_class WHERE relname = 'samovar_import'";
    assert_eq!(store.sql(left), "0");
}

#[test]
fn a_key_is_compared_as_the_table_compares() {
    let store = Store::new(
        "CREATE TABLE sales (code char(4) PRIMARY KEY, name text COLLATE \"C\", price numeric(8,2))",
    );
    assert_eq!(store.keyed("code,name,price\nab,x,1.5\nab,x,1.50\n", &["code"]), (1, 1, 0));
    assert_eq!(store.keyed("code,name,price\nab,x,1.500\ncd,,2\n", &["CODE"]), (1, 1, 0));
    assert_eq!(store.keyed("code,name,price\ncd,y,2\n", &["code"]), (0, 0, 1));
    assert!(store.rejects()[0].1.ends_with("with other values in: name"));
    let primary = "CREATE UNIQUE INDEX sales_pkey ON public.sales USING btree (code)";
    assert_eq!(store.sql(INDEXES), primary);
}

#[test]
fn a_key_that_is_none_changes_nothing() {
    let store =
        Store::new("CREATE TABLE sales (a int, b int); INSERT INTO sales VALUES (1, 2), (1, 3)");
    let mut options = store.options("a,b\n5,5\n");
    options.key = vec!["a".into()];
    let error = run(&options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    assert!(error.to_string().contains("(a) cannot be the key"), "{error}");
    assert_eq!(store.sql("SELECT count(*) FROM sales"), "2");
    assert_eq!(store.sql(INDEXES), "");
    // Too many rejects are found last.
    options = store.options("a,b\n7,1\n7,2\n");
    options.key = vec!["a".into(), "b".into()];
    assert_eq!(counts(&run(&options).unwrap()), (2, 0, 0));
    options = store.options("a,b\n1,2\n");
    options.table = "others".into();
    options.key = vec!["a".into()];
    run(&options).unwrap();
    options = ImportOptions { max_rejects: 0, ..options };
    std::fs::write(&options.file, "a,b\n8,1\n1,9\n").unwrap();
    let error = run(&options).unwrap_err().to_string();
    assert!(error.contains("line 3: a row with the same key (a)"), "{error}");
    assert_eq!(store.sql("SELECT * FROM others"), "1|2");
}

#[test]
fn indexes_are_made_unless_one_serves() {
    let store =
        Store::new("CREATE TABLE sales (a int, b int, c int); CREATE INDEX ab ON sales (a, b)");
    let mut options = store.options("a,b,c\n1,2,3\n");
    options.indexes = vec![vec!["A".into()], vec!["b".into(), "a".into()]];
    run(&options).unwrap();
    run(&options).unwrap();
    assert_eq!(
        store.sql(INDEXES),
        "CREATE INDEX ab ON public.sales USING btree (a, b)\n\
         CREATE INDEX sales_b_a_idx ON public.sales USING btree (b, a)"
    );
    assert_eq!(store.sql("SELECT count(*) FROM sales"), "2");
}

#[test]
fn what_cannot_be_is_told_before_a_row_is_read() {
    let store = Store::new("CREATE VIEW sales AS SELECT 1 AS a; CREATE TABLE odd (a uuid)");
    let with = |change: &dyn Fn(&mut ImportOptions)| {
        let mut options = store.options("a\nx\n");
        change(&mut options);
        let error = run(&options).unwrap_err();
        (error.kind(), error.to_string())
    };
    let (kind, text) = with(&|_| ());
    assert!(kind == ErrorKind::Invalid && text.contains("not a table"), "{text}");
    let (kind, text) = with(&|options| options.table = "odd".into());
    assert!(
        kind == ErrorKind::Source && text.contains("\"a\" of the table is of type uuid"),
        "{text}"
    );
    let (kind, text) = with(&|options| options.table = "nowhere.sales".into());
    assert!(kind == ErrorKind::Invalid && text.contains("no schema \"nowhere\""), "{text}");
    let (kind, text) = with(&|options| options.table = "x".repeat(64));
    assert!(kind == ErrorKind::Invalid && text.contains("63 bytes"), "{text}");
    let long = format!("a,{}\n1,2\n", "x".repeat(64));
    let mut options = store.options(&long);
    options.table = "new".into();
    assert!(run(&options).unwrap_err().to_string().contains("63 bytes"));
    // A password is never shown.
    for url in ["postgres://ann:secret@127.0.0.1:1/shop", "postgres://ann:sec@ret@:x/shop"] {
        let (_, text) = with(&|options| options.database = Path::new(url).into());
        assert!(!text.contains("sec") && !text.contains("ret@"), "{text}");
    }
}

#[test]
fn a_lost_connection_is_told_and_leaves_nothing() {
    let store = Store::new("CREATE TABLE sales (id int, name text)");
    let mut content = String::from("id,name\n");
    (0..20_000).for_each(|id| writeln!(content, "{id},{}", "x".repeat(100)).unwrap());
    let options = store.options(&content);
    let mut ended = false;
    let mut cut = |progress: ImportProgress| {
        if progress.phase == ImportPhase::Writing && progress.rows > 5_000 && !ended {
            ended = true;
            store.sql(END_ALL);
        }
    };
    let error = import_csv(&options, &mut cut).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    let text = error.to_string();
    assert!(
        text.contains("nothing was imported: the connection to the database was lost"),
        "{text}"
    );
    assert_eq!(store.sql("SELECT count(*) FROM sales"), "0");
}

#[test]
fn a_table_that_is_held_is_named() {
    let store = Store::new("CREATE TABLE sales (id int)");
    let mut options = store.options("id\n1\n");
    options.key = vec!["id".into()];
    let mut other = options.clone();
    other.patience = Duration::ZERO;
    let mut refused = None;
    let mut meanwhile = |progress: ImportProgress| {
        if progress.phase == ImportPhase::Writing && refused.is_none() {
            refused = Some(run(&other).unwrap_err());
        }
    };
    assert_eq!(import_csv(&options, &mut meanwhile).unwrap().rows, 1);
    let refused = refused.unwrap();
    assert_eq!(refused.kind(), ErrorKind::Held);
    assert!(refused.to_string().contains("\"sales\" is in use"), "{refused}");
}

#[test]
fn both_databases_get_the_same() {
    let store = Store::new("");
    let mut content = String::from("id,day,sale,rate,code,name\n");
    for n in 0_u64..3_000 {
        // Repeats, conflicts and slips, in no order.
        let id = n * 7_919 % 2_500;
        let cents = id * 25 + u64::from(n % 97 == 0) * 25;
        let sale = format!("\"¥{}.{:02}\"", cents / 100, cents % 100);
        let day = match id % 211 {
            5 => "someday".to_owned(),
            _ => format!("{}/{}/2016", id % 12 + 1, id % 28 + 1),
        };
        let rate = if n % 501 == 7 { "x".to_owned() } else { (id as f64 / 8.0).to_string() };
        let code = id % 100;
        let name = match id % 5 {
            0 => String::new(),
            _ => format!("\"店 {id}, \\t\"\"{}\"\"\nx\"", id % 3),
        };
        writeln!(content, "{id},{day},{sale},{rate},{code:04},{name}").unwrap();
        if n % 700 == 3 {
            content += "too,few\n";
        }
    }
    let told = |mut options: ImportOptions| {
        options.key = vec!["id".into()];
        options.date_orders = vec![(None, DateOrder::MonthFirst)];
        options.max_rejects = 2_000;
        let first = counts(&run(&options).unwrap());
        let mut rejects = store.shop.rejects();
        rejects.sort();
        let again = counts(&run(&options).unwrap());
        (first, again, rejects)
    };
    let sqlite = told(store.shop.options(&content));
    let postgres = told(store.options(&content));
    assert_eq!(postgres, sqlite);
    let (rows, there, rejected) = sqlite.0;
    assert!(rows > 2_000 && there > 100 && rejected > 20, "{:?}", sqlite.0);
    // Quarters and eighths are exact in both.
    let sums = "SELECT count(*), count(name), CAST(sum(sale) * 100 AS bigint), CAST(sum(rate) * 8 AS bigint),
        sum(CAST(code AS integer)), min(day), max(day) FROM sales";
    let found = select(&store.shop.database(), &sums.replace("bigint", "integer"));
    let found: Vec<String> = found[0]
        .iter()
        .map(|value| match value {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text.clone(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(store.sql(sums), found.join("|"));
}
