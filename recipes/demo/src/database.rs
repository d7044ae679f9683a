//! The shop as a SQLite file: complete or not there.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Statement};

use crate::shop::{DAYS, Line, Shop};
use crate::{Error, FIRST_DAY, Shape, TABLE};

/// Bytes 68–71 of a SQLite file: "Smvr".
const APPLICATION_ID: i32 = 0x536D_7672;
/// Grows when the same shape gives other data.
const FORMAT: i64 = 1;
/// Lines that go from one thread to the other at once.
const BLOCK: usize = 8_192;
const COLUMNS: usize = 10;
/// Lines per INSERT: the cost of starting a statement is shared.
const AT_ONCE: usize = 16;

/// Whether a file carries the demo's mark, finished or not; what `samovar clear --demo` may remove. A file
/// that is not there does not.
///
/// # Errors
/// If the file is there and cannot be read.
pub fn is_ours(path: &Path) -> Result<bool, Error> {
    let mut header = [0; 72];
    match File::open(path).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) => Ok(header.starts_with(b"SQLite format 3\0")
            && header[68..] == APPLICATION_ID.to_be_bytes()),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
            Ok(false)
        }
        Err(e) => Err(Error::storage(path, "read", e)),
    }
}

/// Whether `path` holds the finished database of this shape, to be used as it is. `false` if there is
/// nothing, or something of ours that [`generate`] would replace.
///
/// # Errors
/// If the file is not the demo's (see [`Error::is_foreign`]), or cannot be read.
pub fn is_complete(path: &Path, shape: &Shape) -> Result<bool, Error> {
    if !is_ours(path)? {
        return if occupied(path)? { Err(Error::foreign(path)) } else { Ok(false) };
    }
    let read = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        let marked: bool = db.query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name = 'samovar_demo'",
            [],
            |row| row.get(0),
        )?;
        if !marked {
            return Ok(None);
        }
        db.query_row("SELECT format, stores, rows_per_store, seed FROM samovar_demo", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get::<_, String>(3)?))
        })
        .optional()
    };
    let found = read().map_err(|e| Error::storage(path, "read", e))?;
    Ok(found == Some((FORMAT, shape.stores, shape.rows_per_store, shape.seed.to_string())))
}

/// Makes the database of a shape at `path`, replacing an older one of ours. Calls `progress` with the number
/// of lines written so far, and looks at `cancel`, a few hundred times on the way.
///
/// The file appears under its name only when it is whole and on disk; until then it is `path` with
/// `.partial` appended. What an interrupted run left there is thrown away. Two runs for the same path must
/// not go on at once: hold the data directory's lock.
///
/// # Errors
/// If `cancel` was set ([`Error::is_cancelled`]), if `path` holds a file that is not the demo's
/// ([`Error::is_foreign`]), if the shape is empty, or if writing fails. Nothing is left behind.
pub fn generate(
    path: &Path,
    shape: &Shape,
    progress: &(dyn Fn(u64) + Sync),
    cancel: &AtomicBool,
) -> Result<(), Error> {
    if shape.stores == 0 || shape.rows_per_store == 0 {
        return Err(Error::shape("the demo needs at least one store and one row per store"));
    }
    let partial = partial_name(path);
    for path in [path, &partial] {
        if !is_ours(path)? && occupied(path)? {
            return Err(Error::foreign(path));
        }
    }
    discard(&partial)?;
    let written = write(&partial, &Shop::new(shape), progress, cancel).and_then(|()| {
        let publish = || {
            File::open(&partial)?.sync_all()?;
            fs::rename(&partial, path)?;
            sync_directory(path)
        };
        publish().map_err(|e| Error::storage(path, "write", e))
    });
    if written.is_err() {
        discard(&partial)?;
    }
    written
}

fn partial_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// Whether there are bytes of somebody at `path`; an empty file is as good as none.
fn occupied(path: &Path) -> Result<bool, Error> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(!found.is_file() || found.len() > 0),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::storage(path, "read", e)),
    }
}

fn discard(partial: &Path) -> Result<(), Error> {
    match fs::remove_file(partial) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(Error::storage(partial, "remove the unfinished file", e))
        }
        _ => Ok(()),
    }
}

/// A rename is durable when its directory is. Elsewhere than on Unix a directory cannot be opened, and need
/// not be.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

fn write(
    path: &Path,
    shop: &Shop,
    progress: &(dyn Fn(u64) + Sync),
    cancel: &AtomicBool,
) -> Result<(), Error> {
    let sql = |e: rusqlite::Error| Error::storage(path, "write", e);
    let mut db = Connection::open(path).map_err(sql)?;
    // The file is worth nothing until it is whole, so nothing in it needs to survive a crash. The id is
    // written before all else: what a killed run leaves is known to be ours.
    db.execute_batch(&format!(
        "PRAGMA journal_mode = OFF;
         PRAGMA synchronous = OFF;
         PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -65536;
         PRAGMA application_id = {APPLICATION_ID};"
    ))
    .map_err(sql)?;
    let transaction = db.transaction().map_err(sql)?;
    transaction
        .execute_batch(&format!(
            "CREATE TABLE {TABLE} (
               order_id INTEGER PRIMARY KEY, store_id INTEGER NOT NULL, store_name TEXT NOT NULL,
               date TEXT NOT NULL, product TEXT NOT NULL, category TEXT NOT NULL,
               amount REAL NOT NULL, profit REAL NOT NULL, quantity INTEGER NOT NULL,
               delivery_minutes REAL NOT NULL);"
        ))
        .map_err(sql)?;
    insert(&transaction, path, shop, progress, cancel)?;
    let shape = &shop.shape;
    // The seed stands as text: SQLite's integers are signed.
    transaction
        .execute_batch(&format!(
            "CREATE INDEX {TABLE}_by_store_and_date ON {TABLE} (store_id, date);
             CREATE TABLE samovar_demo (
               format INTEGER NOT NULL, stores INTEGER NOT NULL, rows_per_store INTEGER NOT NULL,
               seed TEXT NOT NULL);
             INSERT INTO samovar_demo VALUES ({FORMAT}, {}, {}, '{}');",
            shape.stores, shape.rows_per_store, shape.seed
        ))
        .map_err(sql)?;
    transaction.commit().map_err(sql)?;
    db.close().map_err(|(_, e)| sql(e))?;
    if cancel.load(Ordering::Relaxed) {
        return Err(Error::cancelled());
    }
    Ok(())
}

/// Draws on a thread of its own while this one inserts.
fn insert(
    db: &Connection,
    path: &Path,
    shop: &Shop,
    progress: &(dyn Fn(u64) + Sync),
    cancel: &AtomicBool,
) -> Result<(), Error> {
    let (send, blocks) = sync_channel(4);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for store in 0..shop.shape.stores {
                let mut lines = shop.lines(store).peekable();
                while lines.peek().is_some() {
                    let block: Vec<Line> = lines.by_ref().take(BLOCK).collect();
                    // The receiver is gone if it was cancelled or failed.
                    if send.send((store, block)).is_err() {
                        return;
                    }
                }
            }
        });
        // Takes the receiver: when it returns early, the other thread must notice.
        insert_blocks(db, path, shop, blocks, progress, cancel)
    })
}

fn insert_blocks(
    db: &Connection,
    path: &Path,
    shop: &Shop,
    blocks: Receiver<(u32, Vec<Line>)>,
    progress: &(dyn Fn(u64) + Sync),
    cancel: &AtomicBool,
) -> Result<(), Error> {
    let sql = |e: rusqlite::Error| Error::storage(path, "write", e);
    let dates: Vec<String> = (0..DAYS).map(date).collect();
    let mut many = db.prepare(&insert_statement(AT_ONCE)).map_err(sql)?;
    let mut one = db.prepare(&insert_statement(1)).map_err(sql)?;
    let mut done = 0;
    for (store, block) in blocks {
        if cancel.load(Ordering::Relaxed) {
            return Err(Error::cancelled());
        }
        let (chunks, rest) = block.as_chunks::<AT_ONCE>();
        let mut insert = |statement: &mut Statement<'_>, lines: &[Line]| {
            for (at, line) in lines.iter().enumerate() {
                bind(statement, at * COLUMNS, shop, store, done + 1 + at as u64, line, &dates)?;
            }
            done += lines.len() as u64;
            statement.raw_execute()
        };
        for chunk in chunks {
            insert(&mut many, chunk).map_err(sql)?;
        }
        for line in rest {
            insert(&mut one, std::slice::from_ref(line)).map_err(sql)?;
        }
        progress(done);
    }
    Ok(())
}

fn insert_statement(rows: usize) -> String {
    let row = "(?,?,?,?,?,?,?,?,?,?)";
    format!("INSERT INTO {TABLE} VALUES {}", vec![row; rows].join(","))
}

fn bind(
    statement: &mut Statement<'_>,
    after: usize,
    shop: &Shop,
    store: u32,
    order: u64,
    line: &Line,
    dates: &[String],
) -> rusqlite::Result<()> {
    let product = &shop.products[usize::from(line.product)];
    statement.raw_bind_parameter(after + 1, order as i64)?;
    statement.raw_bind_parameter(after + 2, store + 1)?;
    statement.raw_bind_parameter(after + 3, shop.stores[store as usize].as_str())?;
    statement.raw_bind_parameter(after + 4, dates[usize::from(line.day)].as_str())?;
    statement.raw_bind_parameter(after + 5, product.name.as_str())?;
    statement.raw_bind_parameter(after + 6, product.category)?;
    statement.raw_bind_parameter(after + 7, line.amount_cents as f64 / 100.0)?;
    statement.raw_bind_parameter(after + 8, line.profit_cents as f64 / 100.0)?;
    statement.raw_bind_parameter(after + 9, line.quantity)?;
    statement.raw_bind_parameter(after + 10, f64::from(line.delivery_tenths) / 10.0)
}

/// The date of a day of the demo, which begins with a year: the months before it need no calendar.
fn date(day: usize) -> String {
    let (mut month, mut day) = (1, day as u32 + 1);
    for length in [31, 28, 31] {
        if day > length {
            day -= length;
            month += 1;
        } else {
            break;
        }
    }
    format!("{}-{month:02}-{day:02}", &FIRST_DAY[..4])
}
