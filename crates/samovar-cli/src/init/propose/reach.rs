//! What can be looked up for each row of a table without losing or multiplying it: other tables, many rows to one.

use std::collections::HashMap;

use samovar_source::SourceError;
use samovar_source::catalog::{Catalog, Column, Expression, Join, Kind, Probe, Table};

use super::roles::is_text;
use crate::init::words::{ID, Name, PRODUCT, STORE};

/// Joins follow each other over so many tables at most.
const DEPTH: usize = 3;
/// More tables than these are not reached from one.
const MOST: usize = 24;
/// A column leads to a table if at least this share of its values is there.
const FOUND: f64 = 0.5;

/// A table, and all that can be looked up for its rows.
#[derive(Clone, Debug)]
pub(crate) struct Reach<'a> {
    pub(crate) catalog: &'a Catalog,
    /// The table itself comes first.
    pub(crate) tables: Vec<Reached>,
    /// What was not joined, and why.
    pub(crate) left_out: Vec<String>,
}

/// A table that was reached.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    /// Where it stands in the catalog.
    pub(crate) table: usize,
    /// From which of those reached before.
    pub(crate) by: usize,
    /// By which of its columns, and how many joins lie between.
    pub(crate) columns: Vec<String>,
    pub(crate) depth: usize,
    /// What they are equal to.
    pub(crate) to: Vec<String>,
    /// Why this is safe, in words.
    pub(crate) why: String,
}

/// A column of one of the tables reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct At {
    /// Which of the tables.
    pub(crate) table: usize,
    /// The column's name.
    pub(crate) column: String,
}

impl At {
    /// The same in a query.
    pub(crate) fn expression(&self) -> Expression {
        Expression::Column(self.table, self.column.clone())
    }
}

/// What a column may refer to by its name alone: tables and columns by the words of the name. Made once, since every
/// column of every table asks.
#[derive(Debug)]
pub(crate) struct Leads(HashMap<Name, Vec<(usize, usize)>>);

impl Leads {
    pub(crate) fn of(catalog: &Catalog) -> Leads {
        let mut leads: HashMap<Name, Vec<(usize, usize)>> = HashMap::new();
        for (at, table) in catalog.tables.iter().enumerate() {
            let called = Name::of(&table.name.name);
            for (column, to) in table.columns.iter().enumerate() {
                let name = Name::of(&to.name);
                if !name.says(ID) {
                    continue;
                }
                let mut add = |name: Name| leads.entry(name).or_default().push((at, column));
                // `store_id` of `stores.id`, and of `stores.store_id`; `id` of `id` says nothing.
                add(called.then(&name));
                if name.words().len() > 1 {
                    add(name.clone());
                }
                // `store` of `stores.id`.
                if name.says_only(ID, &[]) {
                    add(called.clone());
                }
            }
        }
        Leads(leads)
    }
}

/// What was asked of the database already: one question may come up for several tables.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    unique: HashMap<(usize, Vec<String>), Option<bool>>,
    found: HashMap<(usize, String, usize, String), Option<f64>>,
}

impl<'a> Reach<'a> {
    /// Follows the foreign keys from a table, and where none are declared the names of columns. Without a `probe` a
    /// sample must do.
    pub(crate) fn from(
        catalog: &'a Catalog,
        leads: &Leads,
        root: usize,
        mut probe: Option<(&mut dyn Probe, &mut Asked)>,
    ) -> Result<Reach<'a>, SourceError> {
        let own = Reached {
            table: root,
            by: 0,
            columns: Vec::new(),
            depth: 0,
            to: Vec::new(),
            why: String::new(),
        };
        let mut reach = Reach { catalog, tables: vec![own], left_out: Vec::new() };
        let mut next = 0;
        while next < reach.tables.len() {
            if reach.tables[next].depth < DEPTH {
                for candidate in reach.candidates(next, leads) {
                    if reach.tables.len() < MOST {
                        reach.take(next, candidate, &mut probe)?;
                    }
                }
            }
            next += 1;
        }
        Ok(reach)
    }

    pub(crate) fn table(&self, at: usize) -> &'a Table {
        &self.catalog.tables[self.tables[at].table]
    }

    pub(crate) fn column(&self, at: &At) -> Option<&'a Column> {
        self.table(at.table).column(&at.column)
    }

    /// All columns, those of the table itself first.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (At, &'a Column)> + '_ {
        (0..self.tables.len()).flat_map(move |table| {
            let columns = self.table(table).columns.iter();
            columns.map(move |column| (At { table, column: column.name.clone() }, column))
        })
    }

    /// The table that one column, alone, refers to.
    pub(crate) fn referred(&self, at: &At) -> Option<usize> {
        (1..self.tables.len()).find(|to| {
            let reached = &self.tables[*to];
            reached.by == at.table && reached.columns == [at.column.as_str()]
        })
    }

    /// The tables on the way to one, itself included and the first one not.
    pub(crate) fn way(&self, to: usize) -> Vec<usize> {
        let mut way = Vec::new();
        let mut at = to;
        while at != 0 {
            way.push(at);
            at = self.tables[at].by;
        }
        way.reverse();
        way
    }

    /// For people: `orders.store_id`.
    pub(crate) fn shown(&self, at: &At) -> String {
        format!("{}.{}", self.table(at.table).name, at.column)
    }

    /// The joins of some tables, each after the one it is reached from, and the place of each in the query.
    pub(crate) fn joins(&self, wanted: &[usize]) -> (Vec<Join>, HashMap<usize, usize>) {
        let mut places = HashMap::from([(0, 0)]);
        let mut joins = Vec::new();
        for table in wanted {
            let reached = &self.tables[*table];
            joins.push(Join {
                table: self.table(*table).name.clone(),
                by: places.get(&reached.by).copied().unwrap_or(0),
                columns: reached.columns.clone(),
                to: reached.to.clone(),
            });
            places.insert(*table, joins.len());
        }
        (joins, places)
    }

    /// What a table may lead to: by its foreign keys, and by names where a column has none.
    fn candidates(&self, from: usize, leads: &Leads) -> Vec<Candidate> {
        let table = self.table(from);
        let mut found: Vec<Candidate> = (table.references.iter())
            .map(|reference| Candidate {
                table: reference.table,
                columns: reference.columns.clone(),
                to: reference.to.clone(),
                declared: true,
            })
            .collect();
        for column in &table.columns {
            if table.references.iter().any(|it| it.columns.contains(&column.name)) {
                continue;
            }
            let is_own_key = table.keys.first().is_some_and(|key| *key == [column.name.as_str()]);
            let called = leads.0.get(&Name::of(&column.name)).into_iter().flatten();
            let mut named: Vec<(bool, usize, String)> = called
                .filter(|(at, _)| *at != self.tables[from].table)
                .filter_map(|(at, to)| {
                    let other = &self.catalog.tables[*at];
                    let to = &other.columns[*to];
                    let fits = may_refer(column, is_own_key, other, to);
                    fits.then(|| (!may_tell_apart(other, &to.name), *at, to.name.clone()))
                })
                .collect();
            // Those that will do first: one is enough.
            named.sort_unstable();
            found.extend(named.into_iter().map(|(_, table, to)| Candidate {
                table,
                columns: vec![column.name.clone()],
                to: vec![to],
                declared: false,
            }));
        }
        found
    }

    /// Reaches a table, unless that could multiply rows or leads nowhere.
    fn take(
        &mut self,
        by: usize,
        candidate: Candidate,
        probe: &mut Option<(&mut dyn Probe, &mut Asked)>,
    ) -> Result<(), SourceError> {
        let Candidate { table, columns, to, declared } = candidate;
        let own = self.tables[by].table;
        let behind = self.way(by).iter().any(|at| self.tables[*at].table == table);
        let known = |reached: &Reached| reached.by == by && reached.columns == columns;
        let done = !declared && self.tables.iter().skip(1).any(known);
        if behind || done || table == self.tables[0].table {
            return Ok(());
        }
        let other = &self.catalog.tables[table];
        let shown = format!("{}.{}", other.name, to.join(", "));
        let is_key = other.keys.iter().any(|key| key.iter().all(|column| to.contains(column)));
        let unique = match probe {
            _ if is_key => Some(true),
            Some((probe, asked)) => match asked.unique.get(&(table, to.clone())) {
                Some(known) => *known,
                None => {
                    let answer = probe.is_unique(&other.name, &to)?;
                    asked.unique.insert((table, to.clone()), answer);
                    answer
                }
            },
            None => Some(to.iter().any(|column| all_different(other, column))),
        };
        if unique != Some(true) {
            let why =
                if unique.is_some() { "holds a value twice" } else { "may hold a value twice" };
            self.left_out.push(format!(
                "{shown} {why}, so joining {} could count a line more than once: not joined",
                other.name
            ));
            return Ok(());
        }
        let mut why = if is_key {
            format!("{shown} is a key")
        } else {
            format!("no value of {shown} occurs twice")
        };
        if declared {
            why += ", and a foreign key leads there";
        } else if let Some((probe, asked)) = probe
            && let ([column], [key]) = (&columns[..], &to[..])
        {
            let question = (own, column.clone(), table, key.clone());
            let share = match asked.found.get(&question) {
                Some(known) => *known,
                None => {
                    let name = &self.catalog.tables[own].name;
                    let answer = probe.found((name, column), (&other.name, key))?;
                    asked.found.insert(question, answer);
                    answer
                }
            };
            match share {
                Some(share) if share < FOUND => {
                    self.left_out.push(format!(
                        "few of the values of {}.{column} are in {shown}: not joined",
                        self.catalog.tables[own].name
                    ));
                    return Ok(());
                }
                Some(share) => {
                    why += &format!(", and {:.0} % of the values are there", share * 100.0);
                }
                None => why += "; the names lead there, the values were not compared",
            }
        }
        let depth = self.tables[by].depth + 1;
        self.tables.push(Reached { table, by, columns, depth, to, why });
        Ok(())
    }
}

struct Candidate {
    table: usize,
    columns: Vec<String>,
    to: Vec<String>,
    declared: bool,
}

/// Whether a column may refer to one of another table whose name fits.
fn may_refer(column: &Column, is_own_key: bool, table: &Table, to: &Column) -> bool {
    let is_number = |kind| matches!(kind, Kind::Integer | Kind::Number);
    // PostgreSQL compares no UUID or label with a text.
    let texts = column.declared == to.declared || is_text(column) && is_text(to);
    let alike = is_number(column.kind) && is_number(to.kind)
        || column.kind == Kind::Text && to.kind == Kind::Text && texts;
    // A key leads nowhere but to another's key, and what refers elsewhere itself is not referred to.
    let is_key = table.keys.iter().any(|key| *key == [to.name.as_str()]);
    let refers = table.references.iter().any(|it| it.columns == [to.name.as_str()]);
    let (own, called) = (Name::of(&column.name), Name::of(&table.name.name));
    let master = [STORE, PRODUCT].iter().any(|words| own.says(words) && called.says(words));
    // Of master data that do not tell rows apart it is worth telling.
    alike && !refers && (is_key || !is_own_key) && (master || may_tell_apart(table, &to.name))
}

/// Whether a sample leaves it open that a column tells rows apart.
fn may_tell_apart(table: &Table, column: &str) -> bool {
    let is_key = table.keys.iter().any(|key| *key == [column]);
    let empty = table.column(column).is_none_or(|column| column.seen.values == 0);
    is_key || empty || all_different(table, column)
}

/// Whether a sample shows each value of a column once.
fn all_different(table: &Table, column: &str) -> bool {
    table.column(column).is_some_and(|it| it.seen.values > 0 && it.seen.values == it.seen.distinct)
}
