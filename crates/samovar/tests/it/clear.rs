//! Emptying a data directory, and holding one.

use std::fs;
use std::os::unix::fs::symlink;

use samovar::{Samovar, clear};
use samovar_core::ErrorKind;
use samovar_testkit::clock::FakeClock;
use tempfile::tempdir;

use crate::support::{START, block_on, get, open, policy, settings, text, whole};

#[test]
fn clear_removes_ours_and_nothing_else() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let path = directory.path();
    let samovar = open(Some(path), &clock);
    samovar.cache::<String>(policy("c")).put("k", "v".to_owned(), whole(&samovar));
    fs::write(path.join("orders.sqlite"), "the user's").unwrap();
    fs::write(path.join("cache.redb.bak"), "the user's").unwrap();
    fs::create_dir(path.join("cache.redb.d")).unwrap();

    let held = clear(path).unwrap_err();
    assert_eq!(held.kind(), ErrorKind::Held);
    assert!(held.to_string().contains(&*path.to_string_lossy()), "{held}");
    block_on(samovar.close()).unwrap();

    let cleared = clear(path).unwrap();
    assert!(cleared.bytes > 0);
    let mut names: Vec<_> = cleared
        .removed
        .iter()
        .map(|p| p.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["cache.redb", "marks.redb", "samovar.format", "samovar.lock"]);
    let mut left: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["cache.redb.bak", "cache.redb.d", "orders.sqlite"]);

    assert_eq!(clear(path).unwrap_err().kind(), ErrorKind::Format, "it is not ours any more");
    // And it can be used again.
    block_on(open(Some(path), &clock).close()).unwrap();
}

#[test]
fn clear_follows_no_links() {
    let (directory, outside) = (tempdir().unwrap(), tempdir().unwrap());
    let path = directory.path();
    let samovar = open(Some(path), &FakeClock::at(START));
    block_on(samovar.close()).unwrap();
    let precious = outside.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    fs::remove_file(path.join("cache.redb")).unwrap();
    symlink(&precious, path.join("cache.redb")).unwrap();
    fs::create_dir(path.join("cache.redb.damaged")).unwrap();

    let link = outside.path().join("link");
    symlink(path, &link).unwrap();
    assert_eq!(clear(&link).unwrap_err().kind(), ErrorKind::Invalid);

    let cleared = clear(path).unwrap();
    assert_eq!(cleared.left, [path.join("cache.redb"), path.join("cache.redb.damaged")]);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    assert!(path.join("cache.redb").symlink_metadata().unwrap().is_symlink());
    // It still is ours: once somebody has looked at what is left it can be cleared to the end.
    fs::remove_file(path.join("cache.redb")).unwrap();
    fs::remove_dir(path.join("cache.redb.damaged")).unwrap();
    assert_eq!(clear(path).unwrap().left, [] as [&std::path::Path; 0]);
}

#[test]
fn clear_refuses_what_is_not_ours() {
    let directory = tempdir().unwrap();
    let path = directory.path();
    fs::write(path.join("cache.redb"), "somebody's").unwrap();
    assert_eq!(clear(path).unwrap_err().kind(), ErrorKind::Format);
    fs::write(path.join("samovar.format"), "something else\nformat 1\n").unwrap();
    assert_eq!(clear(path).unwrap_err().kind(), ErrorKind::Format);
    fs::write(path.join("samovar.format"), "samovar data directory\nformat 2\n").unwrap();
    assert_eq!(clear(path).unwrap_err().kind(), ErrorKind::Format, "newer");
    let marker = path.join("samovar.format");
    fs::remove_file(&marker).unwrap();
    fs::write(path.join("marker"), "samovar data directory\nformat 1\n").unwrap();
    symlink(path.join("marker"), &marker).unwrap();
    assert_eq!(clear(path).unwrap_err().kind(), ErrorKind::Format, "a linked marker is none");
    assert_eq!(fs::read_to_string(path.join("cache.redb")).unwrap(), "somebody's");
    assert_eq!(clear(&path.join("absent")).unwrap_err().kind(), ErrorKind::Storage);
}

#[test]
fn a_second_one_on_the_same_directory_is_told() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let first = open(Some(directory.path()), &clock);
    let second = block_on(Samovar::open(settings(Some(directory.path()), &clock))).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Held);
    assert!(second.to_string().contains(&*directory.path().to_string_lossy()), "{second}");
    block_on(first.close()).unwrap();
    block_on(open(Some(directory.path()), &clock).close()).unwrap();
}

#[test]
fn open_refuses_what_is_newer_or_foreign() {
    let clock = FakeClock::at(START);
    let refused = |files: &[(&str, &str)]| {
        let directory = tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let error = block_on(Samovar::open(settings(Some(directory.path()), &clock))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format, "{error}");
        for (name, text) in files {
            assert_eq!(
                &fs::read_to_string(directory.path().join(name)).unwrap(),
                text,
                "left alone"
            );
        }
        error.to_string()
    };
    const OURS: (&str, &str) = ("samovar.format", "samovar data directory\nformat 1\n");
    assert!(
        refused(&[("samovar.format", "samovar data directory\nformat 7\n")]).contains("format 7")
    );
    assert!(refused(&[("samovar.format", "hello")]).contains("samovar.format"));
    assert!(refused(&[("cache.redb", "somebody's")]).contains("cache.redb"), "no marker");
    assert!(refused(&[OURS, ("cache.redb", "somebody's")]).contains("cache.redb"));
    assert!(refused(&[OURS, ("marks.redb", "somebody's")]).contains("marks.redb"));
    assert!(refused(&[OURS, ("writes.journal", "somebody's")]).contains("writes.journal"));
}

#[test]
fn open_refuses_other_formats_of_its_files() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    block_on(open(Some(directory.path()), &clock).close()).unwrap();
    for (name, own) in [("cache.redb", 3), ("marks.redb", 3)] {
        let file = directory.path().join(name);
        let set = |format: u64| {
            let database = redb::Database::open(&file).unwrap();
            let transaction = database.begin_write().unwrap();
            let table = redb::TableDefinition::<&str, u64>::new("meta");
            transaction.open_table(table).unwrap().insert("format", format).unwrap();
            transaction.commit().unwrap();
        };
        let newer = own + 1;
        set(newer);
        let error = block_on(Samovar::open(settings(Some(directory.path()), &clock))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);
        assert!(
            error.to_string().contains(&format!("format {newer}"))
                && error.to_string().contains(name),
            "{error}"
        );
        set(own);
    }
    block_on(open(Some(directory.path()), &clock).close()).unwrap();
}

/// Frames from before tags are read as they are; the file is then of the new format.
#[test]
fn open_takes_over_an_older_format() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    samovar.cache::<String>(policy("c")).put("k", "v".to_owned(), whole(&samovar));
    block_on(samovar.flush()).unwrap();
    block_on(samovar.close()).unwrap();
    let set = |format: u64| {
        let database = redb::Database::open(directory.path().join("cache.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        let table = redb::TableDefinition::<&str, u64>::new("meta");
        let mut meta = transaction.open_table(table).unwrap();
        let found = meta.insert("format", format).unwrap().map(|old| old.value());
        drop(meta);
        transaction.commit().unwrap();
        found
    };
    assert_eq!(set(1), Some(3));
    let samovar = open(Some(directory.path()), &clock);
    assert_eq!(text(get(&samovar.cache(policy("c")), "k")), Some("v".to_owned()));
    assert!(samovar.counters().notices().is_empty(), "nothing was lost");
    block_on(samovar.close()).unwrap();
    assert_eq!(set(3), Some(3));
}
