//! What is asked for, as every source looks at it.

use samovar_core::Day;

use crate::{Dataset, Days};

impl Dataset {
    /// The names of all columns that are asked for.
    pub(crate) fn asked(&self) -> impl Iterator<Item = &str> {
        [&self.store_id, &self.date]
            .into_iter()
            .chain(&self.store_name)
            .chain(&self.product)
            .chain(&self.category)
            .chain(self.columns.iter().map(|column| &column.name))
            .map(String::as_str)
    }
}

impl Days {
    /// The same days, each once and in order.
    pub(crate) fn ascending(self) -> Days {
        match self {
            Days::These(mut days) => {
                days.sort_unstable();
                days.dedup();
                Days::These(days)
            }
            range @ Days::Range(..) => range,
        }
    }

    /// Whether a day is among them, which are in order.
    pub(crate) fn has(&self, day: Day) -> bool {
        match self {
            Days::Range(from, to) => {
                from.is_none_or(|from| from <= day) && to.is_none_or(|to| day <= to)
            }
            Days::These(days) => days.binary_search(&day).is_ok(),
        }
    }

    /// The ranges to ask for, if these are in order: for one store runs of consecutive days; for all stores one
    /// range around them, because each range is a pass over everything.
    pub(crate) fn ranges(&self, one_store: bool) -> Vec<(Option<Day>, Option<Day>)> {
        let ends = |run: &[Day]| (run.first().copied(), run.last().copied());
        match self {
            Days::Range(from, to) => vec![(*from, *to)],
            Days::These(days) if days.is_empty() => Vec::new(),
            Days::These(days) if one_store => {
                days.chunk_by(|a, b| b.0 == a.0 + 1).map(ends).collect()
            }
            Days::These(days) => vec![ends(days)],
        }
    }
}
