//! Which table holds the lines, and which of its columns (and of those it leads to) are store and date.

use samovar_source::catalog::{Catalog, Expression, Form, Kind, Probe, Table, TableKind};

use super::Wishes;
use super::numbers::{amount, quantity};
use super::reach::{Asked, At, Leads, Reach};
use super::roles::{DateForm, Pick, dates, product, stores};
use crate::host::Failure;
use crate::init::words::{CUSTOMER, FACT, NOT_FACT, Name, PRODUCT, STORE};

/// The id of the one store, where no column tells stores apart.
const ALL: &str = "all";
/// So many tables are looked at with all that they lead to, by their names and sizes.
const LIKELY: usize = 40;
/// So many of them are looked at closely, the likeliest first.
const CLOSELY: usize = 5;
/// A table is worth naming besides if it has this share of the points.
const NEAR: f64 = 0.6;
/// So many other columns are named besides.
const OTHERS: usize = 3;
/// What is told of so many tables, if none will do.
const TOLD: usize = 10;

/// A table that may hold the lines.
struct Candidate {
    table: usize,
    score: f64,
    why: Vec<String>,
}

/// What was chosen.
pub(crate) struct Choice<'a> {
    pub(crate) reach: Reach<'a>,
    pub(crate) why: Vec<String>,
    /// `None`: there is no column that could be one.
    pub(crate) store: Option<Pick>,
    pub(crate) other_stores: Vec<String>,
    pub(crate) date: Pick,
    pub(crate) form: DateForm,
    pub(crate) other_dates: Vec<String>,
}

impl Choice<'_> {
    /// What the store is in a query.
    pub(crate) fn store_expression(&self) -> Expression {
        match &self.store {
            Some(store) => store.at.expression(),
            None => Expression::Constant(ALL.into()),
        }
    }

    /// What the date is in a query.
    pub(crate) fn date_expression(&self) -> Expression {
        let plain = self.date.at.expression();
        match self.form {
            DateForm::Digits => Expression::Day(Box::new(plain)),
            _ => plain,
        }
    }

    /// What the date holds in a query, and how it is written.
    pub(crate) fn date_holds(&self) -> (Kind, Form) {
        match self.reach.column(&self.date.at) {
            Some(column) if self.form != DateForm::Digits => (column.kind, column.seen.form),
            // The query makes a text of digits.
            _ => (Kind::Text, Form::Days),
        }
    }
}

/// Chooses table, store and date; what the user wishes is taken as it is.
pub(crate) fn choose<'a>(
    catalog: &'a Catalog,
    wishes: &Wishes,
    probe: &mut dyn Probe,
) -> Result<Choice<'a>, Failure> {
    let leads = Leads::of(catalog);
    let candidates = candidates(catalog, &leads, wishes)?;
    let mut asked = Asked::default();
    let mut missing = Vec::new();
    for (rank, candidate) in candidates.iter().enumerate().take(CLOSELY) {
        let reach = Reach::from(catalog, &leads, candidate.table, Some((&mut *probe, &mut asked)))?;
        let date = match wished(&reach, wishes.date.as_deref()) {
            Wished::Not => dates(&reach).into_iter().next(),
            Wished::Here(at) => Some(Pick { at, score: 0.0, why: "as --date says".into() }),
            Wished::Missing => None,
        };
        let Some(date) = date else {
            missing.push(format!("{}: no date", reach.table(0).name));
            continue;
        };
        let form = reach
            .column(&date.at)
            .and_then(DateForm::of)
            .ok_or_else(|| no_date(&reach, &date.at))?;
        let all = stores(&reach);
        let store = match wished(&reach, wishes.store.as_deref()) {
            Wished::Not => all.first().cloned(),
            Wished::Here(at) => Some(Pick { at, score: 0.0, why: "as --store says".into() }),
            Wished::Missing => {
                missing.push(format!("{}: no such store column", reach.table(0).name));
                continue;
            }
        };
        let others = |picks: &[Pick], chosen: Option<&At>| -> Vec<String> {
            let chosen = chosen.map(|at| reach.shown(at));
            let mut others: Vec<String> = Vec::new();
            for pick in picks {
                // One table may be reached on several ways.
                let shown = reach.shown(&pick.at);
                if Some(&shown) != chosen.as_ref()
                    && !others.contains(&shown)
                    && others.len() < OTHERS
                {
                    others.push(shown);
                }
            }
            others
        };
        let mut why = candidate.why.clone();
        let near = |other: &&Candidate| other.score >= NEAR * candidate.score;
        let next: Vec<String> = (candidates.iter().skip(rank + 1).take(3).filter(near))
            .map(|other| catalog.tables[other.table].name.to_string())
            .collect();
        if !next.is_empty() {
            why.push(format!("also possible (--table): {}", next.join(", ")));
        }
        return Ok(Choice {
            other_stores: others(&all, store.as_ref().map(|pick| &pick.at)),
            other_dates: others(&dates(&reach), Some(&date.at)),
            reach,
            why,
            store,
            date,
            form,
        });
    }
    Err(nothing(catalog, wishes, &missing))
}

/// The tables that may hold the lines, the likeliest first.
fn candidates(
    catalog: &Catalog,
    leads: &Leads,
    wishes: &Wishes,
) -> Result<Vec<Candidate>, Failure> {
    if let Some(wish) = &wishes.table {
        let is_it = |table: &Table| {
            let shown = table.name.to_string();
            shown == *wish || table.name.name == *wish || shown.eq_ignore_ascii_case(wish)
        };
        let Some(table) = catalog.tables.iter().position(is_it) else {
            return Err(Failure(format!(
                "there is no table {wish} that can be read; there is {}",
                listed(catalog)
            )));
        };
        let why = vec!["as --table says".to_owned()];
        return Ok(vec![Candidate { table, score: 0.0, why }]);
    }
    let mut likely: Vec<usize> = (0..catalog.tables.len()).collect();
    let alone = |at: &usize| points_alone(&catalog.tables[*at]);
    likely.sort_by(|a, b| alone(b).total_cmp(&alone(a)));
    let mut candidates = Vec::new();
    for at in likely.into_iter().take(LIKELY) {
        let reach = Reach::from(catalog, leads, at, None)?;
        candidates.extend(scored(&reach, at));
    }
    let name = |candidate: &Candidate| &catalog.tables[candidate.table].name;
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| name(a).cmp(name(b))));
    Ok(candidates)
}

/// A reason for or against a table: its points, whether it holds, and what to say of it.
type Reason = (f64, bool, &'static str);

fn sum(reasons: &[Reason]) -> f64 {
    reasons.iter().filter(|(_, holds, _)| *holds).map(|(points, ..)| points).sum()
}

/// What a table's name and kind say.
fn reasons_alone(table: &Table) -> [Reason; 5] {
    let name = Name::of(&table.name.name);
    let (sold, other) = (name.says(FACT), name.says(NOT_FACT));
    // Sales of stores are sales; a log of sales is a log.
    let of_something = [STORE, PRODUCT, CUSTOMER].iter().any(|words| name.says(words));
    [
        (4.0, sold, "its name says that something was sold"),
        (-6.0, other && !sold, "its name says something else"),
        (-3.0, other && sold && !of_something, ""),
        (-1.0, table.kind == TableKind::View, ""),
        (-4.0, table.rows == Some(0), ""),
    ]
}

/// How likely a table is to hold the lines by its name and size: which of many to look at.
fn points_alone(table: &Table) -> f64 {
    let rows = table.rows.unwrap_or(100) as f64;
    2.0 * (rows + 1.0).log10() + sum(&reasons_alone(table))
}

/// How likely a table is to hold the lines; `None` if its rows have no date.
fn scored(reach: &Reach<'_>, at: usize) -> Option<Candidate> {
    let table = reach.table(0);
    let date = dates(reach).into_iter().next()?;
    let store = stores(reach).into_iter().next();
    let leads_to_store = store.as_ref().is_some_and(|pick| pick.score > 1.5);
    let reasons: [Reason; 6] = [
        (6.0, amount(reach).is_some(), "its rows have amounts"),
        (1.0, quantity(reach).is_some(), ""),
        (3.0, leads_to_store, "they lead to a store"),
        (1.0, store.is_some(), ""),
        (2.0, product(reach).is_some(), "they name products"),
        (1.0, date.at.table == 0, "they have a date"),
    ];
    let score = points_alone(table) + 0.5 * date.score + sum(&reasons);
    let alone = reasons_alone(table);
    let given = alone.iter().chain(&reasons).filter(|(_, holds, _)| *holds);
    let said = given.map(|(.., said)| *said).filter(|said| !said.is_empty());
    let mut why = vec![size(table)];
    why.extend(said.map(str::to_owned));
    if date.at.table > 0 {
        why.push(format!("they lead to a date in {}", reach.table(date.at.table).name));
    }
    let why = vec![format!("{}: {}", table.name, why.join(", "))];
    Some(Candidate { table: at, score, why })
}

/// The number of rows, in words.
fn size(table: &Table) -> String {
    let rows = table.rows.map(super::grouped);
    match (rows, table.counted) {
        (Some(rows), true) => format!("it has {rows} rows"),
        (Some(rows), false) => format!("it has about {rows} rows"),
        (None, _) => "nobody knows how many rows it has".into(),
    }
}

enum Wished {
    /// Nothing was wished for.
    Not,
    Here(At),
    Missing,
}

/// The column that a wish names, alone or after its table.
fn wished(reach: &Reach<'_>, wish: Option<&str>) -> Wished {
    let Some(wish) = wish else { return Wished::Not };
    let same: [fn(&str, &str) -> bool; 2] = [|a, b| a == b, str::eq_ignore_ascii_case];
    for same in same {
        let found =
            reach.columns().find(|(at, _)| same(&at.column, wish) || same(&reach.shown(at), wish));
        if let Some((at, _)) = found {
            return Wished::Here(at);
        }
    }
    Wished::Missing
}

fn no_date(reach: &Reach<'_>, at: &At) -> Failure {
    let shown = reach.shown(at);
    let column = reach.column(at);
    let (declared, seen) = column.map_or((String::new(), String::new()), |column| {
        (column.declared.clone(), super::roles::examples(column))
    });
    Failure(format!(
        "{shown} holds no dates that can be read: it is declared as {declared:?}{seen}. Days are 2026-02-03, times \
         2026-02-03 19:06:53 (with Z in UTC), whole seconds or milliseconds since 1970, or 20260203; name another \
         column (--date)"
    ))
}

/// Why nothing can be proposed, and what to do.
fn nothing(catalog: &Catalog, wishes: &Wishes, missing: &[String]) -> Failure {
    if catalog.tables.is_empty() {
        return Failure("the database has no table that can be read; import one (samovar import), or connect as somebody who may SELECT".into());
    }
    let wished: Vec<String> = [("--store", &wishes.store), ("--date", &wishes.date)]
        .into_iter()
        .filter_map(|(flag, wish)| Some(format!("{flag} {}", wish.as_ref()?)))
        .collect();
    if !wished.is_empty() {
        let told =
            if missing.is_empty() { String::new() } else { format!(" ({})", missing.join("; ")) };
        return Failure(format!(
            "no table has, or leads to, what {} names{told}; there is {}",
            wished.join(" and "),
            listed(catalog)
        ));
    }
    Failure(format!(
        "no table has rows with a date, so there is nothing to show by day. A date is a column of days or times, of \
         texts such as 2026-02-03 or 2026-02-03 19:06:53, or of seconds since 1970 whose name says date or time. \
         Name the table and its date (--table, --date), or write the configuration by hand with a query that makes \
         one; there is {}",
        listed(catalog)
    ))
}

/// The tables with their columns, shortened.
fn listed(catalog: &Catalog) -> String {
    let table = |table: &Table| {
        let columns: Vec<String> = table.columns.iter().take(20).map(|c| c.name.clone()).collect();
        format!("{} ({})", table.name, columns.join(", "))
    };
    let all: Vec<String> = catalog.tables.iter().take(TOLD).map(table).collect();
    let more = catalog.tables.len().saturating_sub(TOLD);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    if all.is_empty() { "none".into() } else { format!("{}{more}", all.join("; ")) }
}
