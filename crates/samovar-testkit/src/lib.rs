//! Contract suites for tiers, logs and sources, and the doubles that drive them.
