//! The server's crate as its users meet it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "what fails here fails the test; what it measures is worth reading"
)]

mod caches;
mod iowa;
mod iowa_sql;
