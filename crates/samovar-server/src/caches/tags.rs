//! The tags of documents: put together of their own fields as the configuration says, or given with a PUT.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use samovar_core::Tags;
use serde_json::Value;

/// The most characters of a tag, as of those that `/api/invalidate` takes.
pub(crate) const LONGEST_TAG: usize = 64;

/// Whether a document may bear this tag; `*` is what those bear that do not tell theirs.
pub(crate) fn is_tag(text: &str) -> bool {
    (1..=LONGEST_TAG).contains(&text.chars().count())
        && !text.contains(char::is_control)
        && text != "*"
}

/// A tag with fields of a document in it, such as `category:{category_id}`.
///
/// ```
/// # use samovar_server::TagPattern;
/// let pattern: TagPattern = "category:{category_id}".parse()?;
/// assert_eq!(pattern.to_string(), "category:{category_id}");
/// assert!("category:{category id}".parse::<TagPattern>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(String),
}

impl FromStr for TagPattern {
    type Err = String;

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    fn from_str(text: &str) -> Result<TagPattern, String> {
        if !is_tag(text) {
            return Err(format!(
                "{text:?} is no tag of 1 to {LONGEST_TAG} characters other than *"
            ));
        }
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, behind)) = rest.split_once('{') {
            let is_name = |c: char| c.is_alphanumeric() || c == '_';
            let field = behind.split_once('}').filter(|(field, _)| {
                !field.is_empty() && field.chars().all(is_name) && !before.contains('}')
            });
            let Some((field, after)) = field else {
                return Err(format!(
                    "{text:?} has braces that no field stands in, as {{category}}"
                ));
            };
            if !before.is_empty() {
                pieces.push(Piece::Text(before.into()));
            }
            pieces.push(Piece::Field(field.into()));
            rest = after;
        }
        if rest.contains('}') {
            return Err(format!("{text:?} has a }} without its {{"));
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        Ok(TagPattern(pieces))
    }
}

impl fmt::Display for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Field(field) => write!(f, "{{{field}}}"),
        })
    }
}

/// What a document lacks to be told by its tags.
struct Unknown;

impl TagPattern {
    /// The tag of an object; none if one of its fields is null.
    fn of(&self, object: &Value) -> Result<Option<String>, Unknown> {
        let mut tag = String::new();
        for piece in &self.0 {
            let field = match piece {
                Piece::Text(text) => {
                    tag.push_str(text);
                    continue;
                }
                Piece::Field(field) => object.get(field).ok_or(Unknown)?,
            };
            match field {
                Value::Null => return Ok(None),
                Value::String(text) => tag.push_str(text),
                Value::Bool(flag) => tag.push_str(&flag.to_string()),
                // A float has several spellings.
                Value::Number(number) if number.is_i64() || number.is_u64() => {
                    tag.push_str(&number.to_string());
                }
                _ => return Err(Unknown),
            }
        }
        if is_tag(&tag) { Ok(Some(tag)) } else { Err(Unknown) }
    }
}

/// The tags of a document, or of each of its objects if it is a list, and those that it is given beside them. One that
/// does not tell all of them bears every tag: it is read again too often rather than too seldom.
pub(crate) fn tags_of(patterns: &[TagPattern], document: &Value, given: &Tags) -> Tags {
    if patterns.is_empty() {
        return given.clone();
    }
    let objects = match document {
        // What its rows would be is not known.
        Value::Array(none) if none.is_empty() => return Tags::any(),
        Value::Array(objects) => objects.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut tags: BTreeSet<String> = given.iter().map(|tag| tag.to_string()).collect();
    for object in objects {
        for pattern in patterns {
            match pattern.of(object) {
                Ok(tag) => tags.extend(tag),
                Err(Unknown) => return Tags::any(),
            }
        }
        // More than an entry may bear.
        if tags.len() > Tags::MOST {
            return Tags::any();
        }
    }
    Tags::new(tags).unwrap_or_else(|_| Tags::any())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(patterns: &[&str], document: &Value) -> Vec<String> {
        let patterns: Vec<TagPattern> = patterns.iter().map(|text| text.parse().unwrap()).collect();
        let given = Tags::new(["given"]).unwrap();
        tags_of(&patterns, document, &given).iter().map(|tag| tag.to_string()).collect()
    }

    #[test]
    fn tags_are_put_together_of_the_fields() {
        let tea =
            json!({ "category": 7, "maker": "Ann", "fresh": true, "price": 4.5, "season": null });
        assert_eq!(told(&["category:{category}", "all"], &tea), ["all", "category:7", "given"]);
        assert_eq!(told(&["{maker}/{category}-{fresh}"], &tea), ["Ann/7-true", "given"]);
        assert_eq!(told(&["season:{season}"], &tea), ["given"], "it has none");
        assert_eq!(told(&[], &json!("tea")), ["given"]);
    }

    #[test]
    fn a_list_bears_the_tags_of_all_its_rows() {
        let rows = json!([{ "k": 1 }, { "k": 2 }, { "k": 1 }]);
        assert_eq!(told(&["k:{k}"], &rows), ["given", "k:1", "k:2"]);
    }

    #[test]
    fn who_does_not_tell_bears_every_tag() {
        let long = "x".repeat(65);
        for document in [
            json!({ "other": 1 }),
            json!({ "k": 1.5 }),
            json!({ "k": [1] }),
            json!({ "k": long }),
            json!({ "k": "" }),
            json!({ "k": "a\nb" }),
            json!("text"),
            json!([]),
            json!([{ "k": 1 }, {}]),
        ] {
            assert_eq!(told(&["{k}"], &document), ["*"], "{document}");
        }
        let many = Value::from_iter((0..100).map(|k| json!({ "k": k })));
        assert_eq!(told(&["{k}"], &many), ["*"], "more than an entry may bear");
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        for text in ["", "*", "{", "}", "{}", "a}{b}", "{a b}", "{a}}", "a\n", &"x".repeat(65)] {
            assert!(text.parse::<TagPattern>().is_err(), "{text:?}");
        }
        for text in ["all", "{k}", "a{b}c{d}", "{größe}"] {
            assert_eq!(text.parse::<TagPattern>().unwrap().to_string(), text);
        }
    }
}
