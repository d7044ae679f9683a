//! Where values are kept. A tier knows no other tier; only `stack` knows their order.

pub(crate) mod disk;
mod late;
mod memory;
pub(crate) mod stack;

pub use disk::{DiskOptions, DiskTier};
pub(crate) use late::is_late;
pub(crate) use memory::{Held, fresh_until, leave_in_time};
pub use memory::{MemoryTier, Rule, Shared};
