//! What can be looked up for each row of a table without losing or multiplying it: other tables, many rows to one.

use std::collections::HashMap;

use samovar_source::SourceError;
use samovar_source::catalog::{Catalog, Column, Expression, Join, Kind, Probe, Table};

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
                for candidate in reach.candidates(next) {
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
    fn candidates(&self, from: usize) -> Vec<Candidate> {
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
            let others = self.catalog.tables.iter().enumerate();
            let others = others.filter(|(at, _)| *at != self.tables[from].table);
            let mut named: Vec<(bool, usize, String)> = others
                .filter_map(|(at, other)| {
                    let to = by_name(column, is_own_key, other)?;
                    Some((!may_tell_apart(other, &to), at, to))
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

/// The column of a table that another table's column refers to, by their names.
fn by_name(column: &Column, is_own_key: bool, table: &Table) -> Option<String> {
    let own = Name::of(&column.name);
    let called = Name::of(&table.name.name);
    let fits = |to: &&Column| {
        let name = Name::of(&to.name);
        let alike = matches!(column.kind, Kind::Integer | Kind::Number)
            && matches!(to.kind, Kind::Integer | Kind::Number)
            || column.kind == Kind::Text && to.kind == Kind::Text;
        // `id` of `id` says nothing; `store_id` of `store_id` does, and so does `store_id` of `stores.id`.
        let same = name == own && (own.words().len() > 1 || !own.says(ID)) && own.says(ID);
        let joined = [called.words(), name.words()].concat() == own.words() && name.says(ID);
        let bare = called == own && name.says_only(ID, &[]);
        let master = [STORE, PRODUCT].iter().any(|words| own.says(words) && called.says(words));
        // Of master data that do not tell rows apart it is worth telling.
        // A key leads nowhere but to another's key, and what refers elsewhere itself is not referred to.
        let is_key = table.keys.iter().any(|key| *key == [to.name.as_str()]);
        let refers = table.references.iter().any(|it| it.columns == [to.name.as_str()]);
        if refers || is_own_key && !is_key {
            return false;
        }
        alike && (same || joined || bare) && (master || may_tell_apart(table, &to.name))
    };
    table.columns.iter().find(fits).map(|to| to.name.clone())
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
