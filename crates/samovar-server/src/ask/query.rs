//! The question of `/api/query`.

use std::borrow::Cow;
use std::sync::Arc;

use samovar_levels::{By, Condition, Dimension, Is, Order, Query, Schema};

use super::{Asked, Asking, day, list, pairs, store_id};
use crate::error::Refusal;

/// No more conditions in one question.
const MAX_CONDITIONS: usize = 100;
/// No longer name of a product or category in a condition, in bytes.
const MAX_NAME: usize = 1_024;
/// No more rows to a page.
const MAX_LIMIT: usize = 10_000;

/// What the query of `/api/query` asks for.
#[derive(Debug, PartialEq)]
pub(crate) struct AskedQuery {
    pub(crate) query: Query,
    /// `incomplete=allow`
    pub(crate) incomplete: bool,
}

/// Reads `measures=…&by=…&stores=…&from=…&to=…[&where=…][&order=…][&limit=…][&cursor=…][&incomplete=allow]`.
pub(crate) fn query(text: &str, schema: &Schema) -> Result<AskedQuery, Refusal> {
    let mut asked = Asking::default();
    let (mut measures, mut by, mut order) = (Vec::new(), Vec::new(), Vec::new());
    let (mut conditions, mut limit, mut cursor) = (Vec::new(), Query::DEFAULT_LIMIT, None);
    for (name, value) in pairs(text) {
        match name {
            "measures" => measures.extend(list("measures", value)?),
            "by" => by.extend(list("by", value)?),
            "where" => {
                for text in list("where", value)? {
                    conditions.push(condition(&text, schema)?);
                }
            }
            "order" => order.extend(list("order", value)?),
            "limit" => limit = limit_of(value)?,
            "cursor" => {
                let allowed = "what an earlier page of this question told as next";
                let wrong = |_| Refusal::field("cursor", value, allowed);
                cursor = Some(value.parse().map_err(wrong)?);
            }
            other if asked.take(other, value)? => {}
            other => {
                let allowed =
                    "measures, by, stores, from, to, where, order, limit, cursor and incomplete";
                return Err(Refusal::field("query", other, allowed));
            }
        }
    }
    if conditions.len() > MAX_CONDITIONS {
        let found = format!("{} conditions", conditions.len());
        return Err(Refusal::field("where", &found, format!("at most {MAX_CONDITIONS}")));
    }
    let (measures, by) = (measures_of(&measures, schema)?, dimensions(&by, schema)?);
    let order = order.iter().map(|text| order_of(text, &by, schema));
    let order = order.collect::<Result<Vec<_>, _>>()?;
    let columns: Vec<By> = order.iter().map(|order| order.by).collect();
    once("order", &columns, order_name(schema))?;
    let Asked { selection, incomplete } = asked.finish()?;
    let query = Query { by, conditions, order, limit, cursor, ..Query::new(selection, measures) };
    Ok(AskedQuery { query, incomplete })
}

/// Complains about what stands twice in a list.
fn once<T: PartialEq>(
    field: &'static str,
    items: &[T],
    name: impl Fn(&T) -> String,
) -> Result<(), Refusal> {
    let again = (1..items.len()).find(|at| items[..*at].contains(&items[*at]));
    match again {
        Some(at) => Err(Refusal::field(field, &name(&items[at]), "each name once")),
        None => Ok(()),
    }
}

fn known_measures(schema: &Schema) -> String {
    let names: Vec<&str> = schema.measures.iter().map(|measure| &*measure.name).collect();
    format!("some of {}", names.join(", "))
}

fn measures_of(names: &[Cow<'_, str>], schema: &Schema) -> Result<Vec<usize>, Refusal> {
    let unknown = |name: &str| Refusal::field("measures", name, known_measures(schema));
    if names.is_empty() {
        return Err(unknown("nothing"));
    }
    let found = names.iter().map(|name| schema.measure(name).ok_or_else(|| unknown(name)));
    let measures = found.collect::<Result<Vec<_>, _>>()?;
    once("measures", &measures, |at| schema.measures[*at].name.to_string())?;
    Ok(measures)
}

fn known_dimensions(schema: &Schema) -> String {
    let known = Dimension::ALL.into_iter().filter(|dimension| dimension.is_in(schema));
    known.map(Dimension::as_str).collect::<Vec<_>>().join(", ")
}

fn dimension(field: &'static str, name: &str, schema: &Schema) -> Result<Dimension, Refusal> {
    let known = Dimension::ALL.into_iter().filter(|dimension| dimension.is_in(schema));
    let mut found = known.filter(|dimension| dimension.as_str() == name);
    found.next().ok_or_else(|| {
        Refusal::field(
            field,
            name,
            format!("this dataset's dimensions: {}", known_dimensions(schema)),
        )
    })
}

fn dimensions(names: &[Cow<'_, str>], schema: &Schema) -> Result<Vec<Dimension>, Refusal> {
    let found = names.iter().map(|name| dimension("by", name, schema));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    once("by", &found, |dimension| dimension.as_str().into())?;
    Ok(found)
}

/// `dimension=value` or `dimension!=value`.
fn condition(text: &str, schema: &Schema) -> Result<Condition, Refusal> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(Refusal::field("where", text, "dimension=value or dimension!=value"));
    };
    let (name, not) = name.strip_suffix('!').map_or((name, false), |name| (name, true));
    let named = |value: &str| match value {
        "" => Ok(None),
        value if value.len() > MAX_NAME => {
            Err(Refusal::field("where", value, format!("a name of at most {MAX_NAME} bytes")))
        }
        value => Ok(Some(Arc::from(value))),
    };
    let is = match dimension("where", name, schema)? {
        Dimension::StoreId => Is::Store(store_id("where", value)?),
        Dimension::Date => Is::Date(day("where", value)?),
        Dimension::Product => Is::Product(named(value)?),
        Dimension::Category => Is::Category(named(value)?),
    };
    Ok(Condition { is, not })
}

/// A measure or a dimension that is asked for, with `-` before it from the greatest on.
fn order_of(text: &str, by: &[Dimension], schema: &Schema) -> Result<Order, Refusal> {
    let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    let dimension = by.iter().find(|dimension| dimension.as_str() == name);
    let found = match (dimension, schema.measure(name)) {
        (Some(dimension), _) => By::Dimension(*dimension),
        (None, Some(measure)) => By::Measure(measure),
        (None, None) => {
            let allowed = format!("what by= names, and {}", known_measures(schema));
            return Err(Refusal::field("order", text, allowed));
        }
    };
    Ok(Order { by: found, descending })
}

fn order_name(schema: &Schema) -> impl Fn(&By) -> String {
    |by| match by {
        By::Measure(measure) => schema.measures[*measure].name.to_string(),
        By::Dimension(dimension) => dimension.as_str().into(),
    }
}

fn limit_of(value: &str) -> Result<usize, Refusal> {
    let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| {
        Refusal::field("limit", value, format!("a whole number from 1 to {MAX_LIMIT}"))
    })
}

#[cfg(test)]
mod tests {
    use samovar_levels::{Aggregate, Better, Measure, Unit};

    use super::*;

    fn schema() -> Schema {
        let measure = |name: &str| Measure {
            name: name.into(),
            label: None,
            unit: Unit::Count,
            decimals: 0,
            better: Better::Up,
            aggregate: Aggregate::Count,
        };
        let measures = vec![measure("orders"), measure("lines")];
        Schema { columns: Vec::new(), measures, products: true, categories: false }
    }

    const SELECTED: &str = "stores=all&from=2026-01-01&to=2026-01-31";

    fn asked(more: &str) -> Result<Query, Refusal> {
        query(&format!("{SELECTED}&{more}"), &schema()).map(|asked| asked.query)
    }

    #[test]
    fn a_question_with_all_there_is() {
        let found = asked(
            "measures=lines%2Corders&by=product&by=date&where=product!=,store_id=a%5C%2Cb\
             &where=product=a%3Db%5C,c&order=-orders%2Cdate&limit=7",
        )
        .unwrap();
        assert_eq!(found.measures, [1, 0]);
        assert_eq!(found.by, [Dimension::Product, Dimension::Date]);
        let conditions = [
            Condition { is: Is::Product(None), not: true },
            Condition { is: Is::Store("a,b".into()), not: false },
            Condition { is: Is::Product(Some("a=b,c".into())), not: false },
        ];
        assert_eq!(found.conditions, conditions);
        let order = [
            Order { by: By::Measure(0), descending: true },
            Order { by: By::Dimension(Dimension::Date), descending: false },
        ];
        assert_eq!(found.order, order);
        assert_eq!((found.limit, found.cursor), (7, None));
    }

    #[test]
    fn bad_input_names_the_field() {
        let many = vec!["product=a"; MAX_CONDITIONS + 1].join(",");
        let long = "x".repeat(MAX_NAME + 1);
        for (more, named) in [
            ("", "measures"),
            ("measures=", "measures"),
            ("measures=sails", "measures"),
            ("measures=orders,orders", "measures"),
            ("measures=orders&by=category", "by"),
            ("measures=orders&by=date,date", "by"),
            ("measures=orders&where=tea", "where"),
            ("measures=orders&where=category=tea", "where"),
            ("measures=orders&where=date=today", "where"),
            ("measures=orders&where=store_id=", "where"),
            (&format!("measures=orders&where=product={long}"), "where"),
            (&format!("measures=orders&where={many}"), "where"),
            ("measures=orders&order=date", "order"),
            ("measures=orders&order=orders,-orders", "order"),
            ("measures=orders&limit=0", "limit"),
            ("measures=orders&limit=10001", "limit"),
            ("measures=orders&cursor=next", "cursor"),
            ("measures=orders&form=1", "query"),
            ("measures=orders&incomplete=yes", "incomplete"),
        ] {
            match asked(more) {
                Err(Refusal::Field { field, .. }) => assert_eq!(field, named, "{more}"),
                other => panic!("{more}: {other:?}"),
            }
        }
    }
}
