//! What SQLite itself makes of a shop's lines: a schema's measures written as SQL, and answers held against it.

use std::collections::{BTreeMap, BTreeSet};

use samovar_core::Day;
use samovar_levels::{Aggregate, HealthRules, RELATIVE_ERROR, Schema, Selection, Stores};
use serde_json::{Value, json};

use crate::shop::{Shop, quoted};

/// By the value of an expression: the figures asked for. Where there are no lines, there is no group.
pub(crate) type Groups = BTreeMap<String, Vec<Option<f64>>>;

/// The lines of some stores and days.
pub(crate) struct Lines<'a> {
    shop: &'a Shop,
    stores: &'a Stores,
    days: (Day, Day),
    /// Over the columns of [`Lines::sql`].
    condition: String,
}

impl<'a> Lines<'a> {
    pub(crate) fn of(shop: &'a Shop, stores: &'a Stores, days: (Day, Day)) -> Self {
        Lines { shop, stores, days, condition: "TRUE".into() }
    }

    /// Of these, those for which an expression holds.
    pub(crate) fn that(self, condition: String) -> Self {
        Lines { condition, ..self }
    }

    pub(crate) fn count(&self) -> u64 {
        self.total(&["count(*)".into()]).map_or(0, |figures| figures[0].unwrap() as u64)
    }

    /// Expressions over all of these lines; `None` if there are none.
    fn total(&self, figures: &[String]) -> Option<Vec<Option<f64>>> {
        self.by("''", figures).remove("")
    }

    /// Expressions over these lines, for each value of another.
    pub(crate) fn by(&self, group: &str, figures: &[String]) -> Groups {
        let figures: String = figures.iter().map(|figure| format!(", {figure}")).collect();
        let sql = format!(
            "WITH lines AS ({}) SELECT {group} AS found{figures} FROM lines WHERE {} GROUP BY found",
            self.sql(),
            self.condition
        );
        let mut statement = self.shop.database.prepare(&sql).unwrap();
        let columns = statement.column_count();
        let range = [self.days.0.to_string(), self.days.1.to_string()];
        let rows = statement.query_map(range, |row| {
            Ok((row.get(0)?, (1..columns).map(|at| row.get(at)).collect::<Result<_, _>>()?))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// Store, day, product, category, and each column of the schema as `c0`, `c1` …: text as it is, numbers in
    /// fixed point.
    fn sql(&self) -> String {
        let Shop { names, schema, .. } = self.shop;
        let [table, store, day] = [names.table, names.store, names.date].map(quoted);
        let [product, category] = [names.product, names.category].map(quoted);
        let columns: String = (0..schema.columns.len())
            .map(|at| {
                let (column, name) = (&schema.columns[at], quoted(&schema.columns[at].name));
                match column.text {
                    true => format!(", {name} AS c{at}"),
                    false => {
                        format!(", CAST(round({name} * {}) AS INTEGER) AS c{at}", unit(schema, at))
                    }
                }
            })
            .collect();
        let stores = match self.stores {
            Stores::These(ids) => format!(" AND {store} IN ({})", ids.join(",")),
            _ => String::new(),
        };
        format!(
            "SELECT {store} AS store, {day} AS day, {product} AS product, {category} AS category{columns}
             FROM {table} WHERE {day} BETWEEN ?1 AND ?2{stores}"
        )
    }
}

/// How many units of the fixed-point column make one, as SQL writes it.
fn unit(schema: &Schema, column: usize) -> String {
    format!("{:?}", 10f64.powi(schema.columns[column].decimals.into()))
}

/// A measure as an expression over lines.
pub(crate) fn sql(schema: &Schema, aggregate: Aggregate) -> String {
    let of = |measure: usize| sql(schema, schema.measures[measure].aggregate);
    let unit = |column| unit(schema, column);
    match aggregate {
        Aggregate::Count => "count(*)".into(),
        Aggregate::Sum(c) => format!("sum(c{c}) / {}", unit(c)),
        Aggregate::Min(c) => format!("min(c{c}) / {}", unit(c)),
        Aggregate::Max(c) => format!("max(c{c}) / {}", unit(c)),
        Aggregate::Mean(c) => format!("avg(c{c}) / {}", unit(c)),
        // A value counts once for each partition that has it.
        Aggregate::Distinct(c) => format!("count(DISTINCT store || ' ' || day || ' ' || c{c})"),
        Aggregate::AboutDistinct(c) => format!("count(DISTINCT c{c})"),
        // In whole numbers up to the last division, as n²·variance = n·Σx² − (Σx)².
        Aggregate::Variance(c) => {
            let (n, unit) = (format!("count(c{c})"), unit(c));
            format!(
                "1.0 * ({n} * sum(c{c} * c{c}) - sum(c{c}) * sum(c{c})) / {n} / {n} / {unit} / {unit}"
            )
        }
        Aggregate::Deviation(c) => format!("sqrt({})", sql(schema, Aggregate::Variance(c))),
        Aggregate::Quantile(c, q) => {
            let values =
                format!("json_group_array(c{c} ORDER BY c{c}) FILTER (WHERE c{c} NOTNULL)");
            let path = format!("'$[' || CAST({q:?} * (count(c{c}) - 1) AS INTEGER) || ']'");
            let value = format!("json_extract({values}, {path}) / {}", unit(c));
            format!("CASE WHEN count(c{c}) > 0 THEN {value} END")
        }
        Aggregate::Ratio(over, under) => {
            format!("1.0 * ({}) / nullif(1.0 * ({}), 0)", of(over), of(under))
        }
    }
}

/// How far a measure may be off, as a share of what it should be.
fn slack(schema: &Schema, aggregate: Aggregate) -> f64 {
    let of = |measure: usize| slack(schema, schema.measures[measure].aggregate);
    match aggregate {
        Aggregate::Quantile(..) => RELATIVE_ERROR * 1.001,
        Aggregate::Ratio(over, under) => (1.0 + of(over)) / (1.0 - of(under)) - 1.0 + 1e-12,
        _ => 1e-12,
    }
}

/// Holds every figure of an answer against SQLite's.
pub(crate) fn agrees(shop: &Shop, asked: &Selection, body: &Value) {
    let now = Lines::of(shop, &asked.stores, (asked.from, asked.to));
    let before = Lines::of(shop, &asked.stores, asked.previous());
    let measures: Vec<String> =
        shop.schema.measures.iter().map(|measure| sql(&shop.schema, measure.aggregate)).collect();

    let which = [("value", &now), ("previous", &before)];
    for (which, lines) in which {
        let found = |measure: &str| &body["totals"][measure][which];
        same(&shop.schema, found, lines.total(&measures).as_ref(), &format!("total {which}"));
    }

    let ranking = body["ranking"].as_array().unwrap();
    let ids: BTreeSet<&str> = ranking.iter().map(|row| row["store_id"].as_str().unwrap()).collect();
    assert_eq!(ids, shop.ids(&asked.stores).iter().map(|id| &**id).collect(), "every store, once");
    assert_eq!((ranking.len(), &body["store_count"]), (ids.len(), &json!(ids.len())));
    let first = |row: &Value| {
        row["measures"][&*shop.schema.measures[0].name]["value"].as_f64().unwrap_or(f64::MIN)
    };
    assert!(ranking.is_sorted_by(|a, b| first(a) >= first(b)), "by the first measure: {ranking:?}");
    for (which, lines) in which {
        let stores = lines.by("store || ''", &measures);
        for row in ranking {
            let id = row["store_id"].as_str().unwrap();
            let found = |measure: &str| &row["measures"][measure][which];
            same(&shop.schema, found, stores.get(id), &format!("store {id}, {which}"));
        }
    }

    let days = now.by("day", &measures);
    let dates: Vec<String> = (0..asked.days()).map(|at| asked.from.plus(at).to_string()).collect();
    assert_eq!(body["daily"]["date"], json!(dates));
    for (at, date) in dates.iter().enumerate() {
        let found = |measure: &str| &body["daily"][measure][at];
        same(&shop.schema, found, days.get(date), date);
    }

    assert_eq!(body["missing"]["values"], missing(&now));
    products_agree(shop, &now, &before, &body["products"]);
}

/// Holds all measures of one group against SQLite's: both tell nothing, or nearly the same.
fn same<'a>(
    schema: &Schema,
    found: impl Fn(&str) -> &'a Value,
    expected: Option<&Vec<Option<f64>>>,
    place: &str,
) {
    for at in 0..schema.measures.len() {
        let expected = expected.and_then(|figures| figures[at]);
        near(schema, at, found(&schema.measures[at].name).as_f64(), expected, place);
    }
}

/// Holds one measure against SQLite's.
pub(crate) fn near(
    schema: &Schema,
    measure: usize,
    found: Option<f64>,
    expected: Option<f64>,
    place: &str,
) {
    let measure = &schema.measures[measure];
    let right = match (found, expected) {
        (Some(found), Some(expected)) => {
            let slack = expected.abs() * slack(schema, measure.aggregate);
            (found - expected).abs() <= slack + 1e-9
        }
        (found, expected) => found == expected,
    };
    let (name, how) = (&measure.name, measure.aggregate);
    assert!(right, "{place}: {name}, {how:?}, is {found:?}, and {expected:?} in SQL");
}

/// By measure: how many lines lack its value.
fn missing(lines: &Lines<'_>) -> Value {
    let lacking = lines.shop.schema.measures.iter().filter_map(|measure| match measure.aggregate {
        Aggregate::Sum(c)
        | Aggregate::Mean(c)
        | Aggregate::Min(c)
        | Aggregate::Max(c)
        | Aggregate::Variance(c)
        | Aggregate::Deviation(c) => {
            let lines = lines.total(&[format!("nullif(count(*) - count(c{c}), 0)")])?[0]?;
            Some((measure.name.to_string(), json!(lines as u64)))
        }
        _ => None,
    });
    Value::Object(lacking.collect())
}

/// Holds the products of an answer against SQLite's: their figures, and the word that follows from these.
fn products_agree(shop: &Shop, now: &Lines<'_>, before: &Lines<'_>, found: &Value) {
    let sum = |name: &str| match shop.schema.measures[shop.schema.measure(name)?].aggregate {
        Aggregate::Sum(c) => Some(format!("total(c{c}) / {}", unit(&shop.schema, c))),
        _ => None,
    };
    let Some(sales) = sum("sales").filter(|_| shop.schema.products) else {
        return assert!(found.is_null(), "without products or sales: {found}");
    };
    let profit = sum("profit");
    let figures = ["count(*)".into(), sales, profit.clone().unwrap_or("NULL".into())];
    let category = if shop.schema.categories { "category" } else { "NULL" };
    let group = format!("json_array(product, {category})");
    let (now, before) = (now.by(&group, &figures), before.by(&group, &figures));
    let figure = |groups: &Groups, item: &str, at: usize| {
        groups.get(item).and_then(|figures: &Vec<Option<f64>>| figures[at]).unwrap_or(0.0)
    };
    let all_sales: f64 = now.keys().map(|item| figure(&now, item, 1)).sum();
    let near = |found: &Value, expected: Option<f64>, what: &str| {
        let right = match (found.as_f64(), expected) {
            (Some(found), Some(expected)) => {
                (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
            }
            (found, expected) => found == expected,
        };
        assert!(right, "{what} is {found}, and {expected:?} in SQL");
    };
    let items = found["items"].as_array().unwrap();
    let mut words: BTreeMap<String, usize> = BTreeMap::new();
    let mut listed = BTreeSet::new();
    for item in items {
        let name = json!([item["product"], item["category"]]).to_string();
        let (sales, previous) = (figure(&now, &name, 1), figure(&before, &name, 1));
        let profit = profit.as_ref().map(|_| figure(&now, &name, 2));
        near(&item["lines"], Some(figure(&now, &name, 0)), &format!("lines of {name}"));
        near(&item["sales"], Some(sales), &format!("sales of {name}"));
        near(&item["previous_sales"], Some(previous), &format!("previous sales of {name}"));
        near(&item["profit"], profit, &format!("profit of {name}"));
        let margin = profit.filter(|_| sales > 0.0).map(|profit| profit / sales);
        near(&item["margin"], margin, &format!("margin of {name}"));
        let share = if all_sales > 0.0 { sales / all_sales } else { 0.0 };
        near(&item["share"], Some(share), &format!("share of {name}"));
        let health = json!(HealthRules::default().judge(sales, previous, profit));
        assert_eq!(item["health"], health, "{name}");
        *words.entry(health.as_str().unwrap().into()).or_default() += 1;
        assert!(listed.insert(name), "each product once");
    }
    let expected: BTreeSet<String> = now.keys().chain(before.keys()).cloned().collect();
    assert_eq!(listed, expected, "every product");
    for (word, count) in found["counts"].as_object().unwrap() {
        assert_eq!(count, &json!(words.get(word).copied().unwrap_or(0)), "{word}");
    }
}
