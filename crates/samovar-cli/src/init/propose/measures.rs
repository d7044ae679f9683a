//! What is worth measuring, and what adding up would say nothing.

use samovar_source::catalog::{Column, Expression};

use super::numbers::{
    self, Amount, columns_of, is_amount, is_count_of, is_duration, is_share, number, numbers, signs,
};
use super::orders::{Orders, orders};
use super::reach::{At, Reach};
use super::roles::{examples, is_epoch, is_id};
use crate::init::words::{
    AMOUNT, COST, CUSTOMER, DISCOUNT, EXTRA, ID, NEVER, Name, ORDER, PLACE, PRICE, PRODUCT,
    QUANTITY, STORE, UNIT,
};

/// Columns of an answer that are no measures, and those that follow from measures.
const TAKEN: [&str; 7] =
    ["store_id", "store_name", "date", "product", "category", "margin", "average_order_value"];
/// Further measures that are offered, commented out.
const OFFERED: usize = 6;
/// Measures beyond these are offered, not proposed: a configuration has 32 at most, with those that follow from others.
const MOST: usize = 24;
/// More decimals are the noise of floats.
const MOST_DECIMALS: u8 = 6;

/// A measure to be.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    pub(crate) name: String,
    pub(crate) how: How,
    /// As the configuration has it; `None` where the default will do.
    pub(crate) unit: Option<&'static str>,
    pub(crate) decimals: Option<u8>,
    /// Whether less is better.
    pub(crate) down: bool,
    pub(crate) why: Vec<String>,
    /// Whether it is proposed; if not, it is offered, commented out.
    pub(crate) proposed: bool,
}

/// How a measure is computed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum How {
    Lines,
    Sum(Expression),
    Mean(Expression),
    /// The 95th percentile.
    P95(Expression),
    Distinct(Expression, Orders),
}

impl How {
    pub(crate) fn expression(&self) -> Option<&Expression> {
        match self {
            How::Lines => None,
            How::Sum(it) | How::Mean(it) | How::P95(it) | How::Distinct(it, _) => Some(it),
        }
    }
}

/// The measures of a table, and what there is to say beside them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measures {
    pub(crate) list: Vec<Measure>,
    pub(crate) notes: Vec<String>,
    /// Columns that were used, or decided against.
    seen: Vec<String>,
}

/// Proposes measures. `settled_by` says whether one row of a table settles store and day, see [`Orders::OneRow`];
/// `product` is the table of products; `taken` is what has another role.
pub(crate) fn measures(
    reach: &Reach<'_>,
    settled_by: impl Fn(usize) -> bool,
    product: Option<usize>,
    taken: &[&Expression],
) -> Measures {
    let seen = taken.iter().flat_map(|expression| columns_of(expression)).collect();
    let mut all = Measures { seen, ..Measures::default() };
    let amount = numbers::amount(reach);
    let quantity = numbers::quantity(reach);
    let profit = numbers::profit(reach, amount.as_ref(), quantity.as_ref(), product);
    if let Some(mut amount) = amount {
        amount.why.extend(returns(reach, &amount.expression));
        all.sum("sales", amount, Some("money"));
    }
    let orders = orders(reach, settled_by);
    all.seen.extend(orders.how.expression().into_iter().flat_map(columns_of));
    all.list.push(orders);
    if let Some(profit) = profit {
        all.sum("profit", profit, Some("money"));
    }
    if let Some((at, column)) = &quantity {
        let mut pieces = Amount::of(at, column, "by its name");
        pieces.why.extend(signs(column));
        all.sum("quantity", pieces, if column.seen.decimals == 0 { Some("count") } else { None });
    }
    for (at, column) in numbers(reach) {
        all.further(&at, column);
    }
    all.customers(reach);
    all.totals_of_orders(reach);
    all.name_apart();
    all
}

impl Measures {
    fn sum(&mut self, name: &str, amount: Amount, unit: Option<&'static str>) {
        let Amount { expression, decimals, why } = amount;
        let usual = match unit {
            Some("money") => 2,
            Some("count") => 0,
            _ => 4,
        };
        let decimals = (usual + 1..=MOST_DECIMALS).contains(&decimals).then_some(decimals);
        self.seen.extend(columns_of(&expression));
        let how = How::Sum(expression);
        let proposed = self.list.len() < MOST;
        self.list.push(Measure {
            name: name.into(),
            how,
            unit,
            decimals,
            down: false,
            why,
            proposed,
        });
    }

    /// A number beside sales, profit and quantity.
    fn further(&mut self, at: &At, column: &Column) {
        let name = Name::of(&column.name);
        if self.seen.contains(&column.name) {
            return;
        }
        let plain = measure_name(&column.name);
        let by_name = |what: &str| Amount::of(at, column, what);
        if is_duration(&name) {
            self.duration(&plain, &name, number(at, column));
        } else if name.says(DISCOUNT) {
            let share = is_share(column);
            let why = if share {
                "a discount by its name, a share by its values, all of them from 0 to 1: not added up"
            } else {
                "a discount by its name"
            };
            self.sum(&plain, by_name(why), Some("money"));
            if share {
                self.offer();
            }
        } else if self.list.iter().filter(|measure| !measure.proposed).count() < OFFERED {
            let is_money = name.says(EXTRA) || name.says(AMOUNT) || name.says(COST);
            let unit_price = name.says(PRICE) || name.says(COST) && name.says(UNIT);
            let names_something =
                [NEVER, STORE, PLACE, PRODUCT].iter().any(|words| name.says(words));
            if names_something || unit_price || is_epoch(column, 1.0) || is_epoch(column, 1_000.0) {
                return;
            }
            let unit = is_money.then_some("money");
            self.sum(&plain, by_name("a number that may be worth adding up"), unit);
            self.offer();
        }
    }

    /// Gives each measure a name of its own, and none that an answer's other columns have.
    fn name_apart(&mut self) {
        let mut taken: Vec<String> = TAKEN.map(str::to_owned).into();
        for measure in &mut self.list {
            let names = (2..).map(|at| format!("{}_{at}", measure.name));
            let names = std::iter::once(measure.name.clone()).chain(names);
            measure.name = names.into_iter().find(|name| !taken.contains(name)).unwrap_or_default();
            taken.push(measure.name.clone());
        }
    }

    /// Leaves the last measure to the user.
    fn offer(&mut self) {
        if let Some(last) = self.list.last_mut() {
            last.proposed = false;
        }
    }

    /// How long something took: a mean, and what nineteen of twenty stay below.
    fn duration(&mut self, plain: &str, name: &Name, expression: Expression) {
        let says = |words: &[&str]| name.words().iter().any(|word| words.contains(&&**word));
        let (expression, unit) = match () {
            () if says(&["minute", "分钟", "min"]) => (expression, Some("minutes")),
            () if says(&["second", "sec", "秒"]) => {
                (Expression::Over(Box::new(expression), 60), Some("minutes"))
            }
            () => (expression, None),
        };
        let why = match unit {
            Some(_) => "how long something takes, by its name; less is better",
            None => "how long something takes, by its name, which tells no unit; less is better",
        };
        let hows = [("mean", How::Mean(expression.clone())), ("p95", How::P95(expression))];
        for (suffix, how) in hows {
            let name = format!("{plain}_{suffix}");
            let why = vec![why.to_owned()];
            self.list.push(Measure {
                name,
                how,
                unit,
                decimals: None,
                down: true,
                why,
                proposed: true,
            });
        }
    }

    /// How many different customers there were: offered, since it costs a sketch for each store and day.
    fn customers(&mut self, reach: &Reach<'_>) {
        let found = reach.columns().find(|(at, column)| {
            let name = Name::of(&column.name);
            let owner = Name::of(&reach.table(at.table).name.name);
            let refers = reach
                .referred(at)
                .is_some_and(|to| Name::of(&reach.table(to).name.name).says(CUSTOMER));
            (refers || name.says_only(CUSTOMER, &[ID]))
                && !is_count_of(column, CUSTOMER)
                && (at.table == 0 || owner.says(ORDER))
                && is_id(column)
        });
        let Some((at, column)) = found else { return };
        self.list.push(Measure {
            name: "customers".into(),
            how: How::Distinct(at.expression(), Orders::Apart),
            unit: None,
            decimals: None,
            down: false,
            why: vec![format!(
                "different values of {}{}; an estimate beyond 4,096 of them, and a sketch to keep for each store and day",
                reach.shown(&at),
                examples(column)
            )],
            proposed: false,
        });
    }

    /// Says why the totals of an order are not added up over its lines.
    fn totals_of_orders(&mut self, reach: &Reach<'_>) {
        let totals: Vec<String> = reach
            .columns()
            .filter(|(at, column)| {
                at.table > 0
                    && Name::of(&reach.table(at.table).name.name).says(ORDER)
                    && is_amount(column)
            })
            .map(|(at, _)| reach.shown(&at))
            .collect();
        if !totals.is_empty() {
            self.notes.push(format!(
                "not added up, since a join repeats it for each line of an order: {}",
                totals.join(", ")
            ));
        }
    }
}

/// Says that amounts below zero are among the sums; of a price times a quantity the quantity says it.
fn returns(reach: &Reach<'_>, expression: &Expression) -> Vec<String> {
    let names = columns_of(expression).into_iter().filter(|name| !Name::of(name).says(QUANTITY));
    names.filter_map(|name| signs(reach.table(0).column(&name)?)).collect()
}

/// A column's name as that of a measure: letters, digits and `_`.
pub(crate) fn measure_name(column: &str) -> String {
    let plain: String =
        column.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    let plain = plain.trim_matches('_').to_owned();
    if plain.is_empty() { "measure".into() } else { plain }
}
