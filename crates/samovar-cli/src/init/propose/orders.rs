//! Which lines make an order, and whether orders can be added up.

use samovar_source::catalog::{Column, Columns, Probe};

use super::choose::Choice;
use super::grouped;
use super::measures::{How, Measure};
use super::numbers::{is_count_of, number, numbers};
use super::reach::{At, Reach};
use super::roles::{examples, is_id};
use super::select::Select;
use crate::host::Failure;
use crate::init::words::{ABOUT, ID, LINE, Name, ORDER};

/// What is known of orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Orders {
    /// Store and day are those of the order's own row: it has one of each.
    OneRow,
    /// Whether an order has one store and one day has to be asked.
    Ask,
    /// It has one of each, as far as was looked.
    Within,
    /// It has not, or nobody knows.
    Apart,
}

impl Orders {
    /// Whether orders can be counted within each store and day, and added up.
    pub(crate) fn within(self) -> bool {
        matches!(self, Orders::OneRow | Orders::Within)
    }
}

/// How many orders: different ids where several lines make one, else lines.
pub(crate) fn orders(reach: &Reach<'_>, settled_by: impl Fn(usize) -> bool) -> Measure {
    let table = reach.table(0);
    let measure = |name: &str, how: How, why: String| Measure {
        name: name.into(),
        how,
        unit: None,
        decimals: None,
        down: false,
        why: vec![why],
        proposed: true,
    };
    // The order that a line belongs to has a row of its own.
    let header = table.columns.iter().find_map(|column| {
        let at = At { table: 0, column: column.name.clone() };
        let to = reach.referred(&at)?;
        let called = Name::of(&reach.table(to).name.name);
        (called.says(ORDER) && !called.says(ABOUT)).then_some((at, to))
    });
    if let Some((at, to)) = header {
        let orders = if settled_by(to) { Orders::OneRow } else { Orders::Ask };
        let why = format!("an order has several lines: different values of {}", at.column);
        return measure("orders", How::Distinct(at.expression(), orders), why);
    }
    // Rows that were added up already count their orders.
    if let Some((at, column)) = numbers(reach).into_iter().find(|(_, it)| is_count_of(it, ORDER)) {
        let why = format!("{} counts them by its name{}", at.column, examples(column));
        let unit = Some("count");
        return Measure { unit, ..measure("orders", How::Sum(number(&at, column)), why) };
    }
    let mut ids: Vec<(usize, &Column)> = (table.columns.iter())
        .filter(|column| is_id(column))
        .filter_map(|column| {
            let name = Name::of(&column.name);
            let fits = name.says(ID) || name.words().len() == 1;
            let only = name.says_only(ORDER, &[ID]) && !name.says(LINE) && fits;
            if only { Some((name.place(ORDER)?, column)) } else { None }
        })
        .collect();
    ids.sort_by_key(|(place, _)| *place);
    let is_key = |column: &Column| table.keys.iter().any(|key| *key == [column.name.as_str()]);
    let called = Name::of(&table.name.name);
    match ids.first() {
        Some((_, column)) if is_key(column) => {
            let why = format!("{} is a key: one line is one order", column.name);
            measure("orders", How::Lines, why)
        }
        Some((_, column)) => {
            let at = At { table: 0, column: column.name.clone() };
            let why = format!("an order has several lines: different values of {}", column.name);
            measure("orders", How::Distinct(at.expression(), Orders::Ask), why)
        }
        None if called.says(ORDER) && !called.says(LINE) => {
            measure("orders", How::Lines, "by the table's name one line is one order".into())
        }
        None => measure("lines", How::Lines, "no column tells which lines make an order".into()),
    }
}

/// Finds out whether orders can be counted within each store and day and added up, and says so.
pub(crate) fn settle(
    measure: &mut Measure,
    choice: &Choice<'_>,
    time_zone: &str,
    probe: &mut dyn Probe,
) -> Result<(), Failure> {
    let How::Distinct(order, orders) = &mut measure.how else { return Ok(()) };
    if *orders == Orders::OneRow {
        let why = "store and day are those of the order's own row, so no order spans two: exact";
        measure.why.push(why.into());
    }
    if *orders != Orders::Ask {
        return Ok(());
    }
    let mut select = Select::default();
    let store = select.add(choice.store_expression(), "store_id");
    let date = select.add(choice.date_expression(), "date");
    let order = select.add(order.clone(), "order_id");
    let (kind, form) = choice.date_holds();
    let columns = Columns { order: &order, store: &store, date: &date, kind, form, time_zone };
    let said = match probe.spans(&select.query(&choice.reach), columns)? {
        Some(spans) if spans.orders == spans.lines && spans.lines > 0 => {
            let all = if spans.all { "all" } else { "the first" };
            let why = format!(
                "each order has one line in {all} {}: one line is one order",
                grouped(spans.lines)
            );
            (measure.how, measure.why) = (How::Lines, vec![why]);
            return Ok(());
        }
        Some(spans) if spans.spanning == 0 => {
            *orders = Orders::Within;
            let all = if spans.all { "all" } else { "the first" };
            format!(
                "none of {} orders in {all} {} lines spans two stores or days, so they are counted exactly within each \
                 and added up. This is taken for granted of lines to come: if that is wrong, remove unique_within",
                grouped(spans.orders),
                grouped(spans.lines)
            )
        }
        Some(spans) => {
            *orders = Orders::Apart;
            format!(
                "{} of {} orders looked at span stores or days, so they are counted over all asked for: an estimate \
                 beyond 4,096",
                grouped(spans.spanning),
                grouped(spans.orders)
            )
        }
        None => {
            *orders = Orders::Apart;
            "whether an order spans stores or days took too long to find out: an estimate beyond 4,096; if none does, \
             add unique_within = \"partition\", which is exact"
                .into()
        }
    };
    measure.why.push(said);
    Ok(())
}
