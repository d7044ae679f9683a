//! Integration tests of the sources and of the import.

mod catalog;
mod import;
mod orders;
mod postgres;
mod rows;
mod sqlite;
