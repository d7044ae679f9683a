//! Raw rows, metrics, results: levels of derivation over Arrow, recomputed only where what they rest on changed.
