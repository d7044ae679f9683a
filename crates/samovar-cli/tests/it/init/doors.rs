//! What can be asked of `samovar init`, and what it refuses.

use std::fs;

use super::Shop;
use crate::server::{Ended, samovar};

const PLAIN: &str = "CREATE TABLE receipts (shop text, till text, printed text, made text, amount real);
    INSERT INTO receipts VALUES ('a', '1', '2026-01-01', '2026-01-02', 2), ('b', '1', '2026-01-02', '2026-01-02', 3);
    CREATE TABLE notes (written text);
    INSERT INTO notes VALUES ('2026-01-01');";

fn refused(ended: &Ended, words: &[&str]) {
    assert_eq!((ended.code, &*ended.out), (Some(1), ""), "{ended:?}");
    for word in words {
        assert!(ended.err.contains(word), "{word:?} is not in {}", ended.err);
    }
}

#[test]
fn a_file_that_is_there_is_kept() {
    let shop = Shop::sqlite(PLAIN);
    fs::write(shop.path("samovar.toml"), "mine").unwrap();
    let database = fs::read(shop.path("shop.db")).unwrap();
    refused(&shop.init(&[]), &["samovar.toml is there already", "--force", "--output"]);
    assert_eq!(fs::read_to_string(shop.path("samovar.toml")).unwrap(), "mine");
    shop.proposed(&["--force"]).says(&["query = \"receipts\""]);
    let mut names: Vec<_> = fs::read_dir(shop.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["samovar.toml", "shop.db"], "nothing is left beside them");
    assert_eq!(fs::read(shop.path("shop.db")).unwrap(), database, "the database is as it was");
}

#[test]
fn standard_output_and_other_folders() {
    let shop = Shop::sqlite(PLAIN);
    let ended = shop.init(&["--output", "-"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.out.starts_with('#') && ended.out.contains("path = \"shop.db\""),
        "{}",
        ended.out
    );
    assert!(!shop.path("samovar.toml").exists());
    fs::create_dir(shop.path("etc")).unwrap();
    let ended = shop.init(&["--output", "etc/shop.toml"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let text = fs::read_to_string(shop.path("etc/shop.toml")).unwrap();
    let settings = samovar_server::Settings::parse(&text, &shop.path("etc")).unwrap();
    assert!(settings.open_source().is_ok(), "the path leads from there to the database: {text}");
    refused(&shop.init(&["--output", "nowhere/shop.toml"]), &["nowhere"]);
}

#[test]
fn the_users_word_wins() {
    let shop = Shop::sqlite(PLAIN);
    shop.proposed(&[]).says(&[
        "store_id = \"shop\"",
        "date = \"printed\"",
        "also possible (--date): receipts.made",
    ]);
    let chosen = ["--force", "--store", "receipts.till", "--date", "MADE"];
    let proposed = shop.proposed(&chosen);
    proposed.says(&["store_id = \"till\"", "date = \"made\"", "as --store says", "as --date says"]);
    let proposed = shop.proposed(&["--force", "--table", "notes"]);
    proposed.says(&[
        "FROM notes",
        "CAST('all' AS text) AS store_id",
        "notes.written AS date",
        "count = \"lines\"",
    ]);
    for (wish, words) in [
        (&["--table", "sales"][..], &["no table sales", "receipts (shop, till"][..]),
        (&["--store", "branch"], &["--store branch", "receipts (shop, till"]),
        (
            &["--table", "receipts", "--date", "shop"],
            &["receipts.shop holds no dates", "2026-02-03"],
        ),
        (&["--date", "day"], &["--date day", "notes (written)"]),
    ] {
        refused(&shop.init(&[&["--force"], wish].concat()), words);
    }
}

#[test]
fn nothing_to_propose() {
    refused(&Shop::sqlite("PRAGMA user_version = 1").init(&[]), &["no table", "samovar import"]);
    let words = Shop::sqlite(
        "CREATE TABLE words (id integer, word text); INSERT INTO words VALUES (1, 'a')",
    );
    refused(
        &words.init(&[]),
        &["no table has rows with a date", "--table", "--date", "words (id, word)"],
    );
    assert!(!words.path("samovar.toml").exists());
    let nowhere = Ended::of(&mut samovar(&["init", "--database", "no/such.db"]));
    refused(&nowhere, &["no/such.db"]);
    let none = Ended::of(&mut samovar(&["init"]));
    assert_eq!(none.code, Some(2));
    assert!(none.err.contains("--database"), "{}", none.err);
}

#[test]
fn tables_without_rows_are_proposed_by_what_they_declare() {
    let script = |date: &str, number: &str| {
        format!(
            "CREATE TABLE stores (id integer PRIMARY KEY, name text);
             CREATE TABLE sales (id integer PRIMARY KEY, store_id integer REFERENCES stores (id), sold_at {date}, amount {number})"
        )
    };
    for shop in [
        Shop::sqlite(&script("DATETIME", "REAL")),
        Shop::postgres(&script("timestamptz", "numeric")),
    ] {
        let proposed = shop.proposed(&[]);
        proposed.says(&["sales.store_id", "sales.sold_at AS date", "sum = \"amount\""]);
        // It is served, and what is sold from then on is found.
        shop.run("INSERT INTO stores VALUES (1, 'One'); INSERT INTO sales VALUES (1, 1, '2026-01-02 12:00:00', 7)");
        let server = shop.serve();
        let told = super::groups(
            &server,
            "stores=all&from=2026-01-01&to=2026-01-03",
            "",
            &[("sales", 1.0)],
        );
        assert_eq!(told, ["|7"]);
    }
}

#[cfg(unix)]
#[test]
fn a_password_stays_where_it_may() {
    use std::os::unix::fs::PermissionsExt;

    let shop = Shop::postgres(PLAIN);
    let mode = |name: &str| fs::metadata(shop.path(name)).unwrap().permissions().mode() & 0o777;
    let proposed = shop.proposed(&[]);
    proposed.says(&[&format!("url = \"{}\"", shop.address())]);
    assert_ne!(mode("samovar.toml"), 0o600);
    let url = shop.address().replace("postgres@", "postgres:geheim@");
    let ended = Ended::of(
        samovar(&["init", "--database", &url, "--force"]).current_dir(shop.folder.path()),
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(mode("samovar.toml"), 0o600, "for its owner alone");
    let text = fs::read_to_string(shop.path("samovar.toml")).unwrap();
    assert!(text.contains("geheim") && text.contains("set SAMOVAR_SOURCE_URL"), "{text}");
    assert!(!ended.out.contains("geheim") && !ended.err.contains("geheim"), "{ended:?}");

    let mut by_environment = samovar(&["init", "--force"]);
    by_environment.env("SAMOVAR_SOURCE_URL", &url).current_dir(shop.folder.path());
    let ended = Ended::of(&mut by_environment);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let text = fs::read_to_string(shop.path("samovar.toml")).unwrap();
    assert!(!text.contains("geheim") && !text.contains("url ="), "{text}");
    let help = Ended::of(samovar(&["init", "--help"]).env("SAMOVAR_SOURCE_URL", &url));
    assert!(help.out.contains("Examples:") && !help.out.contains("geheim"), "{}", help.out);
}

#[test]
fn one_who_may_only_read_is_enough_and_nothing_is_changed() {
    let shop = Shop::postgres(PLAIN);
    let super::Database::Postgres(database) = &shop.database else { unreachable!() };
    let role = format!("looker_of_{}", database.name());
    shop.run(&format!("CREATE ROLE {role} LOGIN; GRANT SELECT ON receipts TO {role}"));
    let whole =
        "SELECT oid, relname, relfilenode, relpages, reltuples, xmin FROM pg_class ORDER BY oid;
        TABLE receipts; TABLE notes; SELECT count(*) FROM pg_statistic";
    let before = database.run(whole).unwrap();
    let url = shop.address().replace("postgres@", &format!("{role}@"));
    let ended = Ended::of(samovar(&["init", "--database", &url]).current_dir(shop.folder.path()));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(database.run(whole).unwrap(), before);
    let text = fs::read_to_string(shop.path("samovar.toml")).unwrap();
    assert!(text.contains("query = \"receipts\"") && !text.contains("notes"), "{text}");
}
