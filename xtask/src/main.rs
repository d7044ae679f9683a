//! The repository's own commands: test, bench.

fn main() {}
