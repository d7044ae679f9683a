//! The merge: blocks of any stores and days → the body of an answer.
//!
//! The body holds only what is equal for equal data; what differs by request stands in the proof.

use std::collections::BTreeMap;
use std::sync::Arc;

use samovar_core::{Day, Error, ErrorKind};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::health::{Health, HealthRules};
use crate::metrics::{Merged, MetricsBlock, scale};
use crate::names;
use crate::products::ProductBlock;
use crate::raw::RawBlock;
use crate::schema::{Aggregate, Schema};
use crate::selection::{Selection, Stores};
use crate::standout::{self, StandoutRules};

/// How many products are listed for each word of health.
const ITEMS_PER_HEALTH: usize = 25;

/// Where product figures come from.
#[derive(Clone, Debug)]
pub(crate) enum Products {
    Figures(Arc<ProductBlock>),
    Raw(Arc<RawBlock>),
}

/// What one block contributes.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Which of the answer's stores.
    pub(crate) store: usize,
    pub(crate) metrics: Arc<MetricsBlock>,
    pub(crate) products: Option<Products>,
}

/// A store of an answer.
#[derive(Clone, Debug)]
pub(crate) struct StoreName {
    pub(crate) id: Arc<str>,
    pub(crate) name: Option<Arc<str>>,
}

/// What the merge is asked to make.
pub(crate) struct Question<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) rules: &'a HealthRules,
    pub(crate) standouts: &'a StandoutRules,
    pub(crate) selection: &'a Selection,
    pub(crate) stores: &'a [StoreName],
    /// The days that were looked at: blocks hold others too, which nobody vouches for.
    pub(crate) within: (Day, Day),
    /// How many partitions and stores the answer should cover and does not.
    pub(crate) missing: (u64, u64),
    pub(crate) covered: u64,
    pub(crate) digest: u128,
}

impl Question<'_> {
    /// Both periods, as far as they were looked at.
    fn periods(&self) -> ((Day, Day), (Day, Day)) {
        let (first, last) = self.within;
        let clip = |(from, to): (Day, Day)| (from.max(first), to.min(last));
        (clip((self.selection.from, self.selection.to)), clip(self.selection.previous()))
    }
}

/// Merges the pieces and writes the body as JSON.
///
/// # Errors
/// If the sum of a product exceeds 64 bits.
pub(crate) fn write(question: &Question<'_>, pieces: &[Piece]) -> Result<Vec<u8>, Error> {
    let Question { schema, selection, .. } = question;
    let from = selection.from;
    let (previous_from, previous_to) = selection.previous();
    let (now, before) = question.periods();
    let mut stores = vec![(Merged::new(schema), Merged::new(schema)); question.stores.len()];
    let mut daily = vec![Merged::new(schema); selection.days() as usize];
    for piece in pieces {
        let block = &piece.metrics;
        let (current, previous) = &mut stores[piece.store];
        for at in block.range(now.0, now.1) {
            current.add(block, at);
            daily[(block.days[at].0 - from.0) as usize].add(block, at);
        }
        for at in block.range(before.0, before.1) {
            previous.add(block, at);
        }
    }
    let mut total = (Merged::new(schema), Merged::new(schema));
    for (current, previous) in &stores {
        total.0.merge(current);
        total.1.merge(previous);
    }
    let mut ranking: Vec<Ranked<'_>> = question
        .stores
        .iter()
        .zip(&stores)
        .map(|(store, (current, previous))| Ranked {
            store_id: &store.id,
            name: store.name.as_deref().unwrap_or(&store.id),
            measures: Values { schema, current, previous },
        })
        .collect();
    ranking.sort_by(|a, b| {
        let key =
            |ranked: &Ranked<'_>| ranked.measures.current.value(schema, 0).unwrap_or(f64::MIN);
        key(b).total_cmp(&key(a)).then_with(|| a.store_id.cmp(b.store_id))
    });
    let products = (schema.products && schema.sum_column("sales").is_some())
        .then(|| ProductList::of(question, pieces))
        .transpose()?;
    let body = Body {
        selection: Selected {
            stores: match &selection.stores {
                // As they stand in the list, not as they were asked for: that says nothing about the data.
                Stores::These(_) => {
                    StoresJson::These(question.stores.iter().map(|store| &*store.id).collect())
                }
                other => StoresJson::Named(other.to_string()),
            },
            from: from.to_string(),
            to: selection.to.to_string(),
            previous_from: previous_from.to_string(),
            previous_to: previous_to.to_string(),
        },
        store_count: question.stores.len(),
        digest: format!("{:032x}", question.digest),
        covered: question.covered,
        missing: Missing {
            partitions: question.missing.0,
            stores: question.missing.1,
            values: missing_values(schema, &total.0),
        },
        totals: Values { schema, current: &total.0, previous: &total.1 },
        daily: Daily { schema, from, days: &daily },
        standouts: Standouts::of(question, pieces),
        ranking,
        products,
    };
    serde_json::to_vec(&body)
        .map_err(|e| Error::new(ErrorKind::Invalid, "the body has no JSON form").because(e))
}

/// By measure: how many lines of the period lack its value.
fn missing_values<'a>(schema: &'a Schema, total: &Merged) -> BTreeMap<&'a str, u64> {
    let lacking = schema.measures.iter().filter_map(|measure| {
        let column = measure.aggregate.values_of()?;
        Some((&*measure.name, total.rows - total.columns[column].valid))
    });
    lacking.filter(|(_, n)| *n > 0).collect()
}

#[derive(Serialize)]
struct Body<'a> {
    selection: Selected<'a>,
    store_count: usize,
    digest: String,
    covered: u64,
    missing: Missing<'a>,
    totals: Values<'a>,
    daily: Daily<'a>,
    standouts: Standouts<'a>,
    ranking: Vec<Ranked<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    products: Option<ProductList>,
}

#[derive(Serialize)]
struct Selected<'a> {
    stores: StoresJson<'a>,
    from: String,
    to: String,
    previous_from: String,
    previous_to: String,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum StoresJson<'a> {
    Named(String),
    These(Vec<&'a str>),
}

#[derive(Serialize)]
struct Missing<'a> {
    partitions: u64,
    stores: u64,
    values: BTreeMap<&'a str, u64>,
}

#[derive(Serialize)]
struct Ranked<'a> {
    store_id: &'a str,
    name: &'a str,
    measures: Values<'a>,
}

/// Every measure, now and before.
struct Values<'a> {
    schema: &'a Schema,
    current: &'a Merged,
    previous: &'a Merged,
}

#[derive(Serialize)]
struct Value {
    value: Option<f64>,
    previous: Option<f64>,
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.schema.measures.iter().enumerate().map(|(at, measure)| {
            let value = self.current.value(self.schema, at);
            (&*measure.name, Value { value, previous: self.previous.value(self.schema, at) })
        }))
    }
}

/// Every measure, day by day.
struct Daily<'a> {
    schema: &'a Schema,
    from: Day,
    days: &'a [Merged],
}

impl Serialize for Daily<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + self.schema.measures.len()))?;
        let dates: Vec<String> =
            (0..self.days.len()).map(|at| self.from.plus(at as i32).to_string()).collect();
        map.serialize_entry("date", &dates)?;
        for (at, measure) in self.schema.measures.iter().enumerate() {
            let values: Vec<_> = self.days.iter().map(|day| day.value(self.schema, at)).collect();
            map.serialize_entry(&*measure.name, &values)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Standouts<'a> {
    rules: &'a StandoutRules,
    /// Days that were judged, those of each measure; `None` where they were not looked at.
    judged: Option<usize>,
    /// Those that stand out, shown or not; `None`: they were not looked for, because something is missing.
    found: Option<usize>,
    days: Vec<StandoutDay<'a>>,
}

#[derive(Serialize)]
struct StandoutDay<'a> {
    date: String,
    measure: &'a str,
    value: f64,
    expected: f64,
    score: f64,
    compared: usize,
}

impl<'a> Standouts<'a> {
    fn of(question: &Question<'a>, pieces: &[Piece]) -> Standouts<'a> {
        let Question { schema, standouts: rules, .. } = *question;
        // A day that lacks some of its stores stands out for no reason of its own.
        if question.missing.0 > 0 {
            return Standouts { rules, judged: None, found: None, days: Vec::new() };
        }
        let (mut judged, mut found) = (0, Vec::<(&str, standout::Standout)>::new());
        for measure in &schema.measures {
            if schema.is_watched(measure, rules) {
                let days = daily_sums(question, pieces, measure.aggregate);
                let of = standout::judge(rules, &days, question.selection.from);
                judged += of.days;
                found.extend(of.found.into_iter().map(|day| (&*measure.name, day)));
            }
        }
        found.sort_by(|(a, x), (b, y)| {
            y.score.abs().total_cmp(&x.score.abs()).then_with(|| (x.day, a).cmp(&(y.day, b)))
        });
        let count = found.len();
        found.truncate(rules.max_shown);
        let days = found.into_iter().map(|(measure, day)| StandoutDay {
            date: day.day.to_string(),
            measure,
            value: day.value,
            expected: day.expected,
            score: day.score,
            compared: day.compared,
        });
        Standouts { rules, judged: Some(judged), found: Some(count), days: days.collect() }
    }
}

/// A sum or a number of lines, day by day over both periods; a day without lines is zero.
fn daily_sums(question: &Question<'_>, pieces: &[Piece], aggregate: Aggregate) -> Vec<(Day, f64)> {
    let (first, last) = question.within;
    let days = i64::from(last.0) - i64::from(first.0) + 1;
    let mut sums = vec![0i128; usize::try_from(days).unwrap_or(0)];
    let mut unit = 1.0;
    for piece in pieces {
        let block = &piece.metrics;
        for at in block.range(first, last) {
            sums[(block.days[at].0 - first.0) as usize] += match aggregate {
                Aggregate::Sum(column) => i128::from(block.columns[column].sum[at]),
                _ => i128::from(block.rows[at]),
            };
        }
    }
    if let Aggregate::Sum(column) = aggregate {
        unit = scale(question.schema, column);
    }
    let day = |(at, sum): (usize, i128)| (first.plus(at as i32), sum as f64 / unit);
    sums.into_iter().enumerate().map(day).collect()
}

#[derive(Serialize)]
struct ProductList {
    rules: HealthRules,
    counts: BTreeMap<Health, usize>,
    items: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    product: Option<Arc<str>>,
    category: Option<Arc<str>>,
    health: Health,
    sales: f64,
    previous_sales: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    profit: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    margin: Option<f64>,
    lines: i64,
    share: f64,
}

/// Sums by item over one period: `width` numbers for each, the first the number of lines.
struct Sums {
    width: usize,
    values: Vec<i64>,
}

/// Which of the product columns has a sum that does not fit.
#[derive(Debug, PartialEq)]
struct TooLarge(usize);

impl Sums {
    fn new(items: usize, columns: usize) -> Sums {
        let width = columns + 1;
        Sums { width, values: vec![0; items * width] }
    }

    /// Adds what a piece has of the days in a range.
    fn add(
        &mut self,
        piece: &Piece,
        columns: &[usize],
        (from, to): (Day, Day),
    ) -> Result<(), TooLarge> {
        match &piece.products {
            Some(Products::Figures(block)) => self.add_figures(block, from, to),
            Some(Products::Raw(block)) => {
                // Only the days that have lines: blocks are many, and a range may be long.
                let days = &piece.metrics.days[piece.metrics.range(from, to)];
                self.add_rows(block, columns, days)
            }
            None => Ok(()),
        }
    }

    fn add_figures(&mut self, block: &ProductBlock, from: Day, to: Day) -> Result<(), TooLarge> {
        for at in block.range(from, to) {
            let base = block.items[at] as usize * self.width;
            self.values[base] += i64::from(block.rows[at]);
            for (column, sums) in block.sums.iter().enumerate() {
                self.add_value(base, column, sums[at])?;
            }
        }
        Ok(())
    }

    fn add_rows(
        &mut self,
        block: &RawBlock,
        columns: &[usize],
        days: &[Day],
    ) -> Result<(), TooLarge> {
        let mut wide = Vec::new();
        for day in days {
            let rows = block.rows(*day);
            let items = &block.items()[rows.clone()];
            for item in items {
                self.values[*item as usize * self.width] += 1;
            }
            for (at, column) in columns.iter().enumerate() {
                wide.clear();
                crate::ints::widen(&block.columns()[*column], rows.clone(), &mut wide);
                for (item, value) in items.iter().zip(&wide) {
                    self.add_value(*item as usize * self.width, at, *value)?;
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn add_value(&mut self, base: usize, column: usize, value: i64) -> Result<(), TooLarge> {
        let sum = &mut self.values[base + 1 + column];
        *sum = sum.checked_add(value).ok_or(TooLarge(column))?;
        Ok(())
    }
}

impl ProductList {
    fn of(question: &Question<'_>, pieces: &[Piece]) -> Result<ProductList, Error> {
        let Question { schema, rules, .. } = question;
        let (this, last) = question.periods();
        let columns = schema.product_columns();
        let items = names::items();
        let width = columns.len() + 1;
        let empty = || Sums::new(items.len(), columns.len());
        let (mut now, mut before) = (empty(), empty());
        for piece in pieces {
            let added = now.add(piece, &columns, this);
            added.and_then(|()| before.add(piece, &columns, last)).map_err(|TooLarge(column)| {
                let message = format!(
                    "the sum of column {} of one product over the stores and days asked for exceeds 64 \
                     bits; choose fewer decimals, or ask for fewer days",
                    schema.columns[columns[column]].name
                );
                Error::new(ErrorKind::Source, message)
            })?;
        }
        let place = |measure: &str| {
            let column = schema.sum_column(measure)?;
            Some((1 + columns.iter().position(|c| *c == column)?, scale(schema, column)))
        };
        let (sales, unit) = place("sales").unwrap_or((0, 1.0));
        let profit = place("profit");
        let mut list: Vec<(u32, Item)> = Vec::new();
        // Added as integers: a sum of floats would depend on the order of the items' numbers.
        let mut all_sales = 0i128;
        for number in 0..items.len() {
            let current = &now.values[number * width..][..width];
            let previous = &before.values[number * width..][..width];
            if current[0] == 0 && previous[0] == 0 {
                continue;
            }
            let value = current[sales] as f64 / unit;
            let before = previous[sales] as f64 / unit;
            let profit = profit.map(|(at, unit)| current[at] as f64 / unit);
            all_sales += i128::from(current[sales]);
            let item = Item {
                product: None,
                category: None,
                health: rules.judge(value, before, profit),
                sales: value,
                previous_sales: before,
                profit,
                margin: profit.filter(|_| value > 0.0).map(|profit| profit / value),
                lines: current[0],
                share: 0.0,
            };
            list.push((number as u32, item));
        }
        let mut counts: BTreeMap<Health, usize> = Health::ALL.iter().map(|h| (*h, 0)).collect();
        let size = |item: &Item| item.sales.max(item.previous_sales);
        let mut top: Vec<(u32, Item)> = Vec::new();
        for health in Health::ALL {
            let (mut of_health, rest): (Vec<_>, Vec<_>) =
                list.into_iter().partition(|(_, item)| item.health == health);
            list = rest;
            counts.insert(health, of_health.len());
            // Equal sizes are told apart by name, so that equal data give equal bodies.
            of_health.sort_unstable_by(|(a, x), (b, y)| {
                size(y).total_cmp(&size(x)).then_with(|| items.name(*a).cmp(items.name(*b)))
            });
            of_health.truncate(ITEMS_PER_HEALTH);
            top.extend(of_health);
        }
        let all_sales = all_sales as f64 / unit;
        let named = top.into_iter().map(|(number, item)| {
            let (product, category) = items.name(number).clone();
            let share = if all_sales > 0.0 { item.sales / all_sales } else { 0.0 };
            Item { product, category, share, ..item }
        });
        Ok(ProductList { rules: **rules, counts, items: named.collect() })
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, Int64Array};
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::metrics::ColumnStates;
    use crate::raw::RawBuilder;
    use crate::schema::{Better, Column, Measure, Unit};

    /// Sales by product, in whole numbers.
    fn schema() -> Schema {
        let column = Column::new("amount");
        let sales = Measure {
            name: "sales".into(),
            label: None,
            unit: Unit::Number,
            decimals: 0,
            better: Better::Up,
            aggregate: Aggregate::Sum(0),
        };
        Schema { columns: vec![column], measures: vec![sales], products: true, categories: false }
    }

    /// The first day of all blocks here.
    const FIRST: Day = Day(10);

    /// The block of a store that has one line of tea a day: its amounts from the first day on.
    fn piece(store: usize, amounts: &[i64], raw: bool) -> Piece {
        let tea = names::number(Some("tea of the diagnosis"), None);
        let days: Vec<Day> = (0..amounts.len() as i32).map(|day| FIRST.plus(day)).collect();
        let ones = vec![1; amounts.len()];
        let column =
            ColumnStates { sum: amounts.to_vec(), valid: ones.clone(), ..ColumnStates::default() };
        let products = if raw {
            let mut builder = RawBuilder::new(FIRST, amounts.len(), 1);
            let values = [Arc::new(Int64Array::from(amounts.to_vec())) as ArrayRef];
            for (at, day) in days.iter().enumerate() {
                builder.push(*day, &vec![tea; amounts.len()], &values, at..at + 1);
            }
            Products::Raw(Arc::new(builder.finish()))
        } else {
            Products::Figures(Arc::new(ProductBlock {
                days: days.clone(),
                offsets: (0..=amounts.len() as u32).collect(),
                items: vec![tea; amounts.len()],
                rows: ones.clone(),
                sums: vec![amounts.to_vec()],
                lacking: vec![Vec::new()],
            }))
        };
        let metrics =
            MetricsBlock { digests: vec![0; days.len()], days, rows: ones, columns: vec![column] };
        Piece { store, metrics: Arc::new(metrics), products: Some(products) }
    }

    /// The body about stores `a` and `b`, however they were asked for, and days counted from the first.
    fn body(asked: &[&str], days: (i32, i32), pieces: &[Piece]) -> Result<Json, Error> {
        let schema = schema();
        let stores = Stores::These(asked.iter().map(|id| Arc::from(*id)).collect());
        let selection = Selection { stores, from: FIRST.plus(days.0), to: FIRST.plus(days.1) };
        let name = |id: &str| StoreName { id: id.into(), name: None };
        let question = Question {
            schema: &schema,
            rules: &HealthRules::default(),
            standouts: &StandoutRules::default(),
            selection: &selection,
            stores: &[name("a"), name("b")],
            within: (Day(-1_000), Day(1_000)),
            missing: (0, 0),
            covered: 0,
            digest: 0,
        };
        Ok(serde_json::from_slice(&write(&question, pieces)?).unwrap())
    }

    #[test]
    fn a_product_whose_sum_does_not_fit_is_an_error() {
        let most = i64::MAX;
        for raw in [false, true] {
            let sum = |pieces: &[Piece]| body(&["a", "b"], (0, 1), pieces);
            let fits = sum(&[piece(0, &[most - 1], raw), piece(1, &[1], raw)]).unwrap();
            assert_eq!(fits["products"]["items"][0]["sales"], json!(most as f64), "{raw}");
            for pieces in [
                [piece(0, &[most], raw), piece(1, &[1], raw)],
                [piece(0, &[most, 1], raw), piece(1, &[], raw)],
                [piece(0, &[-most], raw), piece(1, &[-2], raw)],
            ] {
                let error = sum(&pieces).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Source);
                assert!(error.to_string().contains("column amount"), "{error}");
            }
            // The period before is summed too.
            let before = [piece(0, &[most], raw), piece(1, &[1], raw)];
            assert!(body(&["a", "b"], (1, 1), &before).is_err(), "{raw}");
        }
    }

    #[test]
    fn both_ways_to_the_products_make_one_body() {
        let pieces = |raw| [piece(0, &[5, 7, 11, 13], raw), piece(1, &[2, 3], raw)];
        let days = (2, 3);
        let figures = body(&["a", "b"], days, &pieces(false)).unwrap();
        assert_eq!(figures, body(&["a", "b"], days, &pieces(true)).unwrap());
        let item = &figures["products"]["items"][0];
        assert_eq!((&item["sales"], &item["previous_sales"]), (&json!(24.0), &json!(17.0)));
    }

    #[test]
    fn only_days_of_the_block_are_walked() {
        // A walk over all days of such a range would take minutes, and leave the numbers that days have.
        let piece = piece(0, &[5, 7], true);
        let mut sums = Sums::new(names::items().len(), 1);
        sums.add(&piece, &[0], (Day(i32::MIN), Day(i32::MAX))).unwrap();
        assert_eq!(sums.values.iter().sum::<i64>(), 2 + 5 + 7);
    }

    #[test]
    fn the_body_does_not_say_how_stores_were_asked_for() {
        let pieces = [piece(0, &[5], true), piece(1, &[2], true)];
        let bodies = [&["a", "b"][..], &["b", "a"], &["b", "a", "b", "a"]]
            .map(|asked| body(asked, (0, 0), &pieces).unwrap());
        assert_eq!(bodies[0]["selection"]["stores"], json!(["a", "b"]));
        assert!(bodies.iter().all(|body| *body == bodies[0]));
    }
}
