//! Integration tests of the sources and of the import.

mod import;
mod postgres;
mod sqlite;
