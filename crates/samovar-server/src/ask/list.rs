//! Lists in a query: items joined by commas, or the parameter once for each.

use std::borrow::Cow;

use super::decode;
use crate::error::Refusal;

/// The items of a list; nothing is an empty list. It is decoded before it is cut, because clients that encode for
/// themselves encode the commas between items, too. `\,` is a comma within an item, `\\` a backslash.
pub(super) fn list<'a>(field: &'static str, value: &'a str) -> Result<Vec<Cow<'a, str>>, Refusal> {
    match decode(field, value)? {
        Cow::Borrowed("") => Ok(Vec::new()),
        // Nearly all are: nothing is copied.
        Cow::Borrowed(plain) if !plain.contains('\\') => {
            Ok(plain.split(',').map(Cow::Borrowed).collect())
        }
        text => cut(field, &text),
    }
}

fn cut<'a>(field: &'static str, text: &str) -> Result<Vec<Cow<'a, str>>, Refusal> {
    let mut items = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let taken = match character {
            ',' => {
                items.push(String::new());
                continue;
            }
            '\\' => match characters.next() {
                Some(escaped @ (',' | '\\')) => escaped,
                _ => return Err(Refusal::field(field, text, "\\, or \\\\ where it has a \\")),
            },
            other => other,
        };
        if let Some(item) = items.last_mut() {
            item.push(taken);
        }
    }
    Ok(items.into_iter().map(Cow::Owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_part_encoded_or_not_and_escaped_ones_do_not() {
        for (value, items) in [
            ("", &[][..]),
            ("a,b", &["a", "b"]),
            ("a%2Cb", &["a", "b"]),
            (r"a\,b,c", &["a,b", "c"]),
            ("a%5C%2Cb%2Cc", &["a,b", "c"]),
            (r"a\\,b", &[r"a\", "b"]),
            ("green+tea,a%2Bb", &["green tea", "a+b"]),
            ("%E9%97%A8,", &["门", ""]),
        ] {
            assert_eq!(list("stores", value).unwrap(), items, "{value}");
        }
        for wrong in [r"a\b", r"a\", "%FF", "%zz", "100%"] {
            assert!(list("stores", wrong).is_err(), "{wrong}");
        }
    }
}
