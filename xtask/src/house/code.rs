//! Rust source reduced to the code that runs: what a rule searches for must not be found in a
//! comment, a string or a test.

/// The source with comments, strings and what stands under `#[cfg(test)]` blanked out. Lines keep
/// their numbers.
pub(super) fn running(source: &str) -> String {
    without_tests(&without_words(source))
}

/// Blanks comments, and the inside of strings and character literals.
fn without_words(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let in_word = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let blank = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest).filter(|_| !in_word) {
            length
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' {
            character(rest)
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.extend(rest[..blank].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[blank..];
    }
    code
}

/// The length of a block comment, which may hold others.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a raw string such as `r#"…"#`, if the text starts with one.
fn raw_string(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('b').unwrap_or(text).strip_prefix('r')?;
    let hashes = inner.len() - inner.trim_start_matches('#').len();
    let body = inner[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(text.len() - body.len() + body.find(&end).map_or(body.len(), |at| at + end.len()))
}

/// The length of a literal between quotes, with its escapes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal; of a lifetime, that of its tick alone.
fn character(text: &str) -> usize {
    let mut inside = text.chars().skip(1);
    match (inside.next(), inside.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => quoted(text, '\''),
        _ => 1,
    }
}

/// Blanks every item under `#[cfg(test)]`, to its closing brace or its semicolon.
fn without_tests(code: &str) -> String {
    const SIGN: &str = "#[cfg(test)]";
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find(SIGN) {
        let (mut depth, mut end) = (0_usize, rest.len());
        for (at, c) in rest[start + SIGN.len()..].char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && matches!(c, '}' | ';') {
                end = start + SIGN.len() + at + 1;
                break;
            }
        }
        kept.push_str(&rest[..start]);
        kept.extend(rest[start..end].matches('\n'));
        rest = &rest[end..];
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::running;

    #[test]
    fn words_are_blanked_and_code_stays() {
        let source = r###"
/// spawn in words
fn a<'a>(x: &'a str) -> char { /* spawn /* here */ spawn */ b(r#"spawn " "#, "spawn \" spawn", '"'); '\'' }
let url = "http://x"; keep(); // spawn
let bar = b"spawn"; keep_two();
"###;
        let code = running(source);
        assert!(!code.contains("spawn"), "{code}");
        assert!(code.contains("fn a<") && code.contains("keep();") && code.contains("keep_two();"));
        assert_eq!(code.lines().count(), source.lines().count());
    }

    #[test]
    fn tests_are_blanked_wherever_they_stand() {
        let source = "#[cfg(test)]\nmod tests;\nfn a() {}\n\
                      #[cfg(test)]\nmod more { fn spawn() { if x { \"}\" } } }\nfn b() {}\n";
        let code = running(source);
        assert!(code.contains("fn a") && code.contains("fn b"), "{code}");
        assert!(!code.contains("spawn") && !code.contains("mod"), "{code}");
        assert_eq!(code.lines().count(), source.lines().count());
    }
}
