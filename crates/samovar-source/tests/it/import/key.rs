//! A key: what is there already stays alone, and is told.

use rusqlite::types::Value;
use samovar_core::ErrorKind;
use samovar_source::import::{ColumnType, ImportReport};

use super::{Shop, run, select, text};

fn counts(report: &ImportReport) -> (u64, u64, u64) {
    (report.rows, report.already_there, report.rejected)
}

fn keyed(shop: &Shop, content: &str, key: &[&str]) -> ImportReport {
    let mut options = shop.options(content);
    options.key = key.iter().map(ToString::to_string).collect();
    run(&options).unwrap()
}

#[test]
fn every_kind_of_value_is_known_again() {
    let shop = Shop::new();
    let content = "id,day,sale,rate,name\n\
                   1,01/31/2016,\"$1,234.56\",0.1,x\n\
                   2,02/01/2016,$0.00,3,\n\
                   9007199254740993,,,,\"two\nlines\"\n";
    assert_eq!(counts(&keyed(&shop, content, &["ID"])), (3, 0, 0));
    assert_eq!(counts(&keyed(&shop, content, &["ID"])), (0, 3, 0));
    // A value that is gone differs from one that is there, and the other way round.
    let changed =
        "id,day,sale,rate,name\n1,01/31/2016,\"$1,234.56\",,x\n2,02/01/2016,$0.00,3,new\n";
    assert_eq!(counts(&keyed(&shop, changed, &["ID"])), (0, 0, 2));
    let told: Vec<String> = shop.rejects().into_iter().map(|(_, reason, _)| reason).collect();
    assert!(
        told[0].ends_with("other values in: rate") && told[1].ends_with("in: name"),
        "{told:?}"
    );
    assert_eq!(shop.table().len(), 3);
}

#[test]
fn a_row_without_its_key_is_a_reject() {
    let shop = Shop::new();
    let content = "store,day,n\n1,2016-01-31,1\n1,,2\n,2016-01-31,3\n";
    assert_eq!(counts(&keyed(&shop, content, &["store", "day"])), (1, 0, 2));
    let rejects = shop.rejects();
    assert_eq!((rejects[0].0, rejects[1].0), (3, 4));
    assert!(rejects[0].1.contains("column \"day\" is empty"), "{rejects:?}");
    assert_eq!(counts(&keyed(&shop, content, &["store", "day"])), (0, 1, 2));
}

#[test]
fn an_index_that_is_there_serves() {
    let indexes = |shop: &Shop| {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL";
        select(&shop.database(), sql).concat()
    };
    for table in [
        "CREATE TABLE sales (a INTEGER PRIMARY KEY, b TEXT)",
        "CREATE TABLE sales (a TEXT, b TEXT, PRIMARY KEY (a)) WITHOUT ROWID",
        "CREATE TABLE sales (a TEXT UNIQUE ON CONFLICT REPLACE, b TEXT)",
    ] {
        let shop = Shop::new();
        shop.database().execute_batch(table).unwrap();
        assert_eq!(
            counts(&keyed(&shop, "a,b\n1,x\n1,y\n1,x\n2,z\n", &["a"])),
            (2, 1, 1),
            "{table}"
        );
        assert_eq!(indexes(&shop), [], "{table}");
        let first = select(&shop.database(), "SELECT b FROM sales ORDER BY a").concat();
        assert_eq!(first, [text("x"), text("z")], "{table}");
    }
    // One over the same columns in another order, one with a condition, one that only begins with them.
    let shop = Shop::new();
    let sql = "CREATE TABLE sales (a INTEGER, b INTEGER); CREATE UNIQUE INDEX some ON sales (b, a)";
    shop.database().execute_batch(sql).unwrap();
    assert_eq!(counts(&keyed(&shop, "a,b\n1,2\n1,2\n", &["a", "b"])), (1, 1, 0));
    assert_eq!(indexes(&shop), [text("some")]);
    let sql = "CREATE UNIQUE INDEX part ON sales (a) WHERE b > 5";
    shop.database().execute_batch(sql).unwrap();
    assert_eq!(counts(&keyed(&shop, "a,b\n1,2\n1,3\n", &["a"])), (0, 1, 1));
    assert_eq!(indexes(&shop), ["some", "part", "sales_a_key"].map(text));
}

#[test]
fn a_key_that_is_none_changes_nothing() {
    let shop = Shop::new();
    shop.import("a,b\n1,2\n1,3\n").unwrap();
    let mut options = shop.options("a,b\n5,5\n");
    options.key = vec!["a".into()];
    let error = run(&options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    assert!(error.to_string().contains("(a) cannot be the key"), "{error}");
    assert_eq!(shop.table().len(), 2);
    for key in [vec!["a", "a"], vec!["c"], vec![""]] {
        options.key = key.into_iter().map(str::to_owned).collect();
        assert_eq!(run(&options).unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[test]
fn other_rules_of_the_table_are_not_taken_for_the_key() {
    let shop = Shop::new();
    let sql = "CREATE TABLE sales (id INTEGER, n INTEGER CHECK (n < 10), tag TEXT UNIQUE)";
    shop.database().execute_batch(sql).unwrap();
    let report = keyed(&shop, "id,n,tag\n1,1,a\n2,99,b\n3,3,a\n", &["id"]);
    assert_eq!(counts(&report), (1, 0, 2));
    let told: Vec<String> = shop.rejects().into_iter().map(|(_, reason, _)| reason).collect();
    assert!(told.iter().all(|reason| reason.starts_with("the table refuses the row")), "{told:?}");
}

#[test]
fn too_many_conflicts_leave_no_trace() {
    let shop = Shop::new();
    let mut options = shop.options("a,b\n1,1\n1,2\n");
    options.key = vec!["a".into()];
    options.indexes = vec![vec!["b".into()]];
    options.max_rejects = 0;
    let message = run(&options).unwrap_err().to_string();
    assert!(message.contains("line 3: a row with the same key (a)"), "{message}");
    assert_eq!(
        select(&shop.database(), "SELECT name FROM sqlite_schema"),
        [[]; 0] as [[Value; 0]; 0]
    );
}

#[test]
fn names_of_indexes_do_not_collide() {
    let shop = Shop::new();
    shop.database().execute_batch("CREATE TABLE sales_a_idx (x)").unwrap();
    let mut options = shop.options("a,b\n1,x\n");
    options.indexes = vec![vec!["a".into()]];
    options.types = vec![("b".into(), ColumnType::Text)];
    run(&options).unwrap();
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'index'";
    assert_eq!(select(&shop.database(), sql).concat(), [text("sales_a_idx2")]);
}
