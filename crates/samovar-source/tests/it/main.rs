//! Integration tests of the sources and of the import.

mod import;
mod orders;
mod postgres;
mod sqlite;
