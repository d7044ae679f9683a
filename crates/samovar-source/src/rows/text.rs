//! The text of statements: which kind they are of, and their named parameters.

use std::fmt;

use crate::sql::{behind_comments, is_of_name};

/// So many characters of a text are shown.
const SHOWN: usize = 80;

/// A text as errors show it: in quotes, and no more than its beginning.
pub(crate) struct Short<'a>(pub(crate) &'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(SHOWN) {
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}

/// A statement as PostgreSQL takes it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    /// With `$1`, `$2`, … in place of the names.
    pub(crate) text: String,
    /// The name of each. One that stands in several places is several, since each has a type of its own.
    pub(crate) names: Vec<String>,
}

/// Numbers the parameters of a statement in PostgreSQL's dialect, leaving alone what stands in quotes and comments; without
/// the semicolon that may end it, and what follows.
/// `Err` if it has numbered ones already.
pub(crate) fn numbered(given: &str) -> Result<Numbered, &'static str> {
    let mut made = Numbered { text: String::with_capacity(given.len()), names: Vec::new() };
    let mut at = 0;
    while let Some(c) = given[at..].chars().next() {
        let rest = &given[at..];
        let in_name = made.text.ends_with(is_of_name);
        let length = match c {
            '\'' => quoted(rest, '\'', escapes(&made.text)),
            '"' => quoted(rest, '"', false),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => comment(rest),
            '$' if !in_name && rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                return Err("parameters are written as names: :key and not $1");
            }
            '$' if !in_name => dollar_quoted(rest),
            // So that the statement may stand within another.
            ';' if behind_comments(&rest[1..]).is_empty() => break,
            // A cast, or the parts of a slice.
            ':' if rest.starts_with("::") || rest.starts_with(":=") => 2,
            ':' if rest[1..].starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                let name: String = rest[1..].chars().take_while(|c| is_of_name(*c)).collect();
                at += 1 + name.len();
                made.names.push(name);
                made.text += &format!("${}", made.names.len());
                continue;
            }
            c => c.len_utf8(),
        };
        made.text += &rest[..length];
        at += length;
    }
    Ok(made)
}

/// Whether a quote that follows begins a text in which a backslash escapes: `E'…'`.
fn escapes(before: &str) -> bool {
    let mut last = before.chars().rev();
    matches!(last.next(), Some('e' | 'E')) && !last.next().is_some_and(is_of_name)
}

/// The length of what stands in quotes. A doubled quote ends one text and begins the next, which comes to the same.
fn quoted(text: &str, quote: char, escapes: bool) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if escapes => escaped = true,
            _ if c == quote => {
                let ends = at + quote.len_utf8();
                // In a text with escapes the rest has them too.
                return match text[ends..].starts_with(quote) {
                    true => ends + quoted(&text[ends..], quote, escapes),
                    false => ends,
                };
            }
            _ => {}
        }
    }
    text.len()
}

/// The length of a comment, which may hold others.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while let Some(c) = text[at..].chars().next() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += c.len_utf8();
        }
    }
    text.len()
}

/// The length of a text between dollars, `$tag$…$tag$`; of another dollar, its own.
fn dollar_quoted(text: &str) -> usize {
    let tag: String = text[1..].chars().take_while(|c| is_of_name(*c)).collect();
    let sign = format!("${tag}$");
    let Some(inside) = text.strip_prefix(sign.as_str()) else { return 1 };
    inside.find(&sign).map_or(text.len(), |end| end + 2 * sign.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn no_text_in_quotes_is_a_parameter(inside in any::<String>(), tag in "[a-z]{0,3}") {
            let text = inside.replace('\'', "''");
            let name = inside.replace('"', "\"\"");
            let line = inside.replace(['\n', '\r'], " ");
            let free = inside.replace('$', "");
            let given =
                format!("f('{text}', :a, \"{name}\", :b, ${tag}${free}${tag}$, :c) -- {line}\n, :d");
            let expected =
                format!("f('{text}', $1, \"{name}\", $2, ${tag}${free}${tag}$, $3) -- {line}\n, $4");
            let made = numbered(&given).unwrap();
            prop_assert_eq!(made.text, expected);
            prop_assert_eq!(made.names, ["a", "b", "c", "d"]);
        }
    }

    #[test]
    fn errors_show_the_beginning() {
        assert_eq!(Short("a\"b").to_string(), r#""a\"b""#);
        assert_eq!(Short(&"键".repeat(81)).to_string(), format!("\"{}\"…", "键".repeat(80)));
    }

    #[test]
    fn names_become_numbers_and_words_stay() {
        let made =
            numbered("SELECT a::text FROM t WHERE k = :key AND m > :monat_1 OR k = :key").unwrap();
        assert_eq!(made.text, "SELECT a::text FROM t WHERE k = $1 AND m > $2 OR k = $3");
        assert_eq!(made.names, ["key", "monat_1", "key"]);
        assert_eq!(numbered("f(a := :x, b => :größe)").unwrap().names, ["x", "größe"]);
        for same in [
            "'it is :key'",
            "'it''s :key'",
            r"E'it\'s :key'",
            r"e'a''\':key'",
            r#""a :key" "b"":key""#,
            "-- :key\n",
            "/* :key /* :key */ :key */",
            "$$ :key $$",
            "$body$ $$ :key $body$",
            "a[1:2] a[1 : 2]",
            "a$b$ c",
            "'open :key",
            "$$ open :key",
            "/* open :key",
        ] {
            let made = numbered(same).unwrap();
            assert_eq!((made.text.as_str(), made.names.len()), (same, 0), "{same}");
        }
        // No escape where there is no E, and a name that ends with one is none.
        assert_eq!(numbered(r"'a\' || :key").unwrap().names, ["key"]);
        assert_eq!(numbered(r"date'a\' || :key").unwrap().names, ["key"]);
        assert!(numbered("SELECT $1").is_err());
        assert_eq!(numbered("f(';') ; -- the end\n /* ; */ ").unwrap().text, "f(';') ");
        assert_eq!(numbered("f(); g()").unwrap().text, "f(); g()");
    }
}
