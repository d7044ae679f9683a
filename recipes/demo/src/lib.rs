//! The demo's shop: a SQLite database of orders, the same for the same seed.
