//! Keys of several parts: `{store}:{month}`.

use crate::{SourceError, SourceErrorKind};

/// More parts than that are no key.
const MOST_PARTS: usize = 8;

/// How keys are put together; the default is one part that has no name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyPattern {
    /// As it was given.
    text: String,
    parts: Vec<Part>,
    /// What stands behind the last part.
    end: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    /// What stands before it.
    before: String,
    name: String,
    is_integer: bool,
}

impl KeyPattern {
    /// Reads a pattern; `field` is where it stands, for errors.
    pub(crate) fn of(field: &str, text: Option<&str>) -> Result<KeyPattern, SourceError> {
        let Some(text) = text else { return Ok(KeyPattern::default()) };
        let wrong = |what: String| {
            let message =
                format!("{field}: {text:?}: {what}; a pattern is such as {{store}}:{{month}}");
            SourceError::new(SourceErrorKind::Schema, message)
        };
        let mut pattern = KeyPattern { text: text.into(), ..KeyPattern::default() };
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (inside, after) =
                after.split_once('}').ok_or_else(|| wrong("a brace is not closed".into()))?;
            let (name, kind) = inside.split_once(':').map_or((inside, None), |(n, k)| (n, Some(k)));
            let is_integer = match kind {
                None | Some("text") => false,
                Some("integer") => true,
                Some(kind) => {
                    return Err(wrong(format!("a part is text or integer, not {kind:?}")));
                }
            };
            if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
                return Err(wrong(format!("{name:?} is no name: letters, digits and _ are")));
            }
            if name == "key" || pattern.place(name).is_some() {
                return Err(wrong(format!("{name:?} is taken")));
            }
            if before.contains('}') {
                return Err(wrong("a brace is not opened".into()));
            }
            if before.is_empty() && !pattern.parts.is_empty() {
                return Err(wrong("something must stand between two parts".into()));
            }
            pattern.parts.push(Part { before: before.into(), name: name.into(), is_integer });
            rest = after;
        }
        if pattern.parts.is_empty() || rest.contains('}') {
            return Err(wrong("it has no part, or a brace that is not opened".into()));
        }
        if pattern.parts.len() > MOST_PARTS {
            return Err(wrong(format!("at most {MOST_PARTS} parts")));
        }
        pattern.end = rest.into();
        Ok(pattern)
    }

    /// As it was given, for errors.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The place of a part by its name.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.parts.iter().position(|part| part.name == name)
    }

    /// The names that a statement may use, for errors.
    pub(crate) fn names(&self) -> String {
        let parts = self.parts.iter().map(|part| format!(", :{}", part.name));
        std::iter::once(":key".to_owned()).chain(parts).collect()
    }

    /// The parts of a key; `None` if it is not put together so. Each part ends at the first place where what follows
    /// it stands, and none is empty.
    pub(crate) fn split<'a>(&self, key: &'a str) -> Option<Vec<&'a str>> {
        let mut found = Vec::with_capacity(self.parts.len());
        let Some(first) = self.parts.first() else { return Some(found) };
        let mut rest = key.strip_prefix(first.before.as_str())?;
        for (at, part) in self.parts.iter().enumerate() {
            let (own, after) = match self.parts.get(at + 1) {
                Some(next) => rest.split_once(next.before.as_str())?,
                None => (rest.strip_suffix(self.end.as_str())?, ""),
            };
            if own.is_empty() || (part.is_integer && !is_integer(own)) {
                return None;
            }
            found.push(own);
            rest = after;
        }
        Some(found)
    }
}

/// Whether a text is a whole number in the one spelling that it has.
fn is_integer(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|number| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> KeyPattern {
        KeyPattern::of("key", Some(text)).unwrap()
    }

    #[test]
    fn a_key_is_split_at_what_stands_between() {
        let months = pattern("{store}:{month}");
        assert_eq!(months.split("7:2024-01"), Some(vec!["7", "2024-01"]));
        assert_eq!(months.split("7:2024:01"), Some(vec!["7", "2024:01"]));
        for key in ["7", "7:", ":2024-01", "", ":"] {
            assert_eq!(months.split(key), None, "{key:?}");
        }
        let framed = pattern("s{store:integer}/{day}.json");
        assert_eq!(framed.split("s7/monday.json"), Some(vec!["7", "monday"]));
        for key in ["7/monday.json", "s7/monday", "s07/monday.json", "s+7/x.json", "sx/x.json"] {
            assert_eq!(framed.split(key), None, "{key:?}");
        }
        let none = KeyPattern::of("key", None).unwrap();
        assert_eq!(none.split("any: {thing}"), Some(vec![]));
        assert_eq!(months.names(), ":key, :store, :month");
    }

    #[test]
    fn a_pattern_that_is_none_is_told() {
        for (text, what) in [
            ("", "no part"),
            ("store", "no part"),
            ("{store", "not closed"),
            ("store}", "not opened"),
            ("}{store}", "not opened"),
            ("{store}{month}", "between two parts"),
            ("{store}:{store}", "taken"),
            ("{key}", "taken"),
            ("{a b}", "no name"),
            ("{}", "no name"),
            ("{a:date}", "text or integer"),
            ("{a}-{b}-{c}-{d}-{e}-{f}-{g}-{h}-{i}", "at most 8"),
        ] {
            let wrong = KeyPattern::of("caches.x.load.key", Some(text)).unwrap_err().to_string();
            assert!(wrong.contains(what) && wrong.contains("caches.x.load.key"), "{text}: {wrong}");
        }
    }
}
