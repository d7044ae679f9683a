//! The program as a user meets it: started, asked over HTTP and in a browser, stopped.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what fails here fails the test")]

mod caches;
mod http;
mod import;
mod init;
mod life;
mod nodes;
mod openapi;
mod page;
mod postgres;
mod query;
mod server;
