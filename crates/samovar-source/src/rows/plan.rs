//! What is known of a cache's statements once they are read, and what is bound to their parameters.

use std::collections::BTreeMap;
use std::sync::Arc;

use samovar_core::{Fate, WriteError, WriteId};
use serde_json::value::RawValue;

use super::key::KeyPattern;
use super::number::kept_anyhow;
use super::text::Short;
use super::{LoadSql, Rows, WriteSql, write_error};
use crate::sql::{bare, first_word};
use crate::{SourceError, SourceErrorKind};

/// A statement of a configuration.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    /// Where it stands, for errors.
    pub(crate) field: String,
    /// As it was given, later as the database takes it.
    pub(crate) text: String,
    /// What is bound, in the database's order. Known once it is checked.
    pub(crate) parameters: Vec<Parameter>,
    /// Whether it may take fields of the value.
    takes_fields: bool,
}

/// A parameter of a statement.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    takes: Takes,
    /// Whether a key, or a part of one, is spelt as values of its type are: `07` is no whole number, or two keys
    /// would stand for one row.
    pub(crate) spells: fn(&str) -> bool,
    /// Whether a number that is spelt so is what values of its type are then, digit by digit.
    pub(crate) keeps: fn(&str) -> bool,
    /// Whether a field goes there as JSON, texts in quotes.
    pub(crate) is_json: bool,
}

/// What a parameter takes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Takes {
    Key,
    /// By its place.
    Part(usize),
    Field(String),
}

/// For parameters of types that tell nothing of spelling.
pub(crate) fn spelt_anyhow(_: &str) -> bool {
    true
}

/// What is bound to a parameter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bound {
    Null,
    Bool(bool),
    Integer(i64),
    /// Any other number, as it is spelt.
    Digits(String),
    Text(String),
}

/// The fields of a value, as JSON spells them: read any further, numbers would lose digits.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

impl Bound {
    /// `None` if it cannot be read.
    fn of(json: &str, as_json: bool) -> Option<Bound> {
        Some(match json.as_bytes().first()? {
            b'n' => Bound::Null,
            _ if as_json => Bound::Text(json.into()),
            b't' => Bound::Bool(true),
            b'f' => Bound::Bool(false),
            b'"' => Bound::Text(serde_json::from_str(json).ok()?),
            b'[' | b'{' => Bound::Text(json.into()),
            _ => match json.parse() {
                Ok(number) => Bound::Integer(number),
                Err(_) => Bound::Digits(json.into()),
            },
        })
    }

    /// The number that it is, if it is one.
    fn spelt(&self) -> Option<String> {
        match self {
            Bound::Integer(number) => Some(number.to_string()),
            Bound::Digits(digits) => Some(digits.clone()),
            Bound::Null | Bound::Bool(_) | Bound::Text(_) => None,
        }
    }
}

impl Statement {
    /// Reads what can be known without a database.
    fn of(
        cache: &str,
        field: &str,
        text: &str,
        (words, what): (&[&str], &str),
        takes_fields: bool,
    ) -> Result<Statement, SourceError> {
        let text = bare(text);
        let statement = Statement {
            field: format!("caches.{cache}.{field}"),
            text: text.into(),
            parameters: Vec::new(),
            takes_fields,
        };
        let word = first_word(text);
        if !words.contains(&word.as_str()) {
            return Err(statement.wrong(format!("{what}; found {}", Short(text))));
        }
        Ok(statement)
    }

    /// An error of this statement.
    pub(crate) fn wrong(&self, what: impl std::fmt::Display) -> SourceError {
        SourceError::new(SourceErrorKind::Schema, format!("{}: {what}", self.field))
    }

    /// Takes in the names of the parameters.
    pub(crate) fn name<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a str>,
        key: &KeyPattern,
    ) -> Result<(), SourceError> {
        let takes =
            |name: &str| match key.place(name) {
                _ if name == "key" => Ok(Takes::Key),
                Some(place) => Ok(Takes::Part(place)),
                None if self.takes_fields => Ok(Takes::Field(name.into())),
                None => Err(self
                    .wrong(format!("there is no parameter :{name}; it may take {}", key.names()))),
            };
        let takes: Vec<Takes> = names.into_iter().map(takes).collect::<Result<_, _>>()?;
        if !takes.iter().any(|takes| !matches!(takes, Takes::Field(_))) {
            return Err(
                self.wrong(format!("it does not look at the key: it must take {}", key.names()))
            );
        }
        self.parameters = takes
            .into_iter()
            .map(|takes| Parameter {
                takes,
                spells: spelt_anyhow,
                keeps: kept_anyhow,
                is_json: false,
            })
            .collect();
        Ok(())
    }

    /// What a key and the fields of a value bind. `Err` says what does not fit.
    fn bind(
        &self,
        key: &str,
        parts: &[&str],
        fields: Option<&Fields<'_>>,
    ) -> Result<Vec<Bound>, String> {
        let field = |name: &str, parameter: &Parameter| {
            let json = fields.and_then(|fields| fields.get(name)).ok_or_else(|| {
                format!(
                    "the value of {} has no field {name:?}, which {} takes; null is a value",
                    Short(key),
                    self.field
                )
            })?;
            let bound = Bound::of(json.get(), parameter.is_json).ok_or_else(|| {
                format!("the field {name:?} of {} is no JSON that can be read", Short(key))
            })?;
            match bound.spelt().filter(|spelt| !(parameter.keeps)(spelt)) {
                None => Ok(bound),
                Some(lost) => Err(format!(
                    "the field {name:?} of {} is {}, of which its type in the database would lose digits; write it \
                     to a column of type numeric, or as a text",
                    Short(key),
                    Short(&lost)
                )),
            }
        };
        let bound = |parameter: &Parameter| {
            let of_key = |text: &str| match (parameter.spells)(text) {
                true => Ok(Bound::Text(text.into())),
                false => {
                    Err(format!("the key {} is not spelt as values of its column are", Short(key)))
                }
            };
            match &parameter.takes {
                Takes::Key => of_key(key),
                Takes::Part(at) => of_key(parts.get(*at).copied().unwrap_or_default()),
                Takes::Field(name) => field(name, parameter),
            }
        };
        self.parameters.iter().map(bound).collect()
    }
}

/// How a cache is loaded.
#[derive(Clone, Debug)]
pub(crate) struct LoadPlan {
    pub(crate) statement: Statement,
    pub(crate) rows: Rows,
    pub(crate) key: KeyPattern,
}

impl LoadPlan {
    pub(super) fn of(cache: &str, load: &LoadSql) -> Result<LoadPlan, SourceError> {
        let key = KeyPattern::of(&format!("caches.{cache}.load.key"), load.key.as_deref())?;
        let words = (&["select", "with", "values"][..], "it must be a SELECT");
        let statement = Statement::of(cache, "load.sql", &load.sql, words, false)?;
        Ok(LoadPlan { statement, rows: load.rows, key })
    }

    /// What a key binds; `None` if it can have no row.
    pub(crate) fn bind(&self, key: &str) -> Option<Vec<Bound>> {
        self.statement.bind(key, &self.key.split(key)?, None).ok()
    }

    /// So many rows of a key are looked at: one more than it may have, however many there are.
    pub(crate) fn looks_at(&self, max_rows: usize) -> usize {
        match self.rows {
            Rows::One => 2,
            Rows::Many => max_rows.saturating_add(1),
        }
    }

    /// An error if a key has a second row and may not.
    pub(crate) fn allows(&self, key: &str, count: usize) -> Result<(), SourceError> {
        if self.rows == Rows::Many || count < 2 {
            return Ok(());
        }
        let message = format!(
            "key {} has more than one row; say rows = \"many\", or make the query give one",
            Short(key)
        );
        Err(SourceError::new(SourceErrorKind::TooManyRows, message))
    }

    /// The error for more rows than one load may give.
    pub(crate) fn too_many(key: &str, max_rows: usize) -> SourceError {
        let message = format!(
            "at key {} there are more than {max_rows} rows in one load; give the query a LIMIT, or raise max_rows",
            Short(key)
        );
        SourceError::new(SourceErrorKind::TooManyRows, message)
    }
}

/// How a cache is written.
#[derive(Clone, Debug)]
pub(crate) struct WritePlan {
    pub(crate) cache: String,
    pub(crate) upsert: Statement,
    pub(crate) delete: Option<Statement>,
    pub(crate) key: KeyPattern,
    pub(crate) remember: bool,
}

impl WritePlan {
    pub(super) fn of(cache: &str, write: &WriteSql) -> Result<WritePlan, SourceError> {
        let key = KeyPattern::of(&format!("caches.{cache}.write.key"), write.key.as_deref())?;
        let words = &["insert", "update", "delete", "merge", "replace", "with"][..];
        let of = |field, text: &str, takes_fields| {
            let what = "it must be an INSERT, UPDATE, MERGE or DELETE";
            Statement::of(cache, field, text, (words, what), takes_fields)
        };
        let upsert = of("write.upsert", &write.upsert, true)?;
        let delete = write.delete.as_deref().map(|text| of("write.delete", text, false));
        let delete = delete.transpose()?;
        Ok(WritePlan { cache: cache.into(), upsert, delete, key, remember: write.remember })
    }

    /// An error about the table that remembers.
    pub(crate) fn cannot_remember(&self, create: &str) -> SourceError {
        let message = format!(
            "caches.{}.write: the table samovar_writes, which remembers what was written, is not there and cannot be \
             made; make it ({create}), or say remember = false",
            self.cache
        );
        SourceError::new(SourceErrorKind::Schema, message)
    }
}

/// A write with what its statement binds.
pub(crate) struct Put {
    pub(crate) id: WriteId,
    pub(crate) key: Arc<str>,
    pub(crate) is_delete: bool,
    /// `Err`: it was refused before anybody saw it.
    pub(crate) bound: Result<Vec<Bound>, WriteError>,
}

impl Put {
    /// `value` is JSON.
    pub(super) fn of(
        plan: &WritePlan,
        id: WriteId,
        key: &Arc<str>,
        value: Option<serde_json::Result<String>>,
    ) -> Put {
        let refused = |what: String| {
            let wrong = SourceError::new(SourceErrorKind::Value, what);
            write_error(Fate::Refused, &plan.cache, wrong)
        };
        let is_delete = value.is_none();
        let bound = match value.transpose() {
            Ok(value) => bind(plan, key, value.as_deref()),
            Err(e) => Err(format!("the value of {} has no form in JSON: {e}", Short(key))),
        };
        Put { id, key: Arc::clone(key), is_delete, bound: bound.map_err(refused) }
    }
}

fn bind(plan: &WritePlan, key: &str, value: Option<&str>) -> Result<Vec<Bound>, String> {
    let parts = plan.key.split(key).ok_or_else(|| {
        let pattern = plan.key.text();
        format!("the key {} is not put together as write.key says: {pattern}", Short(key))
    })?;
    match value {
        Some(value) => {
            let fields: Fields<'_> = serde_json::from_str(value).map_err(|_| {
                format!("the value of {} is no object, whose fields could be written", Short(key))
            })?;
            plan.upsert.bind(key, &parts, Some(&fields))
        }
        None => match &plan.delete {
            Some(delete) => delete.bind(key, &parts, None),
            None => Err(format!("{} cannot be deleted: write.delete is not given", Short(key))),
        },
    }
}
