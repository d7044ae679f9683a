//! Rows that a rule of the table forbids: PostgreSQL rejects the rows that SQLite does, and goes on.

use std::fmt::Write as _;

use rusqlite::types::Value;
use samovar_core::ErrorKind;
use samovar_source::import::ImportOptions;

use super::super::{run, select};
use super::{Store, counts};

#[test]
fn both_databases_refuse_the_same_rows() {
    let table =
        "CREATE TABLE sales (id integer, tag text UNIQUE, n integer CHECK (n < 10), note text)";
    let mut content = String::from("id,tag,n,note\n");
    for n in 0_u64..3_000 {
        // Keys come again: with other values, with the same, and after a row that was refused.
        let id = n * 7_919 % 1_800;
        let tag = if n % 311 == 5 { 7 } else { id * 10 + n / 1_000 % 2 };
        let refused = if n % 97 == 3 { 99 } else { id % 10 };
        let note = if id % 4 == 0 { "\"two\nlines\"" } else { "" };
        writeln!(content, "{id},t{tag},{refused},{note}").unwrap();
    }
    for key in [&[][..], &["id".to_owned()]] {
        let store = Store::new(table);
        store.shop.database().execute_batch(table).unwrap();
        let told = |mut options: ImportOptions| {
            options.key = key.to_vec();
            options.max_rejects = 3_000;
            let counts = counts(&run(&options).unwrap());
            let mut rejects: Vec<(u64, bool, String)> = (store.shop.rejects().into_iter())
                .map(|(line, reason, row)| (line, reason.starts_with("the table refuses"), row))
                .collect();
            rejects.sort();
            (counts, rejects)
        };
        let sqlite = told(store.shop.options(&content));
        let postgres = told(store.options(&content));
        assert_eq!(postgres, sqlite);
        let (written, there, rejected) = sqlite.0;
        assert!(written > 500 && rejected > 100, "{:?}", sqlite.0);
        assert_eq!(there > 0, !key.is_empty());
        let sums = "SELECT count(*), sum(id), sum(n), count(note), count(DISTINCT tag) FROM sales";
        let found = select(&store.shop.database(), sums).concat().into_iter().map(|value| {
            let Value::Integer(number) = value else { panic!("{value:?}") };
            number.to_string()
        });
        assert_eq!(store.sql(sums), found.collect::<Vec<_>>().join("|"));
    }
}

#[test]
fn every_kind_of_rule_is_told_with_the_line() {
    let store = Store::new(
        "CREATE TABLE shops (id int PRIMARY KEY); INSERT INTO shops VALUES (1);
         CREATE TABLE sales (a int UNIQUE, b int CHECK (b < 10), shop int
             REFERENCES shops, before int, half int GENERATED ALWAYS AS (10 / b) STORED);
         ALTER TABLE sales ADD FOREIGN KEY (before) REFERENCES sales (a);
         CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.a = 7 THEN RAISE 'no sevens'; END IF;
             IF NEW.a = 8 THEN RETURN NULL; END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER judge BEFORE INSERT ON sales FOR EACH ROW EXECUTE FUNCTION judge();",
    );
    let content =
        "a,b,shop,before\n1,2,1,\n2,99,1,\n1,3,1,\n4,1,5,\n5,0,1,\n7,1,1,\n8,1,1,\n9,9,1,1\n";
    for key in [vec![], vec!["a".to_owned()]] {
        let mut options = store.options(content);
        options.key = key;
        assert_eq!(run(&options).unwrap().rows, 2);
        let mut rejects = store.rejects();
        rejects.sort();
        let refused = "the table refuses the row: ";
        let expected = [
            (3, format!("{refused}new row for relation \"sales\" violates check constraint")),
            (4, String::new()),
            (5, format!("{refused}insert or update on table \"sales\" violates foreign key")),
            (6, format!("{refused}division by zero")),
            (7, format!("{refused}no sevens")),
            (8, "the rules of the table let the row go unwritten".to_owned()),
        ];
        assert_eq!(rejects.len(), expected.len(), "{rejects:?}");
        for ((line, reason), (expected_line, expected)) in rejects.iter().zip(&expected) {
            assert!(line == expected_line && reason.starts_with(expected), "{line}: {reason}");
        }
        let twice = &rejects[1].1;
        let expected = match options.key.is_empty() {
            true => "(Key (a)=(1) already exists.)",
            false => "with other values in: b",
        };
        assert!(twice.ends_with(expected), "{twice}");
        assert_eq!(store.sql("TABLE sales ORDER BY a"), "1|2|1||5\n9|9|1|1|1");
        store.sql("DELETE FROM sales");
    }
}

#[test]
fn rules_that_wait_for_the_end_are_asked_while_rows_can_be_told() {
    let store = Store::new(
        "CREATE TABLE sales (a int UNIQUE, b int UNIQUE DEFERRABLE INITIALLY DEFERRED, before int,
             FOREIGN KEY (before) REFERENCES sales (a) DEFERRABLE INITIALLY DEFERRED)",
    );
    // A row may name one that comes later, as long as all go in together.
    assert_eq!(counts(&store.import("a,b,before\n1,1,2\n2,2,3\n3,3,\n").unwrap()), (3, 0, 0));
    assert_eq!(counts(&store.import("a,b,before\n4,4,3\n5,3,\n").unwrap()), (1, 0, 1));
    assert_eq!(store.rejects()[0].0, 3);
}

#[test]
fn too_many_refused_rows_leave_the_table_as_it_was() {
    let store = Store::new("CREATE TABLE sales (a int CHECK (a < 10))");
    let mut options = store.options("a\n1\n20\n2\n30\n");
    options.max_rejects = 1;
    let error = run(&options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    let text = error.to_string();
    assert!(text.starts_with("stopped at line 5: 2 rows cannot be read"), "{text}");
    assert_eq!(store.rejects().len(), 2);
    assert_eq!(store.sql("SELECT count(*) FROM sales"), "0");
}

#[test]
fn a_partition_that_is_not_there_is_a_rule() {
    let store = Store::new(
        "CREATE TABLE sales (day date, n int) PARTITION BY RANGE (day);
         CREATE TABLE january PARTITION OF sales FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
    );
    let report = store.import("day,n\n2026-01-31,1\n2026-02-01,2\n2026-01-02,3\n").unwrap();
    assert_eq!(counts(&report), (2, 0, 1));
    let (line, reason) = store.rejects().swap_remove(0);
    assert!(line == 3 && reason.contains("no partition of relation"), "{line}: {reason}");
}
