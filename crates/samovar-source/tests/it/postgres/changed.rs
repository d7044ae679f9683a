//! What changes under a source that stands: a column's type, or the network.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use futures_executor::block_on;
use samovar_source::{Limits, PostgresOptions, PostgresSource, Source, SourceErrorKind};
use samovar_testkit::source::read_all;

use super::{ORDERS, database, dataset, one, open, rows_of};

#[test]
fn a_column_of_another_type_is_told_and_not_read() {
    for (from, to) in [
        // Of equal length, so that the bytes of one could be read as the other.
        ("bigint", "double precision"),
        ("integer", "real"),
        ("numeric", "text"),
    ] {
        let database = database(ORDERS);
        database.run(&format!("ALTER TABLE orders ALTER amount TYPE {from}")).unwrap();
        let source = open(&database, "orders");
        assert_eq!(rows_of(&source, "7").len(), 2);
        database.run(&format!("ALTER TABLE orders ALTER amount TYPE {to}")).unwrap();
        for wrong in [
            read_all(source.read(one("7"))).map(|_| ()).unwrap_err(),
            block_on(source.stores()).map(|_| ()).unwrap_err(),
        ] {
            assert_eq!(wrong.kind(), SourceErrorKind::Schema, "{from} to {to}: {wrong}");
            assert!(wrong.to_string().contains("column amount"), "{wrong}");
        }
        database.run(&format!("ALTER TABLE orders ALTER amount TYPE {from} USING 1")).unwrap();
        assert_eq!(rows_of(&source, "7").len(), 2, "as it was");
    }
}

/// Passes bytes on to a server until it is told to forget the connections that there are.
fn forgetful(server: u16) -> (u16, impl Fn()) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let current = Arc::new(std::sync::Mutex::new(Arc::new(AtomicBool::new(false))));
    let of_now = Arc::clone(&current);
    thread::spawn(move || {
        for near in listener.incoming() {
            let (near, far) = (near.unwrap(), TcpStream::connect(("127.0.0.1", server)).unwrap());
            let forgotten = Arc::clone(&of_now.lock().unwrap());
            let ways = [(near.try_clone(), far.try_clone()), (Ok(far), Ok(near))];
            for (from, to) in ways {
                let (mut from, mut to) = (from.unwrap(), to.unwrap());
                let forgotten = Arc::clone(&forgotten);
                thread::spawn(move || {
                    let mut bytes = [0; 65_536];
                    while let Ok(count @ 1..) = from.read(&mut bytes) {
                        // Swallowed, and nobody is told.
                        if !forgotten.load(Ordering::SeqCst)
                            && to.write_all(&bytes[..count]).is_err()
                        {
                            return;
                        }
                    }
                });
            }
        }
    });
    let forget = move || {
        let fresh = Arc::new(AtomicBool::new(false));
        std::mem::replace(&mut *current.lock().unwrap(), fresh).store(true, Ordering::SeqCst);
    };
    (port, forget)
}

#[test]
fn a_connection_that_was_forgotten_without_a_word_is_made_anew() {
    let database = database(ORDERS);
    let url = database.url();
    let port: u16 = url.split(':').next_back().unwrap().split('/').next().unwrap().parse().unwrap();
    let (near, forget) = forgetful(port);
    let options = PostgresOptions::new(url.replace(&format!(":{port}/"), &format!(":{near}/")));
    // Had the query to wait for the answer, its time would be up before.
    let limits = Limits { connections: 1, ..Limits::default() };
    let source = PostgresSource::connect(&options, dataset("orders"), limits).unwrap();
    assert_eq!(rows_of(&source, "7").len(), 2);
    forget();
    assert_eq!(rows_of(&source, "7").len(), 2);
}
