//! A skip reaches the file from which `cargo xtask test` counts it.

use std::process::Command;

use samovar_testkit::skip::{SKIPS_FILE, skipped};

/// Run in a process of its own by the test below, because the variable is the whole process's.
#[test]
fn child_that_skips() {
    if std::env::var_os("SAMOVAR_TEST_CHILD").is_some() {
        skipped("one", "no data\nhere");
        skipped("two", "too late");
    }
}

#[test]
fn each_skip_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("skips");
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "skip::child_that_skips"])
        .env("SAMOVAR_TEST_CHILD", "1")
        .env(SKIPS_FILE, &file)
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    let noted = std::fs::read_to_string(file).unwrap();
    assert_eq!(noted, "SKIPPED one: no data here\nSKIPPED two: too late\n");
    // Seen by a reader too, although the test passed.
    let shown = String::from_utf8(child.stdout).unwrap();
    assert_eq!(shown.lines().filter(|line| line.starts_with("SKIPPED ")).count(), 2);
}
