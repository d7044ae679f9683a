//! The testkit's own promises, tested.

mod browser;
mod skip;
