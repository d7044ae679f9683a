//! The numbers of a line: which columns they are, and what each of them says.

use samovar_source::catalog::{Column, Expression, Form, Kind};

use super::reach::{At, Reach};
use super::roles::{DateForm, examples};
use crate::init::words::{
    AMOUNT, COST, COST_OF, COUNT, CUSTOMER, DISCOUNT, DURATION, ID, NEVER, NO_AMOUNT, Name, ORDER,
    PRICE, PRODUCT, PROFIT, QUANTITY, UNIT, Words,
};

/// So many values between nothing and one are not there by chance.
const SHARES: u64 = 20;

/// A number of a line with how it is written in a query.
pub(crate) struct Amount {
    pub(crate) expression: Expression,
    /// The most decimals it can have, as far as was seen.
    pub(crate) decimals: u8,
    pub(crate) why: Vec<String>,
}

impl Amount {
    /// A column, and why it is taken.
    pub(crate) fn of(at: &At, column: &Column, why: &str) -> Amount {
        let why = vec![format!("{}, {why}{}", at.column, examples(column))];
        Amount { expression: number(at, column), decimals: decimals(column), why }
    }
}

/// The numbers of the table itself that may be measures: no keys, no ids, no dates.
pub(crate) fn numbers<'a>(reach: &Reach<'a>) -> Vec<(At, &'a Column)> {
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

pub(crate) fn is_amount(column: &Column) -> bool {
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
    let of_all = ["total", "subtotal", "extended", "ext", "总价", "line", "sum"];
    name.says(PRICE) && !name.words().iter().any(|word| of_all.contains(&&**word))
}

/// Whether a discount is a share: its name says no more than that, and its values are fractions between nothing and
/// one, enough of them that it is no chance.
pub(crate) fn is_share(column: &Column) -> bool {
    let seen = &column.seen;
    let name = Name::of(&column.name);
    let plain = name.words().len() == 1 || name.says(NEVER);
    plain
        && seen.range.is_some_and(|(low, high)| low >= 0.0 && high <= 1.0)
        && seen.decimals > 0
        && seen.values - seen.zero >= SHARES
}

pub(crate) fn is_duration(name: &Name) -> bool {
    name.says(DURATION) && !name.says(PRICE) && !name.says(COST) && !name.says(QUANTITY)
}

/// A column as a number: PostgreSQL's `money` is cast, cents become units.
pub(crate) fn number(at: &At, column: &Column) -> Expression {
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

/// What a line took: a column, or price times quantity.
pub(crate) fn amount(reach: &Reach<'_>) -> Option<Amount> {
    let is_one = |column: &Column| {
        is_amount(column) || column.kind == Kind::Text && !is_unit_price(&Name::of(&column.name))
    };
    let mut found: Vec<(usize, At, &Column)> = numbers(reach)
        .into_iter()
        .filter(|(_, column)| is_one(column))
        .filter_map(|(at, column)| Some((Name::of(&column.name).place(AMOUNT)?, at, column)))
        .collect();
    found.sort_by_key(|(place, ..)| *place);
    let Some((_, at, column)) = found.first() else { return price_times_quantity(reach) };
    let mut amount = Amount::of(at, column, "by its name");
    if in_cents(column) {
        amount.why.push("its cents are divided by 100 in the query".into());
    }
    let also: Vec<&str> = found.iter().skip(1).map(|(_, at, _)| &*at.column).collect();
    if !also.is_empty() {
        amount.why.push(format!("also possible: {}", also.join(", ")));
    }
    Some(amount)
}

/// The price of a line's pieces, less a discount that is a share.
fn price_times_quantity(reach: &Reach<'_>) -> Option<Amount> {
    let is_price = |column: &Column| {
        let name = Name::of(&column.name);
        is_unit_price(&name) && !name.says(COST) && !name.says(DISCOUNT)
    };
    let mut prices: Vec<(At, &Column)> =
        numbers(reach).into_iter().filter(|(_, column)| is_price(column)).collect();
    prices.sort_by_key(|(_, column)| !Name::of(&column.name).says(UNIT));
    let (at, column) = prices.into_iter().next()?;
    let Some((of, quantity)) = quantity(reach) else {
        let why = "since there is no amount, and no quantity to multiply it with";
        return Some(Amount::of(&at, column, why));
    };
    let times = |one, other| Expression::Times(Box::new(one), Box::new(other));
    let mut expression = times(number(&at, column), of.expression());
    let mut digits = decimals(column) + quantity.seen.decimals;
    let mut why = format!("there is no amount, so {} times {}", at.column, of.column);
    let is_off = |column: &Column| Name::of(&column.name).says(DISCOUNT) && is_share(column);
    if let Some((off, share)) = numbers(reach).into_iter().find(|(_, column)| is_off(column)) {
        expression = times(expression, Expression::Rest(Box::new(off.expression())));
        digits += share.seen.decimals;
        why += &format!(", less {}, a share by its values{}", off.column, examples(share));
    }
    Some(Amount { expression, decimals: digits, why: vec![why] })
}

/// The number of pieces of a line.
pub(crate) fn quantity<'a>(reach: &Reach<'a>) -> Option<(At, &'a Column)> {
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

/// What is left of an amount after a cost, or a column that says it.
pub(crate) fn profit(
    reach: &Reach<'_>,
    amount: Option<&Amount>,
    quantity: Option<&(At, &Column)>,
    product: Option<usize>,
) -> Option<Amount> {
    let own = numbers(reach).into_iter().find(|(_, column)| {
        let name = Name::of(&column.name);
        let share = column.seen.range.is_some_and(|(low, high)| low >= -1.0 && high <= 1.0);
        name.says(PROFIT) && !name.says(NEVER) && !(share && column.seen.decimals > 0)
    });
    if let Some((at, column)) = own {
        return Some(Amount::of(&at, column, "by its name"));
    }
    let amount = amount?;
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
    let (at, column) = here.or(there)?;
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
    let today =
        "a cost of today, also for older lines; a line whose product has none counts as missing it";
    let expression = Expression::Minus(Box::new(amount.expression.clone()), Box::new(cost));
    let why = std::iter::once(why).chain((at.table > 0).then(|| today.to_owned())).collect();
    Some(Amount { expression, decimals: digits.max(amount.decimals), why })
}

/// Whether a column counts things and does not name one: `orders`, `order_count`, `订单数`; not `order_no`.
pub(crate) fn is_count_of(column: &Column, words: Words) -> bool {
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
pub(crate) fn signs(column: &Column) -> Option<String> {
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

pub(crate) fn columns_of(expression: &Expression) -> Vec<String> {
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
