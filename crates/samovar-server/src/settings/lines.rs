//! On which line of a configuration a field stands.

use std::collections::HashMap;

use toml::de::{DeTable, DeValue};

/// Lines by the names that fields bear in messages: `source.path`, `measure[2].sum`.
#[derive(Default)]
pub(super) struct Lines(HashMap<String, usize>);

impl Lines {
    /// The lines of a text; of none if it is no TOML.
    pub(super) fn read(text: &str) -> Lines {
        let mut lines = Lines::default();
        if let Ok(root) = DeTable::parse(text) {
            lines.table(text, "", root.get_ref());
        }
        lines
    }

    fn table(&mut self, text: &str, name: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let field = match name {
                "" => key.get_ref().to_string(),
                _ => format!("{name}.{}", key.get_ref()),
            };
            self.0.insert(field.clone(), line_at(text, key.span().start));
            match value.get_ref() {
                DeValue::Table(inner) => self.table(text, &field, inner),
                DeValue::Array(items) => {
                    for (at, item) in items.iter().enumerate() {
                        if let DeValue::Table(inner) = item.get_ref() {
                            let name = format!("{field}[{}]", at + 1);
                            self.0.insert(name.clone(), line_at(text, item.span().start));
                            self.table(text, &name, inner);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// The line of a field; of the table that should have it, if it is not there.
    pub(super) fn of(&self, field: &str) -> Option<usize> {
        let found = self.0.get(field).copied();
        found.or_else(|| self.of(field.rsplit_once('.')?.0))
    }
}

/// The line, counted from 1, at a byte of a text.
pub(super) fn line_at(text: &str, byte: usize) -> usize {
    text.as_bytes()[..byte.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_tables_and_what_they_lack() {
        let text = "listen = 1\n\n[source]\npath = 'x'\n\n[[measure]]\nname = 'a'\n[[measure]]\nname = '门'\nsum = 2\n\
                    [dataset]\nttl = { raw = 1,\n  metrics = 2 }\n";
        let lines = Lines::read(text);
        for (field, line) in [
            ("listen", 1),
            ("source", 3),
            ("source.path", 4),
            ("source.query", 3),
            ("measure[1]", 6),
            ("measure[2].name", 9),
            ("measure[2].sum", 10),
            ("measure[2].unit", 8),
            ("dataset.ttl.raw", 12),
            ("dataset.ttl.metrics", 13),
        ] {
            assert_eq!(lines.of(field), Some(line), "{field}");
        }
        assert_eq!(lines.of("memory.max_bytes"), None);
        assert_eq!(Lines::read("no = = toml").of("no"), None);
    }
}
