//! Which days of a block may be served: parts, taken apart by day.

use std::sync::Arc;

use samovar::{Cache, Found, Value};
use samovar_core::{Day, Part, Parts, Span, Stamp, Verdict};

/// What is known of one day of a block. `None`: it is not there.
pub(crate) type DayState = Option<(Verdict, Stamp)>;

/// The days of a block, each with its verdict and the stamp of its part.
pub(crate) fn survey<V: Value>(
    cache: &Cache<V>,
    key: &str,
    found: Option<&Found<V>>,
    first: Day,
    days: usize,
) -> Vec<DayState> {
    let mut states = vec![None; days];
    let Some(found) = found else { return states };
    for part in found.parts().iter() {
        let Some(span) = &part.span else { continue };
        let verdict = cache.judge(key, part, found);
        for day in span.from.0.max(first.0)..=span.to.0.min(first.0 + days as i32 - 1) {
            let of_day = match verdict {
                // A part is as bad as its worst day; ask for each.
                Verdict::Refused | Verdict::Stale if span.from < span.to => {
                    cache.judge(key, &part.only(Day(day)), found)
                }
                other => other,
            };
            states[(day - first.0) as usize] = Some((of_day, part.stamp));
        }
    }
    states
}

/// The parts of a block whose days bear these stamps: a part for each run of equal stamps.
pub(crate) fn parts(store: &Arc<str>, first: Day, stamps: &[Option<Stamp>]) -> Option<Parts> {
    let mut parts: Vec<Part> = Vec::new();
    for (at, stamp) in stamps.iter().enumerate() {
        let Some(stamp) = *stamp else { continue };
        let day = first.plus(at as i32);
        if let Some(Part { span: Some(span), stamp: last }) = parts.last_mut()
            && *last == stamp
            && span.to.plus(1) == day
        {
            span.to = day;
            continue;
        }
        parts.push(Part {
            span: Some(Span { store: Arc::clone(store), from: day, to: day }),
            stamp,
        });
    }
    (!parts.is_empty()).then(|| parts.into())
}
