//! The testkit's own promises, tested.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod browser;
mod redis;
mod skip;
