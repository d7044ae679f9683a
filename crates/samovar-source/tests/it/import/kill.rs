//! A killed import leaves the database as it was, wherever it is killed.

use std::ffi::OsStr;
use std::hash::BuildHasher;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rusqlite::Connection;
use samovar_source::import::{ImportOptions, import_csv};
use samovar_testkit::postgres::Server;

use super::{Shop, fingerprint};

const FILE: &str = "SAMOVAR_TEST_IMPORT_FILE";
const DATABASE: &str = "SAMOVAR_TEST_IMPORT_DATABASE";
const OLD_ROWS: i64 = 500;
const ROWS: i64 = 40_000;
/// What the child prints at every report of its progress.
const MARK: u8 = b'#';
/// Reports in the two passes over the file, one per 1,024 rows and one at each end.
const MARKS: u64 = 2 * (ROWS as u64 / 1024 + 1);

/// The report at which the child stands still until it is killed, if it shall.
const HOLD_AT: &str = "SAMOVAR_TEST_IMPORT_HOLD_AT";

/// Not a test of its own: what the test below starts and kills. Started by anybody else it does nothing.
#[test]
fn child() {
    let (Some(file), Some(database)) = (std::env::var_os(FILE), std::env::var_os(DATABASE)) else {
        return;
    };
    let hold_at: Option<u64> = std::env::var(HOLD_AT).ok().map(|mark| mark.parse().unwrap());
    let mut marks = 0;
    let mut mark = |_| {
        let mut out = std::io::stdout();
        out.write_all(&[MARK]).and_then(|()| out.flush()).unwrap();
        marks += 1;
        if hold_at == Some(marks) {
            // The parent keeps this open and writes nothing.
            std::io::stdin().read_exact(&mut [0]).unwrap();
        }
    };
    import_csv(&ImportOptions::new(file, database, "sales"), &mut mark).unwrap();
}

/// Starts an import in a process of its own and kills it at its n-th report of progress, or, unless it is
/// held there, somewhat later.
fn import_and_kill(shop: &Shop, at_mark: u64, hold: bool) {
    let mut child = import_until(shop, shop.path("shop.db").as_os_str(), at_mark, hold);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Starts an import in a process of its own, which goes on to its n-th report of progress at least.
fn import_until(shop: &Shop, database: &OsStr, at_mark: u64, hold: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "import::kill::child", "--nocapture", "--test-threads=1"])
        .env(FILE, shop.path("sales.csv"))
        .env(DATABASE, database)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if hold {
        command.env(HOLD_AT, at_mark.to_string());
    }
    let mut child = command.spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let marks = out.bytes().map_while(Result::ok).filter(|byte| *byte == MARK);
    let seen = marks.take(at_mark as usize).count() as u64;
    assert_eq!(seen, at_mark, "the import ended by itself");
    child
}

/// How many whole imports the table holds beside its first rows; anything else is a failure.
fn whole_imports(database: &Path) -> i64 {
    let (rows, sum, health) = fingerprint(database);
    let imports = (rows - OLD_ROWS) / ROWS;
    let expected = (
        OLD_ROWS + imports * ROWS,
        (1..=OLD_ROWS).sum::<i64>() + imports * (1..=ROWS).sum::<i64>(),
        "ok".to_owned(),
    );
    assert_eq!((rows, sum, health), expected);
    imports
}

fn write_file(shop: &Shop) {
    let mut content = String::from("id,name\n");
    for id in 1..=ROWS {
        // Wide and in no order: more than the writer keeps in memory, so that it writes before the end.
        let scattered = (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        content += &format!("{id},{scattered:016x} {}\n", "x".repeat(300));
    }
    std::fs::write(shop.path("sales.csv"), content).unwrap();
}

fn killed_imports(journal_mode: &str) {
    let shop = Shop::new();
    let database = shop.path("shop.db");
    {
        let connection = Connection::open(&database).unwrap();
        connection.pragma_update(None, "journal_mode", journal_mode).unwrap();
        // An index makes the import change pages that are there, not only add new ones.
        let sql = format!(
            "CREATE TABLE sales (id INTEGER, name TEXT); CREATE INDEX names ON sales (name);
             INSERT INTO sales
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {OLD_ROWS})
             SELECT i, 'old ' || hex(i) FROM n"
        );
        connection.execute_batch(&sql).unwrap();
    }
    write_file(&shop);

    import_and_kill(&shop, MARKS * 9 / 10, true);
    let journal = shop.path(if journal_mode == "wal" { "shop.db-wal" } else { "shop.db-journal" });
    assert!(journal.metadata().is_ok_and(|left| left.len() > 0), "it was killed before it wrote");
    assert_eq!(whole_imports(&database), 0);

    // At any instant. Every other time it is the next import that finds what the killed one left.
    let mut imports = 0;
    for round in 0..8 {
        let at_mark = 1 + std::hash::RandomState::new().hash_one(round) % (MARKS - 1);
        import_and_kill(&shop, at_mark, false);
        if round % 2 == 0 {
            let now = whole_imports(&database);
            // A late kill may come after the commit, on a machine that is busy.
            assert!((imports..=imports + 2).contains(&now), "killed at mark {at_mark} of {MARKS}");
            imports = now;
        }
    }
    let imports = whole_imports(&database);
    let options = ImportOptions::new(shop.path("sales.csv"), &database, "sales");
    import_csv(&options, &mut |_| ()).unwrap();
    assert_eq!(whole_imports(&database), imports + 1);
}

#[test]
fn a_killed_import_leaves_the_table_as_it_was() {
    killed_imports("delete");
}

#[test]
fn a_killed_import_leaves_the_table_as_it_was_with_a_write_ahead_log() {
    killed_imports("wal");
}

#[test]
fn a_killed_import_leaves_a_table_of_postgresql_as_it_was() {
    let database = Server::shared().unwrap().database().unwrap();
    let script = "CREATE TABLE sales (id bigint, name text); INSERT INTO sales VALUES (0, 'old')";
    database.run(script).unwrap();
    let shop = Shop::new();
    write_file(&shop);
    let mut child = import_until(&shop, database.url().as_ref(), MARKS * 9 / 10, true);
    let sent = "SELECT tuples_processed > 1000 FROM pg_stat_progress_copy WHERE datname = current_database()";
    database.wait_until(sent, "t").unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let left = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'samovar'";
    database.wait_until(left, "0").unwrap();
    assert_eq!(database.run("SELECT * FROM sales").unwrap(), "0|old");
    let options = ImportOptions::new(shop.path("sales.csv"), database.url(), "sales");
    assert_eq!(import_csv(&options, &mut |_| ()).unwrap().rows, ROWS as u64);
    let sum = ROWS * (ROWS + 1) / 2;
    let found = database.run("SELECT count(*), sum(id) FROM sales").unwrap();
    assert_eq!(found, format!("{}|{sum}", ROWS + 1));
}
