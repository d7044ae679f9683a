//! What is worth measuring, and what adding up would say nothing.

use samovar_source::catalog::{Column, Expression, Form, Kind};

use super::reach::{At, Reach};
use super::roles::{DateForm, examples, is_epoch, is_id};
use crate::init::words::{
    AMOUNT, COST, COST_OF, COUNT, CUSTOMER, DISCOUNT, DURATION, EXTRA, ID, LINE, NEVER, NO_AMOUNT,
    Name, ORDER, PLACE, PRICE, PRODUCT, PROFIT, QUANTITY, STORE, UNIT, Words,
};

/// Columns of an answer that are no measures, and those that follow from measures.
const TAKEN: [&str; 7] =
    ["store_id", "store_name", "date", "product", "category", "margin", "average_order_value"];
/// Further measures that are offered, commented out.
const OFFERED: usize = 6;
/// So many values between nothing and one are not there by chance.
const SHARES: u64 = 20;
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

/// A number of a line with how it is written in a query.
struct Amount {
    expression: Expression,
    decimals: u8,
    why: String,
}

/// What a line took: the sum that ranks everything. `None` if nothing looks like it.
pub(crate) fn has_amount(reach: &Reach<'_>) -> bool {
    amount(reach, &mut Vec::new()).is_some()
}

/// Whether lines have a number of pieces.
pub(crate) fn has_quantity(reach: &Reach<'_>) -> bool {
    quantity(reach).is_some()
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
    let mut also = Vec::new();
    let amount = amount(reach, &mut also);
    if let Some(amount) = &amount {
        let mut why = vec![amount.why.clone()];
        if !also.is_empty() {
            why.push(format!("also possible: {}", also.join(", ")));
        }
        all.sum("sales", amount.expression.clone(), Some("money"), amount.decimals, why);
    }
    let orders = orders(reach, settled_by);
    all.seen.extend(orders.how.expression().into_iter().flat_map(columns_of));
    all.list.push(orders);
    let quantity = quantity(reach);
    profit(reach, amount.as_ref(), quantity.as_ref(), product, &mut all);
    if let Some((at, column)) = &quantity {
        all.quantity(at, column);
    }
    if let Some(amount) = &amount
        && let [table] = amount.expression.tables()[..]
        && table == 0
    {
        all.returns(reach, &amount.expression);
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
    fn sum(
        &mut self,
        name: &str,
        expression: Expression,
        unit: Option<&'static str>,
        decimals: u8,
        why: Vec<String>,
    ) {
        let usual = match unit {
            Some("money") => 2,
            Some("count") => 0,
            _ => 4,
        };
        let decimals = (usual + 1..=MOST_DECIMALS).contains(&decimals).then_some(decimals);
        self.seen.extend(columns_of(&expression));
        let how = How::Sum(expression);
        let name = name.to_owned();
        self.list.push(Measure { name, how, unit, decimals, down: false, why, proposed: true });
    }

    fn quantity(&mut self, at: &At, column: &Column) {
        let whole = column.seen.decimals == 0;
        let mut why = vec![format!("{}, by its name{}", at.column, examples(column))];
        why.extend(signs(column));
        let unit = if whole { Some("count") } else { None };
        self.sum("quantity", number(at, column), unit, column.seen.decimals, why);
    }

    /// Says that amounts below zero are among the sums.
    fn returns(&mut self, reach: &Reach<'_>, expression: &Expression) {
        for name in columns_of(expression) {
            let column = reach.table(0).column(&name);
            if let (Some(column), Some(sales)) = (column, self.list.first_mut())
                && !Name::of(&name).says(QUANTITY)
            {
                sales.why.extend(signs(column));
            }
        }
    }

    /// A number beside sales, profit and quantity.
    fn further(&mut self, at: &At, column: &Column) {
        let name = Name::of(&column.name);
        if self.seen.contains(&column.name) {
            return;
        }
        let plain = measure_name(&column.name);
        let expression = number(at, column);
        let by_name = |what: &str| vec![format!("{}, {what}{}", at.column, examples(column))];
        if is_duration(&name) {
            self.duration(&plain, &name, expression);
        } else if name.says(DISCOUNT) && is_share(column) {
            let why = by_name(
                "a discount by its name, a share by its values, all of them from 0 to 1: not added up",
            );
            self.sum(&plain, expression, Some("money"), column.seen.decimals, why);
            self.offer();
        } else if name.says(DISCOUNT) {
            let why = by_name("a discount by its name");
            self.sum(&plain, expression, Some("money"), column.seen.decimals, why);
        } else if self.list.iter().filter(|measure| !measure.proposed).count() < OFFERED {
            let is_money = name.says(EXTRA) || name.says(AMOUNT) || name.says(COST);
            let unit_price = name.says(PRICE) || name.says(COST) && name.says(UNIT);
            let names_something =
                [NEVER, STORE, PLACE, PRODUCT].iter().any(|words| name.says(words));
            if names_something || unit_price || is_epoch(column, 1.0) || is_epoch(column, 1_000.0) {
                return;
            }
            let unit = is_money.then_some("money");
            let why = by_name("a number that may be worth adding up");
            self.sum(&plain, expression, unit, column.seen.decimals, why);
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

/// The numbers of the table itself that may be measures: no keys, no ids, no dates.
fn numbers<'a>(reach: &Reach<'a>) -> Vec<(At, &'a Column)> {
    let table = reach.table(0);
    let is_reference = |name: &String| table.references.iter().any(|it| it.columns.contains(name));
    let is_key = |name: &String| table.keys.first().is_some_and(|key| key.contains(name));
    let fits = |column: &&Column| {
        let name = Name::of(&column.name);
        let is_text = column.kind == Kind::Text && column.seen.form == Form::Numbers;
        let joins = reach.referred(&At { table: 0, column: column.name.clone() }).is_some();
        (column.kind.is_number() || is_text && name.says(AMOUNT))
            && (!name.says(ID) || is_count_of(column, ORDER))
            && !joins
            && !is_reference(&column.name)
            && !is_key(&column.name)
            && DateForm::of(column).is_none()
    };
    let at = |column: &Column| At { table: 0, column: column.name.clone() };
    table.columns.iter().filter(fits).map(|column| (at(column), column)).collect()
}

fn is_amount(column: &Column) -> bool {
    let name = Name::of(&column.name);
    column.kind.is_number()
        && name.says(AMOUNT)
        && !name.says(NO_AMOUNT)
        && !name.says(NEVER)
        && !name.says(ID)
        && !is_unit_price(&name)
        && DateForm::of(column).is_none()
}

/// Whether a name is that of the price of one piece.
fn is_unit_price(name: &Name) -> bool {
    let of_all = ["total", "subtotal", "extended", "总价", "line", "sum"];
    name.says(PRICE) && !name.words().iter().any(|word| of_all.contains(&&**word))
}

/// Whether a discount is a share: its name says no more than that, and its values are fractions between nothing and
/// one, enough of them that it is no chance.
fn is_share(column: &Column) -> bool {
    let seen = &column.seen;
    let name = Name::of(&column.name);
    let plain = name.words().len() == 1 || name.says(NEVER);
    plain
        && seen.range.is_some_and(|(low, high)| low >= 0.0 && high <= 1.0)
        && seen.decimals > 0
        && seen.values - seen.zero >= SHARES
}

fn is_duration(name: &Name) -> bool {
    name.says(DURATION) && !name.says(PRICE) && !name.says(COST) && !name.says(QUANTITY)
}

/// A column as a number: PostgreSQL's `money` is cast, cents become units.
fn number(at: &At, column: &Column) -> Expression {
    let plain = at.expression();
    let plain =
        if column.kind == Kind::Money { Expression::Number(Box::new(plain)) } else { plain };
    if in_cents(column) { Expression::Over(Box::new(plain), 100) } else { plain }
}

fn in_cents(column: &Column) -> bool {
    let minor = ["cent", "minor", "pence", "penny"];
    let name = Name::of(&column.name);
    column.seen.decimals == 0 && name.words().iter().any(|word| minor.contains(&&**word))
}

fn decimals(column: &Column) -> u8 {
    if in_cents(column) { 2 } else { column.seen.decimals }
}

/// What a line took: a column, or price times quantity. The others that would do go to `also`.
fn amount(reach: &Reach<'_>, also: &mut Vec<String>) -> Option<Amount> {
    let mut found: Vec<(usize, At, &Column)> = numbers(reach)
        .into_iter()
        .filter(|(_, column)| {
            is_amount(column)
                || column.kind == Kind::Text && !is_unit_price(&Name::of(&column.name))
        })
        .filter_map(|(at, column)| Some((Name::of(&column.name).place(AMOUNT)?, at, column)))
        .collect();
    found.sort_by_key(|(place, ..)| *place);
    also.extend(found.iter().skip(1).map(|(_, at, _)| at.column.clone()));
    if let Some((_, at, column)) = found.first() {
        let cents =
            if in_cents(column) { "; its cents are divided by 100 in the query" } else { "" };
        let why = format!("{}, by its name{}{cents}", at.column, examples(column));
        return Some(Amount { expression: number(at, column), decimals: decimals(column), why });
    }
    let prices = || {
        numbers(reach).into_iter().filter(|(_, column)| {
            let name = Name::of(&column.name);
            is_unit_price(&name) && !name.says(COST) && !name.says(DISCOUNT)
        })
    };
    let (at, column) = prices()
        .find(|(_, column)| Name::of(&column.name).says(UNIT))
        .or_else(|| prices().next())?;
    let price = number(&at, column);
    let Some((of, quantity)) = quantity(reach) else {
        let why =
            format!("{}, since there is no amount, and no quantity to multiply it with", at.column);
        return Some(Amount { expression: price, decimals: decimals(column), why });
    };
    let mut product = Expression::Times(Box::new(price), Box::new(of.expression()));
    let mut digits = decimals(column) + quantity.seen.decimals;
    let mut why = format!("there is no amount, so {} times {}", at.column, of.column);
    let share = numbers(reach)
        .into_iter()
        .find(|(_, column)| Name::of(&column.name).says(DISCOUNT) && is_share(column));
    if let Some((share, column)) = share {
        let rest = Expression::Rest(Box::new(share.expression()));
        product = Expression::Times(Box::new(product), Box::new(rest));
        digits += column.seen.decimals;
        why += &format!(", less {}, a share by its values{}", share.column, examples(column));
    }
    Some(Amount { expression: product, decimals: digits, why })
}

/// The number of pieces of a line.
fn quantity<'a>(reach: &Reach<'a>) -> Option<(At, &'a Column)> {
    numbers(reach)
        .into_iter()
        .filter_map(|(at, column)| {
            let name = Name::of(&column.name);
            let other = [PRICE, COST, DISCOUNT, PROFIT, ORDER, CUSTOMER]
                .iter()
                .any(|words| name.says(words));
            let money = name
                .words()
                .iter()
                .any(|word| ["amount", "value", "stock", "revenue"].contains(&&**word));
            if other || money || is_duration(&name) {
                None
            } else {
                Some((name.place(QUANTITY)?, at, column))
            }
        })
        .min_by_key(|(place, ..)| *place)
        .map(|(_, at, column)| (at, column))
}

/// Profit: a column, or what is left of the amount after a cost.
fn profit(
    reach: &Reach<'_>,
    amount: Option<&Amount>,
    quantity: Option<&(At, &Column)>,
    product: Option<usize>,
    all: &mut Measures,
) {
    let own = numbers(reach).into_iter().find(|(_, column)| {
        let name = Name::of(&column.name);
        let share = column.seen.range.is_some_and(|(low, high)| low >= -1.0 && high <= 1.0);
        name.says(PROFIT) && !name.says(NEVER) && !(share && column.seen.decimals > 0)
    });
    if let Some((at, column)) = own {
        let why = vec![format!("{}, by its name{}", at.column, examples(column))];
        return all.sum("profit", number(&at, column), Some("money"), decimals(column), why);
    }
    let Some(amount) = amount else { return };
    let is_cost = |column: &Column| {
        let name = Name::of(&column.name);
        // The cost of replacing it, or of sending it, is another.
        name.says_only(COST, &[COST_OF, UNIT, QUANTITY, PRODUCT]) && column.kind.is_number()
    };
    let here = numbers(reach).into_iter().find(|(_, column)| is_cost(column));
    let there = product.and_then(|table| {
        let column = reach.table(table).columns.iter().find(|column| is_cost(column))?;
        Some((At { table, column: column.name.clone() }, column))
    });
    let Some((at, column)) = here.or(there) else { return };
    let name = Name::of(&column.name);
    let of_all = name.words().iter().any(|word| ["total", "成本额", "cogs"].contains(&&**word));
    let of_one = at.table > 0 || name.says(UNIT) || name.says(QUANTITY);
    let mut cost = number(&at, column);
    let mut digits = decimals(column);
    let mut why = format!("what is left of the sales after {}", reach.shown(&at));
    match quantity {
        Some((of, pieces)) if of_one && !of_all => {
            cost = Expression::Times(Box::new(of.expression()), Box::new(cost));
            digits += pieces.seen.decimals;
            why += &format!(" times {}", of.column);
        }
        _ if !of_all && at.table == 0 => why += ", taken for the cost of the whole line",
        _ => {}
    }
    let mut whys = vec![why];
    if at.table > 0 {
        whys.push("a cost of today, also for older lines; a line whose product has none counts as missing it".into());
    }
    let left = Expression::Minus(Box::new(amount.expression.clone()), Box::new(cost));
    all.sum("profit", left, Some("money"), digits.max(amount.decimals), whys);
}

/// How many orders: different ids where several lines make one, else lines.
fn orders(reach: &Reach<'_>, settled_by: impl Fn(usize) -> bool) -> Measure {
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
        Name::of(&reach.table(to).name.name).says(ORDER).then_some((at, to))
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
    let once =
        |column: &Column| column.seen.values >= 20 && column.seen.distinct == column.seen.values;
    match ids.first() {
        Some((_, column)) if is_key(column) => measure(
            "orders",
            How::Lines,
            format!("{} is a key: one line is one order", column.name),
        ),
        Some((_, column)) if once(column) && column.seen.values == column.seen.rows => {
            let why =
                format!("each {} was seen once: one line is taken for one order", column.name);
            measure("orders", How::Lines, why)
        }
        Some((_, column)) => {
            let at = At { table: 0, column: column.name.clone() };
            let why = format!("an order has several lines: different values of {}", column.name);
            measure("orders", How::Distinct(at.expression(), Orders::Ask), why)
        }
        None if Name::of(&table.name.name).says(ORDER)
            && !Name::of(&table.name.name).says(LINE) =>
        {
            measure("orders", How::Lines, "by the table's name one line is one order".into())
        }
        None => measure("lines", How::Lines, "no column tells which lines make an order".into()),
    }
}

/// Whether a column counts things and does not name one: `orders`, `order_count`, `订单数`; not `order_no`.
fn is_count_of(column: &Column, words: Words) -> bool {
    let name = Name::of(&column.name);
    let last_is_plural = column.name.to_lowercase().ends_with('s')
        && name.words().last().is_some_and(|last| Name::of(last).says(words));
    let first_counts =
        name.words().first().is_some_and(|word| ["num", "number"].contains(&&**word));
    column.kind.is_number()
        && column.seen.decimals == 0
        && name.says(words)
        && (last_is_plural && (name.words().len() == 1 || first_counts) || name.says(COUNT))
}

/// What the signs of a number say.
fn signs(column: &Column) -> Option<String> {
    let seen = &column.seen;
    let below = (seen.negative > 0).then(|| {
        format!("{} are below zero (returns lower the sums, and count as lines)", seen.negative)
    });
    let zero = (seen.zero > 0).then(|| format!("{} are zero", seen.zero));
    let said: Vec<String> = below.into_iter().chain(zero).collect();
    (!said.is_empty()).then(|| {
        format!("{}: of {} values looked at {}", column.name, seen.values, said.join(", "))
    })
}

fn columns_of(expression: &Expression) -> Vec<String> {
    match expression {
        Expression::Column(0, name) => vec![name.clone()],
        Expression::Column(..) | Expression::Constant(_) => Vec::new(),
        Expression::Text(one)
        | Expression::Number(one)
        | Expression::Rest(one)
        | Expression::Over(one, _)
        | Expression::Day(one) => columns_of(one),
        Expression::Either(one, other)
        | Expression::Times(one, other)
        | Expression::Minus(one, other) => [columns_of(one), columns_of(other)].concat(),
    }
}

/// A column's name as that of a measure: letters, digits and `_`.
pub(crate) fn measure_name(column: &str) -> String {
    let plain: String =
        column.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    let plain = plain.trim_matches('_').to_owned();
    if plain.is_empty() { "measure".into() } else { plain }
}
