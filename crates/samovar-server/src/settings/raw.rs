//! Reading TOML field by field, collecting every mistake on the way.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Value;

use super::environment::Environment;
use super::lines::Lines;
use super::{Problem, values};

/// The mistakes found so far.
#[derive(Default)]
pub(super) struct Reader {
    lines: Lines,
    /// By field: the variable of the environment that says it.
    variables: HashMap<String, String>,
    pub(super) problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn problem(&mut self, field: &str, found: &str, allowed: &str) {
        let variable = self.variables.get(field).cloned();
        let line = if variable.is_some() { None } else { self.lines.of(field) };
        let [field, found, allowed] = [field, found, allowed].map(String::from);
        self.problems.push(Problem { line, variable, field, found, allowed });
    }

    /// The root table with what the environment says in place of it, or a problem that tells the line.
    pub(super) fn open(&mut self, text: &str, environment: &Environment) -> Option<Table> {
        match text.parse::<toml::Table>() {
            Ok(mut fields) => {
                self.lines = Lines::read(text);
                self.variables = environment.lay_over(&mut fields, &mut self.problems);
                Some(Table::new(String::new(), Some(fields)))
            }
            Err(wrong) => {
                self.problems.push(Problem {
                    variable: None,
                    line: wrong.span().map(|span| super::lines::line_at(text, span.start)),
                    field: "the file".into(),
                    found: wrong.message().into(),
                    allowed: "TOML".into(),
                });
                None
            }
        }
    }

    /// The mistakes in the order of their lines.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        self.problems
    }
}

/// A table whose fields are taken out one by one; what is left at the end is unknown.
pub(super) struct Table {
    name: String,
    fields: toml::Table,
    /// The fields that were looked for.
    known: Vec<String>,
    /// A table that is not there was complained about already: its fields are not.
    given: bool,
}

impl Table {
    fn new(name: String, fields: Option<toml::Table>) -> Table {
        let given = fields.is_some();
        Table { name, fields: fields.unwrap_or_default(), known: Vec::new(), given }
    }

    /// Takes out a field.
    fn remove(&mut self, field: &str) -> Option<Value> {
        self.known.push(field.into());
        self.fields.remove(field)
    }

    /// The full name of a field.
    pub(super) fn path(&self, field: &str) -> String {
        match (self.name.is_empty(), field.is_empty()) {
            (true, _) => field.into(),
            (_, true) => self.name.clone(),
            _ => format!("{}.{field}", self.name),
        }
    }

    /// Whether the table is there.
    pub(super) fn is_given(&self) -> bool {
        self.given
    }

    pub(super) fn has(&mut self, field: &str) -> bool {
        self.known.push(field.into());
        self.fields.contains_key(field)
    }

    /// Forgets a field that the environment alone says and that would mean nothing here.
    pub(super) fn pass_over(&mut self, reader: &Reader, field: &str) {
        if reader.variables.contains_key(&self.path(field)) {
            self.fields.remove(field);
        }
    }

    /// The names of all fields.
    pub(super) fn names(&self) -> Vec<String> {
        self.fields.keys().cloned().collect()
    }

    /// What is there under a name that is no text: a variable of the environment says it as TOML would.
    fn take(&mut self, reader: &Reader, field: &str) -> Option<Value> {
        let value = self.remove(field)?;
        match &value {
            Value::String(text) if reader.variables.contains_key(&self.path(field)) => {
                let read = format!("read = {text}").parse::<toml::Table>().ok();
                Some(read.and_then(|mut table| table.remove("read")).unwrap_or(value))
            }
            _ => Some(value),
        }
    }

    fn wrong(&self, reader: &mut Reader, field: &str, found: &Value, allowed: &str) {
        reader.problem(&self.path(field), &shown(field, found), allowed);
    }

    pub(super) fn text(&mut self, reader: &mut Reader, field: &str) -> Option<String> {
        match self.remove(field)? {
            Value::String(text) if !text.trim().is_empty() => Some(text),
            other => {
                self.wrong(reader, field, &other, "a text that is not empty");
                None
            }
        }
    }

    /// A text that must be there; empty (and complained about) if it is not.
    pub(super) fn needed(&mut self, reader: &mut Reader, field: &str, allowed: &str) -> String {
        if self.given && !self.has(field) {
            reader.problem(&self.path(field), "nothing", allowed);
        }
        self.text(reader, field).unwrap_or_default()
    }

    pub(super) fn parsed<T>(
        &mut self,
        reader: &mut Reader,
        field: &str,
        allowed: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.remove(field)?;
        let parsed = value.as_str().and_then(parse);
        if parsed.is_none() {
            self.wrong(reader, field, &value, allowed);
        }
        parsed
    }

    /// One of several words.
    pub(super) fn word(
        &mut self,
        reader: &mut Reader,
        field: &str,
        default: &str,
        words: &[&str],
    ) -> String {
        let allowed = words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" or ");
        let known = |text: &str| words.contains(&text).then(|| text.to_string());
        self.parsed(reader, field, &allowed, known).unwrap_or_else(|| default.into())
    }

    /// A list of so many texts; shorter only if complained about.
    pub(super) fn words(
        &mut self,
        reader: &mut Reader,
        field: &str,
        count: usize,
        allowed: &str,
    ) -> Vec<String> {
        let Some(value) = self.remove(field) else { return Vec::new() };
        let texts = value.as_array().map(|items| {
            items.iter().filter_map(|item| item.as_str().map(String::from)).collect::<Vec<_>>()
        });
        match texts {
            Some(texts) if texts.len() == count => texts,
            _ => {
                self.wrong(reader, field, &value, allowed);
                Vec::new()
            }
        }
    }

    /// A list of any number of texts; none if it is not there.
    pub(super) fn any_words(
        &mut self,
        reader: &mut Reader,
        field: &str,
        allowed: &str,
    ) -> Vec<String> {
        if let Some(Value::String(text)) = self.fields.get(field)
            && reader.variables.contains_key(&self.path(field))
        {
            let words = text.split(',').map(|word| Value::from(word.trim())).collect();
            self.fields.insert(field.into(), Value::Array(words));
        }
        let count = self.fields.get(field).and_then(Value::as_array).map_or(0, Vec::len);
        self.words(reader, field, count, allowed)
    }

    /// Texts that must be there, as a list or as one text with commas between them; none (and complained about) if they
    /// are not.
    pub(super) fn needed_words(
        &mut self,
        reader: &mut Reader,
        field: &str,
        allowed: &str,
    ) -> Vec<String> {
        if let Some(Value::Array(items)) = self.fields.get(field) {
            if items.is_empty() {
                reader.problem(&self.path(field), "an empty list", allowed);
            }
            return self.any_words(reader, field, allowed);
        }
        let text = self.needed(reader, field, allowed);
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let words: Vec<String> = words.map(String::from).collect();
        if words.is_empty() && !text.is_empty() {
            reader.problem(&self.path(field), "nothing but commas", allowed);
        }
        words
    }

    pub(super) fn number(
        &mut self,
        reader: &mut Reader,
        field: &str,
        default: i64,
        range: RangeInclusive<i64>,
    ) -> i64 {
        let Some(value) = self.take(reader, field) else { return default };
        match value.as_integer() {
            Some(number) if range.contains(&number) => number,
            _ => {
                let allowed = match *range.end() {
                    i64::MAX => format!("a whole number from {} on", range.start()),
                    end => format!("a whole number from {} to {end}", range.start()),
                };
                self.wrong(reader, field, &value, &allowed);
                default
            }
        }
    }

    pub(super) fn share(
        &mut self,
        reader: &mut Reader,
        field: &str,
        default: f64,
        range: RangeInclusive<f64>,
    ) -> f64 {
        let Some(value) = self.take(reader, field) else { return default };
        let number = value.as_float().or_else(|| value.as_integer().map(|n| n as f64));
        match number {
            Some(number) if range.contains(&number) => number,
            _ => {
                let allowed = format!("a number from {} to {}", range.start(), range.end());
                self.wrong(reader, field, &value, &allowed);
                default
            }
        }
    }

    pub(super) fn duration(
        &mut self,
        reader: &mut Reader,
        field: &str,
        default: Duration,
    ) -> Duration {
        let allowed = "a duration that is not zero, as \"90s\", \"24h\" or \"7d\"";
        self.parsed(reader, field, allowed, values::duration).unwrap_or(default)
    }

    /// Whether a table stands there.
    pub(super) fn is_table(&self, field: &str) -> bool {
        self.fields.get(field).is_some_and(Value::is_table)
    }

    /// Drops a field that was complained about.
    pub(super) fn drop_field(&mut self, field: &str) {
        self.fields.remove(field);
    }

    /// A text, or a whole number as its digits.
    pub(super) fn label(
        &mut self,
        reader: &mut Reader,
        field: &str,
        allowed: &str,
    ) -> Option<String> {
        match self.remove(field)? {
            Value::String(text) if !text.trim().is_empty() => Some(text),
            Value::Integer(number) => Some(number.to_string()),
            other => {
                self.wrong(reader, field, &other, allowed);
                None
            }
        }
    }

    /// True or false.
    pub(super) fn flag(&mut self, reader: &mut Reader, field: &str, default: bool) -> bool {
        let Some(value) = self.take(reader, field) else { return default };
        value.as_bool().unwrap_or_else(|| {
            self.wrong(reader, field, &value, "true or false");
            default
        })
    }

    /// A duration that may be zero.
    pub(super) fn window(
        &mut self,
        reader: &mut Reader,
        field: &str,
        default: Duration,
    ) -> Duration {
        let allowed = "a duration, as \"0s\", \"90s\" or \"24h\"";
        self.parsed(reader, field, allowed, values::window).unwrap_or(default)
    }

    /// A duration, or that there is none.
    pub(super) fn limit(
        &mut self,
        reader: &mut Reader,
        field: &str,
        default: Option<Duration>,
    ) -> Option<Duration> {
        let allowed = "a duration that is not zero, as \"500ms\" or \"90s\", or \"none\"";
        let read = |text: &str| match text {
            "none" => Some(None),
            _ => values::duration(text).map(Some),
        };
        self.parsed(reader, field, allowed, read).unwrap_or(default)
    }

    pub(super) fn bytes(&mut self, reader: &mut Reader, field: &str, default: u64) -> u64 {
        let Some(value) = self.remove(field) else { return default };
        let bytes = match &value {
            Value::Integer(number) => u64::try_from(*number).ok().filter(|n| *n > 0),
            Value::String(text) => values::bytes(text),
            _ => None,
        };
        bytes.unwrap_or_else(|| {
            self.wrong(
                reader,
                field,
                &value,
                "a number of bytes, or a text as \"512 MB\" or \"4 GB\"",
            );
            default
        })
    }

    pub(super) fn table(&mut self, reader: &mut Reader, field: &str, needed: bool) -> Table {
        let name = self.path(field);
        match self.remove(field) {
            Some(Value::Table(fields)) => Table::new(name, Some(fields)),
            Some(other) => {
                self.wrong(reader, field, &other, &format!("a table [{name}]"));
                Table::new(name, None)
            }
            None => {
                if needed {
                    reader.problem(&name, "nothing", &format!("a table [{name}]"));
                }
                Table::new(name, None)
            }
        }
    }

    pub(super) fn tables(&mut self, reader: &mut Reader, field: &str) -> Vec<Table> {
        let Some(value) = self.remove(field) else { return Vec::new() };
        let allowed = format!("tables [[{field}]]");
        let Value::Array(items) = value else {
            self.wrong(reader, field, &value, &allowed);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (at, item) in items.into_iter().enumerate() {
            match item {
                Value::Table(fields) => {
                    tables.push(Table::new(format!("{field}[{}]", at + 1), Some(fields)));
                }
                other => self.wrong(reader, field, &other, &allowed),
            }
        }
        tables
    }

    /// Complains about every field that nobody asked for.
    pub(super) fn finish(mut self, reader: &mut Reader) {
        self.known.sort();
        self.known.dedup();
        for (field, value) in &self.fields {
            // It may be a password whose field is spelt wrongly.
            let found = format!("the unknown field {field:?} ({})", value.type_str());
            reader.problem(&self.path(field), &found, &self.known.join(", "));
        }
    }

    /// Drops a table that was complained about as a whole.
    pub(super) fn discard(self) {}
}

/// What may hold a password, and is not to be told.
const SECRET: [&str; 5] = ["url", "urls", "password", "token", "read_token"];

fn shown(field: &str, value: &Value) -> String {
    if SECRET.contains(&field) {
        return format!("a value that is not shown ({})", value.type_str());
    }
    let text: String = value.to_string().chars().take(60).collect();
    format!("{text} ({})", value.type_str())
}
