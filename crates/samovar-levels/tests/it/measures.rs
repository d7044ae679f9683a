//! Sets of measures over the columns of a shop: the usual one, and random ones.

use proptest::prelude::*;
use samovar_levels::{Aggregate, Better, Column, Measure, Schema, Unit};

use crate::shop::Names;

/// The columns that measures may be over, with the decimals kept; aggregates here mean them by their place.
fn columns(names: &Names) -> [(&'static str, u8); 8] {
    [
        (names.amount, 2),
        (names.profit, 2),
        (names.delivery, 1),
        (names.pieces, 0),
        // The same money in coarser units: each value is rounded before anything is made of it.
        (names.amount, 0),
        (names.profit, 1),
        (names.receipt, 0),
        (names.receipt, 0),
    ]
}

const AMOUNT: usize = 0;
const PROFIT: usize = 1;
const DELIVERY: usize = 2;
/// The only text, which can be told apart and no more.
const RECEIPT: usize = 6;
/// The same, told apart over any days and stores, about.
const ANY_RECEIPT: usize = 7;

/// Named measures in their order; a ratio names two places, taken modulo its own so that they lie before it.
#[derive(Clone, Debug)]
pub(crate) struct Measures {
    pub(crate) named: Vec<(&'static str, Aggregate)>,
    pub(crate) products: bool,
    pub(crate) categories: bool,
}

impl Measures {
    /// What most shops measure.
    pub(crate) fn usual() -> Measures {
        let named = vec![
            ("sales", Aggregate::Sum(AMOUNT)),
            ("orders", Aggregate::Count),
            ("profit", Aggregate::Sum(PROFIT)),
            ("delivery_mean", Aggregate::Mean(DELIVERY)),
            ("delivery_quantile", Aggregate::Quantile(DELIVERY, 0.95)),
        ];
        Measures { named, products: true, categories: false }
    }

    /// Other figures under the same names, made of the very same states.
    pub(crate) fn twisted(self) -> Measures {
        self.changed(|_, aggregate| match aggregate {
            Aggregate::Min(column) => Aggregate::Max(column),
            Aggregate::Max(column) => Aggregate::Min(column),
            Aggregate::Quantile(column, q) => Aggregate::Quantile(column, percent(1.0 - q)),
            Aggregate::Variance(column) => Aggregate::Deviation(column),
            Aggregate::Deviation(column) => Aggregate::Variance(column),
            Aggregate::Ratio(over, under) => Aggregate::Ratio(under, over),
            other => other,
        })
    }

    /// Sums and means in each other's place, sales aside: the same columns, and others of them summed by product.
    pub(crate) fn resummed(self) -> Measures {
        self.changed(|name, aggregate| match aggregate {
            Aggregate::Sum(column) if name != "sales" => Aggregate::Mean(column),
            Aggregate::Mean(column) if name != "sales" => Aggregate::Sum(column),
            other => other,
        })
    }

    fn changed(mut self, change: impl Fn(&str, Aggregate) -> Aggregate) -> Measures {
        for (name, aggregate) in &mut self.named {
            *aggregate = change(name, *aggregate);
        }
        self
    }

    /// The schema, with a column for all measures that read it alike.
    pub(crate) fn schema(&self, names: &Names) -> Schema {
        let (pool, mut columns) = (columns(names), Vec::<Column>::new());
        let mut place = |at: usize| {
            let ((name, decimals), hashed) = (pool[at], at == ANY_RECEIPT);
            let known = columns
                .iter()
                .position(|c| (&*c.name, c.decimals, c.hashed) == (name, decimals, hashed));
            let found = known.unwrap_or(columns.len());
            if known.is_none() {
                columns.push(Column { decimals, text: at >= RECEIPT, hashed, ..Column::new(name) });
            }
            found
        };
        let aggregates: Vec<Aggregate> = self
            .named
            .iter()
            .enumerate()
            .map(|(at, (_, aggregate))| match *aggregate {
                Aggregate::Count => Aggregate::Count,
                Aggregate::Sum(column) => Aggregate::Sum(place(column)),
                Aggregate::Min(column) => Aggregate::Min(place(column)),
                Aggregate::Max(column) => Aggregate::Max(place(column)),
                Aggregate::Mean(column) => Aggregate::Mean(place(column)),
                Aggregate::Distinct(column) => Aggregate::Distinct(place(column)),
                Aggregate::AboutDistinct(column) => Aggregate::AboutDistinct(place(column)),
                Aggregate::Quantile(column, q) => Aggregate::Quantile(place(column), q),
                Aggregate::Variance(column) => Aggregate::Variance(place(column)),
                Aggregate::Deviation(column) => Aggregate::Deviation(place(column)),
                Aggregate::Ratio(..) if at == 0 => Aggregate::Count,
                Aggregate::Ratio(over, under) => Aggregate::Ratio(over % at, under % at),
            })
            .collect();
        for aggregate in &aggregates {
            match *aggregate {
                Aggregate::Min(at) | Aggregate::Max(at) => columns[at].extremes = true,
                Aggregate::Distinct(at) => columns[at].distinct = true,
                Aggregate::Quantile(at, _) => columns[at].sketch = true,
                Aggregate::Variance(at) | Aggregate::Deviation(at) => columns[at].squares = true,
                _ => {}
            }
        }
        let measures = self.named.iter().zip(aggregates).map(|((name, _), aggregate)| Measure {
            name: (*name).into(),
            label: None,
            unit: Unit::Number,
            decimals: 2,
            better: Better::Up,
            aggregate,
        });
        let measures = measures.collect();
        let (products, categories) = (self.products, self.categories);
        Schema { columns, measures, products, categories }.with_ratios()
    }
}

/// To whole percent: a number that SQL writes in full.
fn percent(share: f64) -> f64 {
    (share * 100.0).round() / 100.0
}

fn aggregate() -> impl Strategy<Value = Aggregate> {
    let number = || 0..RECEIPT;
    prop_oneof![
        1 => Just(Aggregate::Count),
        2 => number().prop_map(Aggregate::Sum),
        2 => number().prop_map(Aggregate::Min),
        2 => number().prop_map(Aggregate::Max),
        2 => number().prop_map(Aggregate::Mean),
        1 => number().prop_map(Aggregate::Distinct),
        1 => Just(Aggregate::Distinct(RECEIPT)),
        1 => Just(Aggregate::AboutDistinct(ANY_RECEIPT)),
        1 => number().prop_map(Aggregate::Variance),
        1 => number().prop_map(Aggregate::Deviation),
        2 => (number(), 0.0..=1.0).prop_map(|(column, q)| Aggregate::Quantile(column, percent(q))),
        3 => (0..32usize, 0..32usize).prop_map(|(over, under)| Aggregate::Ratio(over, under)),
    ]
}

/// Any set of measures. Products are told of only where there are sales and these are a sum, so mostly they are.
pub(crate) fn measures() -> impl Strategy<Value = Measures> {
    let sum = || (0..RECEIPT).prop_map(Aggregate::Sum);
    let sales = proptest::option::weighted(0.8, prop_oneof![4 => sum(), 1 => aggregate()]);
    let profit = proptest::option::weighted(0.5, prop_oneof![2 => sum(), 1 => aggregate()]);
    let names = Just(["orders", "margin", "a", "b", "c", "d", "e"]).prop_shuffle();
    let others = (names, proptest::collection::vec(aggregate(), 1..7));
    let (products, categories) = (prop::bool::weighted(0.8), any::<bool>());
    (sales, profit, others, products, categories)
        .prop_map(|(sales, profit, (names, others), products, categories)| {
            let mut named: Vec<_> = names.into_iter().zip(others).collect();
            named.extend(sales.map(|aggregate| ("sales", aggregate)));
            named.extend(profit.map(|aggregate| ("profit", aggregate)));
            (named, products, categories)
        })
        .prop_flat_map(|(named, products, categories)| {
            let shuffled = Just(named).prop_shuffle();
            shuffled.prop_map(move |named| Measures { named, products, categories })
        })
}
