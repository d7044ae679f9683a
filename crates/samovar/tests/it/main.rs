//! Integration tests of the cache, against the real log, fence and tiers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bursts;
mod cache;
mod child;
mod clear;
mod codecs;
mod contracts;
mod damage;
mod expiry;
mod flights;
mod forget;
mod frames;
mod histories;
mod kill;
mod lag;
mod late;
mod leases;
mod loads;
mod log_redis;
mod model;
mod processes;
mod redis;
mod restart;
mod support;
mod tags;
mod writes;
