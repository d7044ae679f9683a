//! The query that is proposed, column by column.

use samovar_source::catalog::{Expression, Query};

use super::measures::Measure;
use super::reach::Reach;

/// The columns of the query, as they are added.
#[derive(Default)]
pub(crate) struct Select(Vec<(Expression, String)>);

impl Select {
    /// A column, by its name in the query.
    pub(crate) fn add(&mut self, expression: Expression, wanted: &str) -> String {
        if let Some((_, name)) = self.0.iter().find(|(known, _)| *known == expression) {
            return name.clone();
        }
        let taken = |name: &String| {
            self.0.iter().any(|(_, other)| other.to_lowercase() == name.to_lowercase())
        };
        let names =
            std::iter::once(wanted.to_owned()).chain((2..).map(|at| format!("{wanted}_{at}")));
        let name = names.into_iter().find(|name| !taken(name)).unwrap_or_default();
        self.0.push((expression, name.clone()));
        name
    }

    /// The column of a measure, by the name that it has in its table, or else by the measure's.
    pub(crate) fn measure(&mut self, measure: &Measure) -> Option<String> {
        let expression = measure.how.expression()?;
        let name = is_own(expression).unwrap_or(&measure.name).to_owned();
        Some(self.add(expression.clone(), &name))
    }

    /// The table's name, if the query would say no more.
    pub(crate) fn as_table(&self, reach: &Reach<'_>) -> Option<String> {
        let own = self.0.iter().all(|(expression, _)| is_own(expression).is_some());
        if own { reach.table(0).name.as_query() } else { None }
    }

    /// The name that a column has in its table.
    pub(crate) fn own_name(&self, name: &str) -> String {
        let found = self.0.iter().find(|(_, known)| known == name);
        found.and_then(|(expression, _)| is_own(expression)).unwrap_or(name).to_owned()
    }

    /// The tables that the query joins: where each stands in the reach.
    pub(crate) fn joined(&self, reach: &Reach<'_>) -> Vec<usize> {
        let mut joined: Vec<usize> = (self.0.iter())
            .flat_map(|(expression, _)| expression.tables())
            .flat_map(|table| reach.way(table))
            .collect();
        joined.sort_unstable();
        joined.dedup();
        joined
    }

    /// The query.
    pub(crate) fn query(&self, reach: &Reach<'_>) -> Query {
        let (joins, places) = reach.joins(&self.joined(reach));
        let place = |table: usize| places.get(&table).copied().unwrap_or(0);
        let columns = self.0.iter().map(|(it, name)| (it.moved(&place), name.clone())).collect();
        Query { from: reach.table(0).name.clone(), joins, columns }
    }
}

/// The name of a column of the table itself, if that is all there is to it.
pub(crate) fn is_own(expression: &Expression) -> Option<&str> {
    match expression {
        Expression::Column(0, name) => Some(name),
        _ => None,
    }
}
