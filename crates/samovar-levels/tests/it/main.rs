//! The levels against a real SQLite source.

mod answers;
mod shop;
