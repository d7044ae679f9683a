//! Any measures by any dimensions equal what SQLite's own GROUP BY makes of the same rows, page by page.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type};
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_schema::DataType;
use proptest::prelude::*;
use proptest::sample::Index;
use samovar::Samovar;
use samovar_core::{Day, Mode};
use samovar_levels::{
    Aggregate, By, Column, Condition, DISTINCT_ERROR, Dimension, Engine, Format, Is, Level,
    Missing, NoPage, Order, ProductMetrics, Proof, Queried, Query, Schema, State, Stores, id_order,
};
use serde_json::{Map, Value, json};

use crate::answers::{line, product_metrics, runtime, stored, volatile};
use crate::measures::{Measures, measures};
use crate::oracle::{Lines, near, sql};
use crate::shop::{
    CHINESE, ENGLISH, FIRST, Line, Names, Shop, partition, selection, shop, some_lines,
};

/// A page in each format, and its proof.
struct Told {
    json: Value,
    csv: Vec<u8>,
    arrow: Vec<u8>,
    next: Option<samovar_levels::Cursor>,
    proof: Proof,
}

async fn ask(engine: &Engine, query: &Query) -> Result<Told, NoPage> {
    let query = Arc::new(query.clone());
    let queried = engine.query(&query, Missing::Wait, |page| {
        let written = Format::ALL.map(|format| page.write(format).unwrap());
        Ok((written, page.next))
    });
    match queried.await.unwrap() {
        Queried::None(why) => Err(why),
        Queried::Page(([json, csv, arrow], next), proof) => {
            let json: Value = serde_json::from_slice(&json).unwrap();
            assert_eq!(json["next"], json!(next.map(|cursor| cursor.to_string())));
            Ok(Told { json, csv, arrow, next, proof })
        }
    }
}

fn rows(page: &Value) -> &Vec<Value> {
    page["rows"].as_array().unwrap()
}

/// A question before the dataset is known: numbers stand for what it has.
#[derive(Clone, Debug)]
struct Draft {
    stores: Option<Vec<u8>>,
    days: (i32, i32),
    by: Vec<Dimension>,
    measures: Vec<Index>,
    conditions: Vec<(Is, bool)>,
    order: Vec<(Index, bool)>,
    limit: usize,
}

fn dimensions() -> impl Strategy<Value = Vec<Dimension>> {
    let some = prop::sample::subsequence(Dimension::ALL.to_vec(), 0..=4);
    some.prop_flat_map(|some| Just(some).prop_shuffle())
}

fn is() -> impl Strategy<Value = Is> {
    let name = |what: &'static str, most: u8| {
        proptest::option::weighted(0.8, 0..most)
            .prop_map(move |number| number.map(|number| format!("{what} {number}").into()))
    };
    prop_oneof![
        (1u8..8).prop_map(|store| Is::Store(store.to_string().into())),
        (0i32..45).prop_map(|day| Is::Date(FIRST.plus(day))),
        name("product", 8).prop_map(Is::Product),
        name("category", 3).prop_map(Is::Category),
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    let stores = proptest::option::of(prop::sample::subsequence(vec![1u8, 2, 3, 4, 5], 1..5));
    let days = (0i32..40, 0i32..25).prop_map(|(from, days)| (from, from + days));
    let measures = proptest::collection::vec(any::<Index>(), 1..4);
    let conditions = proptest::collection::vec((is(), any::<bool>()), 0..4);
    let order = proptest::collection::vec((any::<Index>(), any::<bool>()), 0..3);
    let limit = prop_oneof![1usize..8, Just(Query::DEFAULT_LIMIT)];
    (stores, days, dimensions(), measures, conditions, order, limit).prop_map(
        |(stores, days, by, measures, conditions, order, limit)| Draft {
            stores,
            days,
            by,
            measures,
            conditions,
            order,
            limit,
        },
    )
}

impl Draft {
    fn of(&self, schema: &Schema) -> Query {
        let mut measures: Vec<usize> =
            self.measures.iter().map(|at| at.index(schema.measures.len())).collect();
        measures.sort_unstable();
        measures.dedup();
        let by: Vec<Dimension> = self.by.iter().copied().filter(|d| d.is_in(schema)).collect();
        let all: Vec<By> = (0..schema.measures.len())
            .map(By::Measure)
            .chain(by.iter().map(|dimension| By::Dimension(*dimension)))
            .collect();
        let order =
            self.order.iter().map(|(at, descending)| (all[at.index(all.len())], *descending));
        let order = order.map(|(by, descending)| Order { by, descending }).collect();
        let conditions = self.conditions.iter().filter(|(is, _)| is.dimension().is_in(schema));
        let conditions = conditions.map(|(is, not)| Condition { is: is.clone(), not: *not });
        let selection = selection(self.stores.as_deref(), self.days.0, self.days.1);
        let conditions = conditions.collect();
        Query { by, conditions, order, limit: self.limit, ..Query::new(selection, measures) }
    }
}

/// The conditions as SQL writes them.
fn condition(query: &Query) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let one = |is: &Is| match is {
        Is::Store(id) => format!("store || '' IS {}", quoted(id)),
        Is::Date(day) => format!("day IS {}", quoted(&day.to_string())),
        Is::Product(name) => {
            format!("product IS {}", name.as_deref().map_or("NULL".into(), quoted))
        }
        Is::Category(name) => {
            format!("category IS {}", name.as_deref().map_or("NULL".into(), quoted))
        }
    };
    let mut all = vec!["TRUE".to_string()];
    for dimension in Dimension::ALL {
        let of = |not: bool| {
            query.conditions.iter().filter(move |c| c.not == not && c.is.dimension() == dimension)
        };
        all.extend(of(true).map(|condition| format!("NOT ({})", one(&condition.is))));
        let any: Vec<String> = of(false).map(|condition| one(&condition.is)).collect();
        if !any.is_empty() {
            all.push(format!("({})", any.join(" OR ")));
        }
    }
    all.join(" AND ")
}

fn column(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::StoreId => "store || ''",
        Dimension::Date => "day",
        Dimension::Product => "product",
        Dimension::Category => "category",
    }
}

/// What tells a row from the others.
fn name(query: &Query, row: &Value) -> String {
    let values: Vec<&Value> = query.by.iter().map(|dimension| &row[dimension.as_str()]).collect();
    json!(values).to_string()
}

/// Asks for every page, and holds all rows together against SQLite's.
async fn check(shop: &Shop, engine: &Engine, query: &Query) -> Vec<Told> {
    let mut pages: Vec<Told> = Vec::new();
    let mut asked = query.clone();
    loop {
        let page = ask(engine, &asked).await.unwrap();
        same_rows(&page, query, &shop.schema);
        asked.cursor = page.next;
        let is_last = page.next.is_none();
        assert!(rows(&page.json).len() == query.limit || is_last);
        pages.push(page);
        if is_last {
            break;
        }
    }
    let found: Vec<Value> = pages.iter().flat_map(|page| rows(&page.json).clone()).collect();

    let stores = &query.selection.stores;
    let lines = Lines::of(shop, stores, (query.selection.from, query.selection.to));
    let lines = lines.that(condition(query));
    let by: Vec<&str> = query.by.iter().map(|dimension| column(*dimension)).collect();
    let aggregate = |at: &usize| sql(&shop.schema, shop.schema.measures[*at].aggregate);
    let measures: Vec<String> = query.measures.iter().map(aggregate).collect();
    let mut expected = lines.by(&format!("json_array({})", by.join(", ")), &measures);
    if query.by.is_empty() {
        // One row, which tells nothing where there is nothing.
        expected.entry("[]".into()).or_insert_with(|| vec![None; measures.len()]);
    }
    let mut told: BTreeMap<String, &Value> = BTreeMap::new();
    for row in &found {
        assert!(told.insert(name(query, row), row).is_none(), "each row once: {row}");
        if query.by.contains(&Dimension::StoreId) {
            let id = row["store_id"].as_str().unwrap();
            assert_eq!(row["store_name"], format!("Store {id}"));
        }
    }
    let names = |groups: &mut dyn Iterator<Item = &String>| groups.cloned().collect::<Vec<_>>();
    assert_eq!(names(&mut told.keys()), names(&mut expected.keys()), "{query:?}");
    for (group, figures) in &expected {
        for (at, expected) in query.measures.iter().zip(figures) {
            let found = told[group][&*shop.schema.measures[*at].name].as_f64();
            near(&shop.schema, *at, found, *expected, &format!("{group} of {query:?}"));
        }
    }
    let sorted = found.is_sorted_by(|a, b| before(&shop.schema, query, a, b));
    assert!(sorted, "{query:?}: {found:#?}");
    for page in &pages {
        assert_eq!(page.json["total_rows"], json!(found.len()));
        assert_eq!(page.json["digest"], pages[0].json["digest"]);
        assert_eq!(page.json["missing"]["values"], lacking(shop, query, &lines));
        assert_eq!(page.proof.missing, 0);
    }
    pages
}

/// By measure asked for: how many lines lack its value.
fn lacking(shop: &Shop, query: &Query, lines: &Lines<'_>) -> Value {
    let mut lacking = Map::new();
    for at in &query.measures {
        let measure = &shop.schema.measures[*at];
        let (Aggregate::Sum(c)
        | Aggregate::Mean(c)
        | Aggregate::Min(c)
        | Aggregate::Max(c)
        | Aggregate::Variance(c)
        | Aggregate::Deviation(c)) = measure.aggregate
        else {
            continue;
        };
        let found = lines.by("''", &[format!("nullif(count(*) - count(c{c}), 0)")]);
        if let Some(lines) = found.get("").and_then(|figures| figures[0]) {
            lacking.insert(measure.name.to_string(), json!(lines as u64));
        }
    }
    Value::Object(lacking)
}

/// Whether one row may stand before another: as was asked for as far as the rows tell, at last by the dimensions,
/// which no two rows share.
fn before(schema: &Schema, query: &Query, a: &Value, b: &Value) -> bool {
    let asked = query.order.iter().copied();
    let rest = query.by.iter().map(|by| Order { by: By::Dimension(*by), descending: false });
    for order in asked.chain(rest) {
        let column = match order.by {
            By::Measure(at) if !query.measures.contains(&at) => return true,
            By::Measure(at) => &*schema.measures[at].name,
            By::Dimension(dimension) => dimension.as_str(),
        };
        let (a, b) = (&a[column], &b[column]);
        let ordering = match (a, b) {
            (Value::Number(a), Value::Number(b)) => {
                a.as_f64().unwrap().total_cmp(&b.as_f64().unwrap())
            }
            (Value::String(a), Value::String(b)) if column == "store_id" => {
                id_order(a).cmp(&id_order(b))
            }
            (Value::String(a), Value::String(b)) => a.cmp(b),
            _ => Ordering::Equal,
        };
        let ordering = if order.descending { ordering.reverse() } else { ordering };
        match a.is_null().cmp(&b.is_null()).then(ordering) {
            Ordering::Equal => {}
            other => return other == Ordering::Less,
        }
    }
    false
}

/// The rows of a page read from its CSV and its Arrow stream are those of its JSON.
fn same_rows(page: &Told, query: &Query, schema: &Schema) {
    let is_measure =
        |name: &str| query.measures.iter().any(|at| &*schema.measures[*at].name == name);
    let mut reader = csv::Reader::from_reader(&*page.csv);
    let header = reader.headers().unwrap().clone();
    let mut from_csv = Vec::new();
    for record in reader.records() {
        let record = record.unwrap();
        let cells = header.iter().zip(&record).map(|(name, cell)| {
            let value = match cell {
                "" => Value::Null,
                number if is_measure(name) => number_of(number),
                text => json!(text),
            };
            (name.to_string(), value)
        });
        from_csv.push(Value::Object(cells.collect()));
    }
    assert_eq!(&from_csv, rows(&page.json));

    let batches: Vec<RecordBatch> =
        StreamReader::try_new(&*page.arrow, None).unwrap().map(Result::unwrap).collect();
    let from_arrow: Vec<Value> = batches
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(|row| from_arrow(batch, row)))
        .collect();
    assert_eq!(&from_arrow, rows(&page.json));
}

/// A number as the JSON reader takes it, which is not always the nearest there is.
fn number_of(text: &str) -> Value {
    let number: f64 = serde_json::from_str(text).unwrap();
    json!(number)
}

fn from_arrow(batch: &RecordBatch, row: usize) -> Value {
    let schema = batch.schema();
    let cells = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        let value = match field.data_type() {
            _ if column.is_null(row) => Value::Null,
            DataType::Utf8 => json!(column.as_string::<i32>().value(row)),
            DataType::Date32 => {
                json!(Day(column.as_primitive::<Date32Type>().value(row)).to_string())
            }
            DataType::Float64 => {
                number_of(&column.as_primitive::<Float64Type>().value(row).to_string())
            }
            other => panic!("a column of {other}"),
        };
        (field.name().clone(), value)
    });
    Value::Object(cells.collect())
}

#[derive(Clone, Debug)]
struct Setting {
    names: Names,
    measures: Measures,
    keep: ProductMetrics,
    lines: Vec<Line>,
}

fn setting() -> impl Strategy<Value = Setting> {
    let names = prop_oneof![Just(ENGLISH), Just(CHINESE)];
    let lines = proptest::collection::vec(line(), 0..120);
    (names, measures(), product_metrics(), lines)
        .prop_map(|(names, measures, keep, lines)| Setting { names, measures, keep, lines })
}

impl Setting {
    /// The shop, where every store is there from the start so that it can be asked for by name.
    async fn open(&self, samovar: Samovar) -> (Shop, Engine) {
        let mut shop = Shop::new(self.names);
        shop.schema = self.measures.schema(&self.names);
        for store in 1..6 {
            shop.insert(&Line { store, day: 20, ..some_lines().swap_remove(0) });
        }
        for line in &self.lines {
            shop.insert(line);
        }
        let engine = shop.engine(samovar, self.keep);
        (shop, engine)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_those_of_a_group_by(
        setting in setting(),
        asked in proptest::collection::vec((draft(), proptest::option::of(line())), 1..8),
    ) {
        runtime().block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let (shop, mut engine) = setting.open(stored(directory.path()).await).await;
            let last = asked[asked.len() - 1].0.of(&shop.schema);
            for (draft, line) in asked {
                if let Some(line) = line {
                    shop.insert(&line);
                    let changed = vec![partition(line.store, line.day)];
                    engine.changed(changed, Mode::Remove, "test").await.unwrap();
                }
                check(&shop, &engine, &draft.of(&shop.schema)).await;
            }
            // What was kept on disk tells the same.
            engine.close().await.unwrap();
            drop(engine);
            engine = shop.engine(stored(directory.path()).await, setting.keep);
            check(&shop, &engine, &last).await;
        });
    }

    #[test]
    fn a_cursor_ends_with_the_content_it_was_made_from(
        setting in setting(),
        draft in draft(),
        line in line(),
        undone in prop::bool::weighted(0.3),
    ) {
        runtime().block_on(async {
            let (shop, engine) = setting.open(volatile().await).await;
            let query = Query { limit: 1, ..draft.of(&shop.schema) };
            let first = ask(&engine, &query).await.unwrap();
            let Some(cursor) = first.next else { return };
            let row = shop.insert(&line);
            let changed = || vec![partition(line.store, line.day)];
            engine.changed(changed(), Mode::Remove, "test").await.unwrap();
            if undone {
                // Looked at in between, so that the state that is reached again is not simply the old one.
                ask(&engine, &query).await.unwrap();
                shop.delete(row);
                engine.changed(changed(), Mode::Remove, "test").await.unwrap();
            }
            let (store, day) = (line.store.to_string(), FIRST.plus(line.day));
            let of_partition = |is: &Is| match is {
                Is::Store(id) => Some(**id == *store),
                Is::Date(date) => Some(*date == day),
                Is::Product(_) | Is::Category(_) => None,
            };
            let any_of = |dimension| {
                let mut of = query.conditions.iter().filter(|c| !c.not && c.is.dimension() == dimension);
                let is_one = of.clone().any(|c| of_partition(&c.is) == Some(true));
                of.next().is_none() || is_one
            };
            let covered = shop.ids(&query.selection.stores).iter().any(|id| **id == *store)
                && (query.selection.from..=query.selection.to).contains(&day)
                && any_of(Dimension::StoreId)
                && any_of(Dimension::Date)
                && !query.conditions.iter().any(|c| c.not && of_partition(&c.is) == Some(true));
            let next = ask(&engine, &Query { cursor: Some(cursor), ..query.clone() }).await;
            match next {
                Err(why) => assert_eq!((why, covered && !undone), (NoPage::Changed, true)),
                Ok(page) => {
                    assert!(!covered || undone);
                    assert_eq!(rows(&page.json).len(), 1);
                }
            }
            // Begun again, it goes on to the end.
            check(&shop, &engine, &query).await;
        });
    }
}

async fn shop_with_engine(keep: ProductMetrics) -> (Shop, Engine) {
    let shop = shop();
    let engine = shop.engine(volatile().await, keep);
    engine.warm().await.unwrap();
    (shop, engine)
}

fn by(by: &[Dimension], measures: &[usize]) -> Query {
    Query { by: by.to_vec(), ..Query::new(selection(None, 0, 39), measures.to_vec()) }
}

/// The usual measures, by their places.
const SALES: usize = 0;
const ORDERS: usize = 1;
const QUANTILE: usize = 4;

#[test]
fn each_question_is_answered_from_the_level_that_suffices() {
    runtime().block_on(async {
        for (keep, of_products) in
            [(ProductMetrics::Keep, Level::Metrics), (ProductMetrics::Derive, Level::Raw)]
        {
            let (shop, engine) = shop_with_engine(keep).await;
            for (dimensions, measures, level) in [
                (&[Dimension::StoreId, Dimension::Date][..], &[QUANTILE][..], Level::Metrics),
                (&[Dimension::Product], &[SALES, ORDERS], of_products),
            ] {
                let pages = check(&shop, &engine, &by(dimensions, measures)).await;
                assert_eq!(pages[0].proof.level, level, "{keep:?} {dimensions:?}");
                assert_eq!(pages[0].proof.state, State::Fresh);
            }
            let quantile = by(&[Dimension::Product], &[QUANTILE]);
            check(&shop, &engine, &quantile).await;
            let again = check(&shop, &engine, &quantile).await;
            assert_eq!(again[0].proof.level, Level::Raw, "rows stay in memory once asked for");
        }
    });
}

#[test]
fn other_questions_do_not_take_each_others_cursors() {
    runtime().block_on(async {
        let (_shop, engine) = shop_with_engine(ProductMetrics::Keep).await;
        let query = Query { limit: 2, ..by(&[Dimension::StoreId], &[SALES]) };
        let next = ask(&engine, &query).await.unwrap().next;
        assert!(next.is_some());
        let with = |query: Query| Query { cursor: next, ..query };
        let longer = ask(&engine, &with(Query { limit: 9, ..query.clone() })).await.unwrap();
        assert_eq!(rows(&longer.json).len(), 1, "a page may be longer than the one before");
        let order = vec![Order { by: By::Measure(SALES), descending: true }];
        for other in [
            by(&[Dimension::StoreId], &[ORDERS]),
            by(&[Dimension::Date], &[SALES]),
            Query { order, ..query.clone() },
            Query { selection: selection(None, 1, 39), ..query.clone() },
            Query {
                conditions: vec![Condition { is: Is::Product(None), not: true }],
                ..query.clone()
            },
        ] {
            let refused = ask(&engine, &with(other.clone())).await.err();
            assert_eq!(refused, Some(NoPage::OtherQuestion), "{other:?}");
        }
    });
}

#[test]
fn what_is_not_warm_is_left_out_and_said() {
    runtime().block_on(async {
        let shop = shop();
        let engine = shop.engine(volatile().await, ProductMetrics::Keep);
        let query = Arc::new(by(&[Dimension::StoreId], &[SALES]));
        let write = |page: samovar_levels::Page| page.write(Format::Json);
        let Queried::Page(json, proof) = engine.query(&query, Missing::Allow, write).await.unwrap()
        else {
            panic!("no page");
        };
        let json: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!((proof.state, proof.missing, proof.covered), (State::Incomplete, 3 * 40, 0));
        assert_eq!(json["missing"], json!({ "partitions": 120, "stores": 3, "values": {} }));
        assert_eq!(json["rows"], json!([]));
    });
}

#[test]
fn what_a_ranking_of_stores_lacked_is_said() {
    runtime().block_on(async {
        let shop = Shop::new(ENGLISH);
        for line in some_lines() {
            shop.insert(&line);
        }
        let engine = shop.engine(volatile().await, ProductMetrics::Keep);
        let mut query = by(&[Dimension::StoreId], &[SALES]);
        query.selection.stores = Stores::These(vec!["1".into()]);
        ask(&engine, &query).await.unwrap();
        query.selection.stores = Stores::Top(1);
        let write = |page: samovar_levels::Page| page.write(Format::Json);
        let query = Arc::new(query);
        let Queried::Page(json, proof) = engine.query(&query, Missing::Allow, write).await.unwrap()
        else {
            panic!("no page");
        };
        let json: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(rows(&json)[0]["store_id"], "1", "the others were not there");
        assert_eq!((proof.state, proof.missing), (State::Incomplete, 2 * 40));
        assert_eq!(json["missing"], json!({ "partitions": 80, "stores": 2, "values": {} }));
    });
}

#[test]
fn the_top_stores_are_chosen_before_conditions() {
    runtime().block_on(async {
        let (shop, engine) = shop_with_engine(ProductMetrics::Keep).await;
        shop.insert(&Line {
            store: 2,
            day: 30,
            amount: Some(9_999_999),
            ..some_lines().swap_remove(0)
        });
        engine.changed(vec![partition(2, 30)], Mode::Remove, "test").await.unwrap();
        let mut query = by(&[Dimension::StoreId], &[SALES]);
        query.selection.stores = Stores::Top(1);
        let page = ask(&engine, &query).await.unwrap();
        assert_eq!(rows(&page.json)[0]["store_id"], "2");
        assert_eq!(page.json["selection"]["stores"], "top:1");
        query.conditions = vec![Condition { is: Is::Store("1".into()), not: false }];
        assert_eq!(ask(&engine, &query).await.unwrap().json["rows"], json!([]));
    });
}

#[test]
fn distinct_values_over_many_days_are_within_the_bound() {
    runtime().block_on(async {
        let mut shop = Shop::new(ENGLISH);
        let receipt = Column { text: true, hashed: true, ..Column::new(ENGLISH.receipt) };
        let mut counted = Measures::usual().schema(&ENGLISH).measures.swap_remove(ORDERS);
        counted.aggregate = Aggregate::AboutDistinct(0);
        shop.schema =
            Schema { columns: vec![receipt], measures: vec![counted], products: true, categories: false };
        // Three stores, ten days, 700 lines each, of 9,000 customers who come again.
        let customers: String = (0..21_000u64)
            .map(|n| {
                let customer = n.wrapping_mul(2_654_435_761) % 9_001;
                let (store, day) = (n % 3 + 1, FIRST.plus((n / 3 % 10) as i32));
                format!(
                    "INSERT INTO orders (store_id, store_name, date, product, receipt)
                     VALUES ({store}, 'Store {store}', '{day}', 'product {}', 'customer {customer}');",
                    n % 7
                )
            })
            .collect();
        shop.database.execute_batch(&format!("BEGIN; {customers} COMMIT;")).unwrap();
        let engine = shop.engine(volatile().await, ProductMetrics::Auto);
        for dimensions in [&[][..], &[Dimension::StoreId], &[Dimension::Date], &[Dimension::Product]] {
            let page = ask(&engine, &by(dimensions, &[0])).await.unwrap();
            let columns: Vec<&str> = dimensions.iter().map(|d| column(*d)).collect();
            let exact = Lines::of(&shop, &Stores::All, (FIRST, FIRST.plus(39))).by(
                &format!("json_array({})", columns.join(", ")),
                &["count(DISTINCT c0)".into()],
            );
            assert_eq!(rows(&page.json).len(), exact.len());
            for row in rows(&page.json) {
                let exact = exact[&name(&by(dimensions, &[0]), row)][0].unwrap();
                let found = row["orders"].as_f64().unwrap();
                let off = (found / exact - 1.0).abs();
                assert!(off < 3.0 * DISTINCT_ERROR, "{found} for {exact}");
                let few = exact < 4_000.0;
                assert!(!few || (found - exact).abs() <= 2.0, "{found} for {exact}: few are counted");
            }
        }
    });
}
