//! Patterns over keys, in the syntax and with the meaning of Redis.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, ErrorKind};

/// A pattern of so many bytes is refused if it has one more.
const LONGEST: usize = 1_024;

/// A glob over the names of keys ([`crate::Key::addressed`]): it names the keys that `KEYS pattern` would list in
/// Redis 7.
///
/// * `*` any bytes, also none; `?` any one byte;
/// * `[abc]`, `[a-z]`, `[^a]` one byte of those, of that range, but that;
/// * `\` takes the sign behind it literally, within brackets too.
///
/// What Redis does not refuse is not refused here either, and means the same: a class without its `]` goes to the
/// end of the pattern, the ends of a range may stand in either order, a `\` at the end is itself, `[]` is
/// no byte and `[^]` any. It works on bytes, so `?` is a part of `é`; in a range a byte above 127 counts as negative,
/// as in Redis on x86.
///
/// ```
/// # use samovar_core::Pattern;
/// let pattern: Pattern = "product:[0-9]*:price".parse()?;
/// assert!(pattern.matches("product:42:price"));
/// assert!(!pattern.matches("product:x:price"));
/// assert_eq!(pattern.literal_prefix(), "product:");
/// # Ok::<(), samovar_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Pattern {
    inner: Arc<Parsed>,
}

struct Parsed {
    text: Box<str>,
    prefix: Box<str>,
    tokens: Vec<Token>,
}

#[derive(Clone, Copy)]
enum Token {
    Byte(u8),
    /// `?`
    One,
    /// One of these bytes.
    Class(Class),
    /// `*`, never two next to each other.
    Any,
}

/// A set of bytes.
#[derive(Clone, Copy, Default)]
struct Class([u64; 4]);

impl Class {
    fn add(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn holds(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }

    /// Reads what stands behind a `[`; returns the rest of the pattern.
    fn parse(mut rest: &[u8]) -> (Class, &[u8]) {
        let mut class = Class::default();
        let inverted = rest.first() == Some(&b'^');
        if inverted {
            rest = &rest[1..];
        }
        loop {
            rest = match rest {
                [] => break,
                [b'\\', byte, rest @ ..] => {
                    class.add(*byte);
                    rest
                }
                [b']', after @ ..] => {
                    rest = after;
                    break;
                }
                [a, b'-', b, rest @ ..] => {
                    // Redis compares `char`s.
                    let (a, b) = (a.cast_signed(), b.cast_signed());
                    (a.min(b)..=a.max(b)).for_each(|byte| class.add(byte.cast_unsigned()));
                    rest
                }
                [byte, rest @ ..] => {
                    class.add(*byte);
                    rest
                }
            };
        }
        if inverted {
            class.0 = class.0.map(|bits| !bits);
        }
        (class, rest)
    }
}

impl Token {
    /// Whether one byte is what it stands for.
    fn takes(&self, byte: u8) -> bool {
        match self {
            Token::Byte(own) => *own == byte,
            Token::One => true,
            Token::Class(class) => class.holds(byte),
            Token::Any => false,
        }
    }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// ```
    /// # use samovar_core::{ErrorKind, Pattern};
    /// assert!(Pattern::parse("product:4?")?.matches("product:42"));
    /// assert!(Pattern::parse("product:[4")?.matches("product:4"), "as in Redis");
    /// assert_eq!(Pattern::parse("").unwrap_err().kind(), ErrorKind::Invalid);
    /// assert_eq!(Pattern::parse(&"?".repeat(1_025)).unwrap_err().kind(), ErrorKind::Invalid);
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if it is empty or longer than 1,024 bytes.
    pub fn parse(text: &str) -> Result<Pattern, Error> {
        if text.is_empty() {
            let what = "a pattern is empty: it would name no key; `*` names all";
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        if text.len() > LONGEST {
            let what =
                format!("a pattern has {} bytes; {LONGEST} are the most there may be", text.len());
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let (mut tokens, mut rest) = (Vec::new(), text.as_bytes());
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            tokens.push(match first {
                b'*' if matches!(tokens.last(), Some(Token::Any)) => continue,
                b'*' => Token::Any,
                b'?' => Token::One,
                b'[' => {
                    let (class, after) = Class::parse(rest);
                    rest = after;
                    Token::Class(class)
                }
                b'\\' if !rest.is_empty() => {
                    let byte = rest[0];
                    rest = &rest[1..];
                    Token::Byte(byte)
                }
                byte => Token::Byte(*byte),
            });
        }
        let literal = |token: &Token| match token {
            Token::Byte(byte) => Some(*byte),
            _ => None,
        };
        let prefix: Vec<u8> = tokens.iter().map_while(literal).collect();
        // Only ASCII was dropped from the text, and it ends before ASCII: it is UTF-8 still.
        let prefix = String::from_utf8_lossy(&prefix).into();
        Ok(Pattern { inner: Arc::new(Parsed { text: text.into(), prefix, tokens }) })
    }

    /// Whether it names this key, given in full. Takes at most as many steps as both have bytes, multiplied.
    ///
    /// ```
    /// # use samovar_core::{Key, Pattern};
    /// let prices = Pattern::parse("product:*:price")?;
    /// assert!(prices.matches(&Key::addressed("product", "42:price")));
    /// assert!(!prices.matches("product:42:price:old"), "it names the whole key");
    /// assert!(Pattern::parse(r"sale:\*")?.matches("sale:*"));
    /// assert!(!Pattern::parse(r"sale:\*")?.matches("sale:42"));
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub fn matches(&self, name: &str) -> bool {
        let (tokens, name) = (&*self.inner.tokens, name.as_bytes());
        if name.is_empty() {
            // Redis compares nothing with an empty name; `*` by itself is not compared at all.
            return self.as_str() == "*";
        }
        let (mut token, mut at) = (0, 0);
        // The token behind the last `*`, and where it was tried last. An earlier `*` need not take more: whatever
        // follows the last could be found from here too.
        let mut last: Option<(usize, usize)> = None;
        loop {
            match (tokens.get(token), name.get(at)) {
                (Some(Token::Any), _) => {
                    token += 1;
                    last = Some((token, at));
                    continue;
                }
                (Some(one), Some(byte)) if one.takes(*byte) => {
                    token += 1;
                    at += 1;
                    continue;
                }
                (None, None) => return true,
                // The name is at its end: to begin further on would leave less of it.
                (Some(_), None) => return false,
                _ => {}
            }
            let Some((behind, tried)) = last else { return false };
            (token, at) = (behind, tried + 1);
            last = Some((behind, at));
        }
    }

    /// Its text, as it was read.
    ///
    /// ```
    /// # use samovar_core::Pattern;
    /// let pattern = Pattern::parse("product:**")?;
    /// assert_eq!(pattern.as_str(), "product:**");
    /// assert_ne!(pattern, Pattern::parse("product:*")?, "they are compared by their texts");
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub fn as_str(&self) -> &str {
        &self.inner.text
    }

    /// What every name that it matches begins with, taken literally.
    ///
    /// ```
    /// # use samovar_core::Pattern;
    /// assert_eq!(Pattern::parse("product:4?")?.literal_prefix(), "product:4");
    /// assert_eq!(Pattern::parse(r"sale:\**")?.literal_prefix(), "sale:*");
    /// assert_eq!(Pattern::parse("*:price")?.literal_prefix(), "");
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub fn literal_prefix(&self) -> &str {
        &self.inner.prefix
    }

    /// Whether it matches one name alone: its literal prefix.
    ///
    /// ```
    /// # use samovar_core::Pattern;
    /// assert!(Pattern::parse("product:42")?.is_literal());
    /// assert!(Pattern::parse(r"sale:\*")?.is_literal());
    /// assert!(!Pattern::parse("product:*")?.is_literal());
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub fn is_literal(&self) -> bool {
        self.inner.prefix.len() == self.inner.tokens.len()
    }
}

impl FromStr for Pattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Pattern, Error> {
        Pattern::parse(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.as_str()).finish()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pattern, D::Error> {
        let text = String::deserialize(deserializer)?;
        Pattern::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    /// Redis' `stringmatchlen`, said again in Rust, recursion and all; the empty name as `KEYS` takes it.
    fn redis(pattern: &[u8], name: &[u8]) -> bool {
        if name.is_empty() {
            return pattern == b"*";
        }
        compare(pattern, name)
    }

    fn compare(mut p: &[u8], mut s: &[u8]) -> bool {
        while !p.is_empty() && !s.is_empty() {
            match p[0] {
                b'*' => {
                    while p.get(1) == Some(&b'*') {
                        p = &p[1..];
                    }
                    return p.len() == 1 || (0..s.len()).any(|from| compare(&p[1..], &s[from..]));
                }
                b'?' => {}
                b'[' => {
                    p = &p[1..];
                    let not = p.first() == Some(&b'^');
                    if not {
                        p = &p[1..];
                    }
                    let mut found = false;
                    while !p.is_empty() {
                        if p.len() >= 2 && p[0] == b'\\' {
                            p = &p[1..];
                            found |= p[0] == s[0];
                        } else if p[0] == b']' {
                            break;
                        } else if p.len() >= 3 && p[1] == b'-' {
                            let (a, b, c) = (p[0] as i8, p[2] as i8, s[0] as i8);
                            found |= (a.min(b)..=a.max(b)).contains(&c);
                            p = &p[2..];
                        } else {
                            found |= p[0] == s[0];
                        }
                        p = &p[1..];
                    }
                    if found == not {
                        return false;
                    }
                    // At the end it is as if a last sign were left.
                    if p.is_empty() {
                        p = b"]";
                    }
                }
                b'\\' if p.len() >= 2 => {
                    p = &p[1..];
                    if p[0] != s[0] {
                        return false;
                    }
                }
                byte if byte != s[0] => return false,
                _ => {}
            }
            (p, s) = (&p[1..], &s[1..]);
            if s.is_empty() {
                while p.first() == Some(&b'*') {
                    p = &p[1..];
                }
            }
        }
        p.is_empty() && s.is_empty()
    }

    /// What a Redis 7.0.15 answered: see `tests/data/README.md`.
    #[test]
    fn as_a_real_redis_answered() {
        let golden = include_str!("../tests/data/glob.tsv");
        let mut matched = [0, 0];
        for line in golden.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [glob, name, matches] = fields[..] else { unreachable!("{line:?}") };
            let expected = matches == "1";
            assert_eq!(pattern(glob).matches(name), expected, "{glob:?} {name:?}");
            assert_eq!(redis(glob.as_bytes(), name.as_bytes()), expected, "{glob:?} {name:?}");
            matched[usize::from(expected)] += 1;
        }
        assert!(matched.iter().all(|cases| *cases > 1_000), "both answers are there: {matched:?}");
    }

    #[test]
    fn a_hard_pattern_takes_no_time() {
        let name = "a".repeat(4_000);
        let hard = pattern(&("*a".repeat(500) + "*b"));
        assert!(!hard.matches(&name));
        assert!(hard.matches(&(name + "b")));
    }

    #[test]
    fn what_is_said_of_a_pattern() {
        for (text, prefix, literal) in [
            ("product:*", "product:", false),
            ("product:42", "product:42", true),
            (r"a\*b\", r"a*b\", true),
            ("é?", "é", false),
            (r"\é[", "é", false),
            ("*", "", false),
        ] {
            let found = pattern(text);
            assert_eq!((found.literal_prefix(), found.is_literal()), (prefix, literal), "{text}");
            assert!(!literal || found.matches(prefix));
            assert_eq!((found.as_str(), found.to_string()), (text, text.to_owned()));
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert!(Pattern::parse(&"*a".repeat(512)).is_ok());
        for (text, says) in [(String::new(), "empty"), ("x".repeat(1_025), "1025 bytes")] {
            let error = Pattern::parse(&text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn it_is_stored_as_its_text() {
        let stored = postcard::to_stdvec(&pattern("a[b")).unwrap();
        assert_eq!(stored, postcard::to_stdvec("a[b").unwrap());
        assert_eq!(postcard::from_bytes::<Pattern>(&stored).unwrap(), pattern("a[b"));
        let none = postcard::to_stdvec("").unwrap();
        assert!(postcard::from_bytes::<Pattern>(&none).is_err(), "its limits hold there too");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 20_000, ..ProptestConfig::default() })]

        #[test]
        fn it_means_what_redis_means(glob in r"[ab*?\[\]^\\é-]{1,9}", name in r"[ab*?\[\]^\\é-]{0,6}") {
            prop_assert_eq!(pattern(&glob).matches(&name), redis(glob.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn names_that_match_begin_with_the_prefix(glob in r"[ab*?\[\]^\\é-]{1,6}", name in r"[abé-]{0,4}") {
            let glob = pattern(&glob);
            if glob.matches(&name) {
                prop_assert!(name.starts_with(glob.literal_prefix()));
                prop_assert!(!glob.is_literal() || name == glob.literal_prefix());
            }
        }
    }
}
