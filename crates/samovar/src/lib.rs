//! A tiered cache that is warm before anyone asks, and never serves what it was told is gone.
