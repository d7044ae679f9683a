//! Benchmarks, and the peers they run against.
