//! What the text of queries has in common. Names are quoted as identifiers; values are always bound.

/// A name as an identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A column of the raw query, which is `q`: SQLite takes an unknown name in double quotes for a text.
pub(crate) fn column(name: &str) -> String {
    format!("q.{}", quoted(name))
}

/// The raw query without what may end it.
pub(crate) fn bare(query: &str) -> &str {
    query.trim().trim_end_matches(';').trim_end()
}

/// The raw query as something to select from; `None` if it is the name of a table.
pub(crate) fn select(query: &str) -> Option<String> {
    let text = bare(query);
    // The line break ends a comment that the query may close with.
    is_select(text).then(|| format!("({text}\n) AS q"))
}

/// What stands behind the blanks and comments that a text begins with.
pub(crate) fn behind_comments(text: &str) -> &str {
    let mut rest = text.trim_start();
    loop {
        let after = match rest.get(..2) {
            Some("--") => rest.split_once('\n').map(|(_, after)| after),
            Some("/*") => rest.split_once("*/").map(|(_, after)| after),
            _ => break,
        };
        rest = after.unwrap_or("").trim_start();
    }
    rest
}

/// Whether a character may stand in a name that needs no quotes.
pub(crate) fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The first word of a text, in lower case, behind blanks and comments.
pub(crate) fn first_word(text: &str) -> String {
    let word = behind_comments(text).split(|c: char| !is_of_name(c)).next();
    word.unwrap_or("").to_ascii_lowercase()
}

/// Whether a text begins as a query does: after comments and blanks, with a word that is not all of it.
fn is_select(text: &str) -> bool {
    let word = first_word(text);
    word.len() < behind_comments(text).len()
        && ["select", "with", "values"].contains(&word.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_or_a_table() {
        for table in ["orders", "weird name", "select", "selection of 2026", "with_index"] {
            assert_eq!(select(table), None, "{table}");
        }
        assert_eq!(quoted("weird \"name\""), "\"weird \"\"name\"\"\"");
        let from = |query| select(query).unwrap();
        assert_eq!(from("select 1 -- done"), "(select 1 -- done\n) AS q");
        assert_eq!(
            from(" WITH a AS (SELECT 1) SELECT * FROM a; "),
            "(WITH a AS (SELECT 1) SELECT * FROM a\n) AS q"
        );
        assert_eq!(from("SELECT\"a\"FROM b"), "(SELECT\"a\"FROM b\n) AS q");
        let commented = "-- the year's sales\n/* joined */ select 1";
        assert_eq!(from(commented), format!("({commented}\n) AS q"));
    }

    #[test]
    fn the_first_word_stands_behind_comments() {
        for (text, word) in [
            ("SELECT 1", "select"),
            (" -- the row\n /* of */ insert into t", "insert"),
            ("(SELECT 1)", ""),
            ("-- only", ""),
            ("", ""),
            ("With x AS (SELECT 1) SELECT", "with"),
        ] {
            assert_eq!(first_word(text), word, "{text:?}");
        }
    }
}
