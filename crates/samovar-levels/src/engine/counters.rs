//! What the engine counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// The one list of counters: their names, and what each counts.
macro_rules! counters {
    ($($name:ident: $help:literal,)*) => {
        /// What the engine counts.
        #[derive(Debug, Default)]
        pub struct EngineCounters {
            $(#[doc = concat!($help, ".")] pub $name: AtomicU64,)*
        }

        impl EngineCounters {
            const COUNT: usize = [$($help),*].len();

            /// What each counter counts, in the order of [`EngineCounters::snapshot`].
            pub const HELP: [&'static str; Self::COUNT] = [$($help),*];

            /// Every counter with its name.
            pub fn snapshot(&self) -> [(&'static str, u64); Self::COUNT] {
                [$((stringify!($name), self.$name.load(Ordering::Relaxed))),*]
            }

            /// Sets every counter to zero.
            pub fn reset(&self) {
                $(self.$name.store(0, Ordering::Relaxed);)*
            }
        }
    };
}

counters! {
    requests: "Questions answered",
    hits: "Questions answered without the source",
    result_hits: "Questions answered by a cached result",
    results_computed: "Results merged anew",
    source_reads: "Queries sent to the source",
    rows_read: "Rows read from the source",
    partitions_derived: "Partitions derived anew",
    partitions_unchanged: "Partitions derived anew with the same state as before",
    announced_changes: "Changes of the source that an event told of",
    silent_changes: "Changes of the source that no event told of",
}

pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
