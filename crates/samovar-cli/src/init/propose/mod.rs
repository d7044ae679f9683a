//! From what a database says of its schema to a proposal: pure, but for the few questions that go through a
//! [`Probe`].

mod advice;
mod choose;
mod measures;
mod numbers;
mod orders;
mod reach;
mod roles;
mod select;
#[cfg(test)]
mod tests;

use samovar_source::catalog::{Catalog, Expression, Probe};

pub(crate) use advice::Advice;
use choose::Choice;
pub(crate) use measures::{How, Measure};
use reach::Reach;
use roles::examples;
use select::{Select, is_own};

use crate::host::Failure;
use crate::init::words::{CURRENCY, Name, ORDER, STATUS};

/// More lines take longer to read at once than a query may by default.
const MANY: u64 = 5_000_000;
/// Lines that are surely read in a minute.
const LINES_A_MINUTE: u64 = 3_000_000;

/// What the user has decided.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) table: Option<String>,
    pub(crate) store: Option<String>,
    pub(crate) date: Option<String>,
}

/// A configuration to be, with its reasons.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    /// The dataset's name.
    pub(crate) name: String,
    /// A table's name, or a SELECT.
    pub(crate) query: String,
    pub(crate) query_why: Vec<String>,
    pub(crate) timeout: Option<Setting>,
    pub(crate) store_id: Setting,
    pub(crate) store_name: Option<Setting>,
    pub(crate) date: Setting,
    pub(crate) date_kind: Option<&'static str>,
    pub(crate) time_zone: Option<Setting>,
    pub(crate) product: Option<Setting>,
    pub(crate) category: Option<Setting>,
    pub(crate) currency: Setting,
    /// Each with the column that it is computed of.
    pub(crate) measures: Vec<(Measure, Option<String>)>,
    pub(crate) notes: Vec<String>,
    pub(crate) advice: Vec<Advice>,
}

/// A value of the configuration, and why it has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) value: String,
    pub(crate) why: Vec<String>,
}

impl Setting {
    fn new(value: impl Into<String>, why: impl Into<String>) -> Setting {
        Setting { value: value.into(), why: vec![why.into()] }
    }
}

/// Proposes a configuration.
///
/// # Errors
/// If there is nothing to propose, with what is missing and what to do; or the database fails.
pub(crate) fn propose(
    catalog: &Catalog,
    wishes: &Wishes,
    probe: &mut dyn Probe,
) -> Result<Proposal, Failure> {
    let choice = choose::choose(catalog, wishes, probe)?;
    let reach = &choice.reach;
    let store = choice.store.as_ref().map(|pick| &pick.at);
    let product = roles::product(reach);
    let product_table = product.as_ref().and_then(|(_, table)| *table);
    let category = product.as_ref().and_then(|_| roles::category(reach, product_table));
    let store_name = store.and_then(|store| roles::store_name(reach, store));
    let through = |table: usize, to: usize| table == to || reach.way(table).contains(&to);
    let settled = |to: usize| {
        through(choice.date.at.table, to) && store.is_none_or(|store| through(store.table, to))
    };
    let own = [store, Some(&choice.date.at)].map(|at| at.map(reach::At::expression));
    let named = [&product.as_ref().map(|(named, _)| named.clone()), &category];
    let named = named.into_iter().flatten().map(|named| &named.expression);
    let taken: Vec<&Expression> = own.iter().flatten().chain(named).collect();
    let found = measures::measures(reach, settled, product_table, &taken);
    let mut list = found.list;
    let time_zone = time_zone(catalog, &choice);

    let zone = time_zone.as_ref().map_or("UTC", |zone| &zone.value);
    for measure in &mut list {
        orders::settle(measure, &choice, zone, probe)?;
    }

    let mut select = Select::default();
    let store_id = select.add(choice.store_expression(), "store_id");
    let named = |named: Option<roles::Named>, name: &str, select: &mut Select| {
        named.map(|named| Setting::new(select.add(named.expression, name), named.why))
    };
    let store_name = named(store_name, "store_name", &mut select);
    let date = select.add(choice.date_expression(), "date");
    let product = named(product.map(|(named, _)| named), "product", &mut select);
    let category = named(category, "category", &mut select);
    for measure in list.iter().filter(|measure| measure.proposed) {
        select.measure(measure);
    }
    let bare = select.as_table(reach);
    // What is offered must not cost what is proposed a query, or a join.
    let needed = select.joined(reach);
    list.retain(|measure| {
        let free = |it: &Expression| match &bare {
            Some(_) => is_own(it).is_some(),
            None => it.tables().iter().all(|table| *table == 0 || needed.contains(table)),
        };
        measure.how.expression().is_none_or(free)
    });
    let mut measures = Vec::new();
    for measure in list {
        let column = select.measure(&measure);
        measures.push((measure, column));
    }
    let query = select.query(reach);
    let joined = select.joined(reach);
    // A table alone goes by the names of its own columns.
    let own_name = |name: String| match &bare {
        Some(_) => select.own_name(&name),
        None => name,
    };
    let own = |setting: Setting| Setting { value: own_name(setting.value), ..setting };
    let mut query_why = choice.why.clone();
    query_why.extend(joins_in_words(reach, &joined));
    let notes = [found.notes, reach.left_out.clone(), remarks(&choice)].concat();
    let name = measures::measure_name(&reach.table(0).name.name);
    Ok(Proposal {
        query: bare.clone().unwrap_or_else(|| query.text()),
        query_why,
        timeout: timeout(reach),
        store_id: own(Setting { value: store_id, why: store_why(&choice) }),
        store_name: store_name.map(own),
        date: own(Setting { value: date, why: date_why(&choice) }),
        date_kind: choice.form.kind(),
        time_zone,
        product: product.map(own),
        category: category.map(own),
        currency: currency(&choice),
        measures: (measures.into_iter())
            .map(|(measure, column)| (measure, column.map(own_name)))
            .collect(),
        notes,
        advice: advice::advice(catalog, &choice, &joined),
        name,
    })
}

fn joins_in_words(reach: &Reach<'_>, joined: &[usize]) -> Vec<String> {
    if joined.is_empty() {
        return Vec::new();
    }
    let mut words = vec![
        "the joins are outer, so that no line is lost, and none can count a line twice:".to_owned(),
    ];
    words.extend(
        joined
            .iter()
            .map(|table| format!("  {}: {}", reach.table(*table).name, reach.tables[*table].why)),
    );
    words
}

fn store_why(choice: &Choice<'_>) -> Vec<String> {
    let reach = &choice.reach;
    let Some(store) = &choice.store else {
        return vec![
            "no column tells stores apart, so all lines are of one store called \"all\"; name one with --store,".into(),
            "or write another column in the query".into(),
        ];
    };
    let column = reach.column(&store.at);
    let seen = column.map_or_else(String::new, |column| {
        format!(
            "; {} different values in {} rows looked at{}",
            column.seen.distinct,
            grouped(column.seen.rows),
            examples(column)
        )
    });
    let mut why = vec![format!("{}: {}{seen}", reach.shown(&store.at), store.why)];
    why.extend(also("--store", &choice.other_stores));
    why
}

fn date_why(choice: &Choice<'_>) -> Vec<String> {
    let reach = &choice.reach;
    let date = &choice.date;
    let words = reach.column(&date.at).map_or_else(String::new, |column| {
        format!("; {}{}", choice.form.words(column), examples(column))
    });
    let mut why = vec![format!("{}: {}{words}", reach.shown(&date.at), date.why)];
    why.extend(also("--date", &choice.other_dates));
    why
}

fn also(flag: &str, others: &[String]) -> Option<String> {
    (!others.is_empty()).then(|| format!("also possible ({flag}): {}", others.join(", ")))
}

/// The time zone of a day, where a day depends on one.
fn time_zone(catalog: &Catalog, choice: &Choice<'_>) -> Option<Setting> {
    if !choice.form.is_instant() {
        return None;
    }
    let ask = "a day begins at midnight there: put the zone of the shops, as Europe/Berlin";
    Some(match &catalog.time_zone {
        Some(zone) if choice.form == roles::DateForm::Instant => {
            Setting { value: zone.clone(), why: vec!["the server's own zone".into(), ask.into()] }
        }
        _ => Setting {
            value: "UTC".into(),
            why: vec!["the database does not tell it".into(), ask.into()],
        },
    })
}

/// The currency: that of a column which has one value, or one that names tell.
fn currency(choice: &Choice<'_>) -> Setting {
    let reach = &choice.reach;
    let is_code =
        |text: &str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    for (at, column) in reach.columns() {
        if Name::of(&column.name).says(CURRENCY)
            && let [code] = &column.seen.examples[..]
            && is_code(code)
        {
            return Setting::new(code, format!("the only value seen in {}", reach.shown(&at)));
        }
    }
    let named = |codes: &[&'static str]| {
        let words: Vec<String> = reach
            .table(0)
            .columns
            .iter()
            .flat_map(|c| Name::of(&c.name).words().to_vec())
            .collect();
        codes.iter().find(|code| words.contains(&code.to_lowercase())).copied()
    };
    if let Some(code) = named(&["USD", "EUR", "GBP", "CNY", "JPY", "CHF", "CAD", "AUD", "INR"]) {
        return Setting::new(code, "by the name of a column");
    }
    let han = |name: &str| name.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
    if reach.table(0).columns.iter().any(|column| han(&column.name)) {
        return Setting::new("CNY", "a guess, because of the Chinese names; put your own");
    }
    Setting::new("USD", "the database does not tell it: put your own")
}

fn timeout(reach: &Reach<'_>) -> Option<Setting> {
    let rows = reach.table(0).rows.filter(|rows| *rows > MANY)?;
    let minutes = (rows / LINES_A_MINUTE + 1).min(24 * 60);
    let why =
        format!("about {} lines take longer to read than the 30 s that are usual", grouped(rows));
    Some(Setting::new(format!("{minutes}m"), why))
}

/// What else is worth knowing.
fn remarks(choice: &Choice<'_>) -> Vec<String> {
    let reach = &choice.reach;
    let near =
        |at: &reach::At| at.table == 0 || Name::of(&reach.table(at.table).name.name).says(ORDER);
    let mut remarks = Vec::new();
    for (at, column) in reach.columns().filter(|(at, _)| near(at)) {
        let name = Name::of(&column.name);
        let few = (2..=20).contains(&column.seen.distinct);
        let is_store = choice.store.as_ref().is_some_and(|store| store.at == at);
        if name.says(STATUS) && few && !is_store && roles::DateForm::of(column).is_none() {
            remarks.push(format!(
                "lines are counted whatever {} says{}; a WHERE in the query leaves some out",
                reach.shown(&at),
                examples(column)
            ));
        }
        if name.says(CURRENCY) && column.seen.distinct > 1 {
            remarks.push(format!(
                "{} has several values{}: amounts of different currencies are added up",
                reach.shown(&at),
                examples(column)
            ));
        }
    }
    remarks
}

/// A number with commas, for people.
pub(crate) fn grouped(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}
