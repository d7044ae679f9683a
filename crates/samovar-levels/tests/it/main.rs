//! The levels against a real SQLite source.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what fails here fails the test")]

mod answers;
mod background;
mod doubtful;
mod lost;
mod measures;
mod mirror;
mod oracle;
mod queries;
mod restart;
mod shop;
mod standing;
mod trouble;
mod waits;
mod warm_up;
