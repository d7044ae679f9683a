//! Integration tests of the sources and of the import.

mod catalog;
mod import;
mod postgres;
mod sqlite;
