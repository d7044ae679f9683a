//! The words and contracts of Samovar: versions, marks, entries, tiers, logs, the clock.
