//! The HTTP doors of Samovar and its dashboard.
