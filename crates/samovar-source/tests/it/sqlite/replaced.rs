//! Another file takes the place of the one that was opened, as a nightly copy does.

use futures_executor::block_on;
use rusqlite::Connection;
use samovar_source::Source;

use super::{ORDERS, database, ids, open, rows_of};

#[test]
fn a_file_that_takes_the_place_is_read_and_told() {
    let (directory, path, _db) = database(ORDERS);
    let source = open(&path, "orders");
    let number = || block_on(source.change_number()).unwrap().unwrap();
    let before = number();
    assert_eq!((rows_of(&source, "7").len(), rows_of(&source, "9").len()), (2, 0));

    // Made beside it, with ids of another type, and moved over it.
    let new = directory.path().join("new.sqlite");
    Connection::open(&new)
        .unwrap()
        .execute_batch(
            "CREATE TABLE orders (store TEXT, day TEXT, amount REAL);
             INSERT INTO orders VALUES ('7', '2026-02-05', 1), ('9', '2026-02-05', 1);",
        )
        .unwrap();
    std::fs::rename(&new, &path).unwrap();
    let after = number();
    assert_ne!(after, before);
    assert_eq!((rows_of(&source, "7").len(), rows_of(&source, "9").len()), (1, 1));
    assert_eq!(ids(&source), ["7", "9"].map(std::sync::Arc::from));
    assert_eq!(number(), after);

    // While there is none, the last one is read.
    std::fs::rename(&path, &new).unwrap();
    assert_eq!((rows_of(&source, "7").len(), number()), (1, after));

    // One that is no database is an error until it is one.
    std::fs::write(&path, "not yet, but soon: half of a copy").unwrap();
    assert!(block_on(source.stores()).is_err());
    assert!(block_on(source.change_number()).is_err());
    std::fs::rename(&new, &path).unwrap();
    assert_eq!(rows_of(&source, "9").len(), 1);
}
