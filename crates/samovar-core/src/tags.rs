//! Tags: names under which entries of any cache are invalidated together.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, ErrorKind};

/// The most bytes of a tag.
const LONGEST: usize = 256;
/// Stands for every tag and partition there is.
const ANY: &str = "*";

/// The tags of an entry: sorted, each once. Cheap to clone; none by default, which takes no room.
///
/// The tag `*` stands for all that there may be: what bears it is covered by every mark on a tag or a partition.
///
/// ```
/// # use samovar_core::Tags;
/// let tags = Tags::new(["supplier:7", "season:summer", "supplier:7"])?;
/// assert_eq!(tags.iter().map(|tag| &**tag).collect::<Vec<_>>(), ["season:summer", "supplier:7"]);
/// # Ok::<(), samovar_core::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tags(Option<Arc<[Arc<str>]>>);

impl Tags {
    /// The most tags that an entry bears.
    pub const MOST: usize = 64;

    /// No tags.
    ///
    /// ```
    /// # use samovar_core::{Key, Scope, Tags};
    /// let key = Key::new("prices", "42");
    /// assert!(Tags::NONE.is_empty());
    /// assert!(!Scope::Tag("supplier:7".into()).covers(&key, &Tags::NONE));
    /// assert!(Scope::Everything.covers(&key, &Tags::NONE));
    /// ```
    pub const NONE: Tags = Tags(None);

    /// These tags, in any order.
    ///
    /// ```
    /// # use samovar_core::{ErrorKind, Tags};
    /// let tags = Tags::new(["season:summer", "supplier:7"])?;
    /// assert_eq!(tags, Tags::new(vec!["supplier:7".to_owned(), "season:summer".to_owned()])?);
    /// let error = Tags::new(["supplier:7", ""]).unwrap_err();
    /// assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::Invalid, "a tag is empty"));
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if there are more than 64, or one is empty or longer than 256 bytes.
    pub fn new<T: Into<Arc<str>>>(tags: impl IntoIterator<Item = T>) -> Result<Tags, Error> {
        let invalid = |what: String| Err(Error::new(ErrorKind::Invalid, what));
        let mut all: Vec<Arc<str>> = Vec::new();
        for tag in tags {
            let tag = tag.into();
            check(&tag)?;
            if let Err(at) = all.binary_search(&tag) {
                all.insert(at, tag);
            }
            if all.len() > Tags::MOST {
                return invalid(format!("an entry has more than {} tags", Tags::MOST));
            }
        }
        Ok(Tags((!all.is_empty()).then(|| all.into())))
    }

    /// The tag `*`: for what nobody can say which tags and partitions it depends on, such as that there is no value.
    ///
    /// ```
    /// # use samovar_core::Tags;
    /// assert!(Tags::any().are_any() && !Tags::new(["supplier:7"])?.are_any());
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub fn any() -> Tags {
        Tags(Some(Arc::from([Arc::from(ANY)])))
    }

    /// Whether every mark on a tag or a partition covers what bears them.
    ///
    /// ```
    /// # use samovar_core::{Key, Partition, Scope, Tags};
    /// let marked = Scope::Partition(Partition::new("17", "2026-02-03".parse().unwrap()));
    /// let (key, tags) = (Key::new("sales", "17"), Tags::new(["supplier:7", "*"])?);
    /// assert!(tags.are_any() && marked.covers(&key, &tags));
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub fn are_any(&self) -> bool {
        self.has(ANY)
    }

    /// These and others.
    ///
    /// ```
    /// # use samovar_core::{ErrorKind, Tags};
    /// let both = Tags::new(["supplier:7"])?.and(&Tags::new(["season:summer", "supplier:7"])?)?;
    /// assert_eq!(both, Tags::new(["season:summer", "supplier:7"])?);
    ///
    /// let shelves = |from: u32, to: u32| Tags::new((from..to).map(|shelf| format!("shelf:{shelf}")));
    /// assert_eq!(shelves(0, 40)?.and(&shelves(40, 80)?).unwrap_err().kind(), ErrorKind::Invalid);
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if there are more than 64 together.
    pub fn and(&self, others: &Tags) -> Result<Tags, Error> {
        if others.is_empty() {
            return Ok(self.clone());
        }
        Tags::new(self.iter().chain(others.iter()).map(Arc::clone))
    }

    /// Whether a tag is one of them.
    ///
    /// ```
    /// # use samovar_core::Tags;
    /// let tags = Tags::new(["supplier:7", "season:summer"])?;
    /// assert!(tags.has("supplier:7") && !tags.has("supplier"));
    /// assert!(!Tags::any().has("supplier:7"), "`*` is a tag too: only marks take it for all");
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub fn has(&self, tag: &str) -> bool {
        self.binary_search_by(|own| (**own).cmp(tag)).is_ok()
    }

    /// The bytes that they take in memory.
    ///
    /// ```
    /// # use samovar_core::Tags;
    /// assert_eq!(Tags::NONE.weight(), 0);
    /// let (short, long) = (Tags::new(["supplier:7"])?, Tags::new(["supplier:77"])?);
    /// assert!(short.weight() > "supplier:7".len(), "each has a place beside its text");
    /// assert_eq!(long.weight(), short.weight() + 1);
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub fn weight(&self) -> usize {
        self.iter().map(|tag| size_of::<Arc<str>>() + 2 * size_of::<usize>() + tag.len()).sum()
    }
}

/// Whether something may be a tag.
fn check(tag: &str) -> Result<(), Error> {
    let what = match tag.len() {
        0 => "a tag is empty".to_owned(),
        1..=LONGEST => return Ok(()),
        length => format!("a tag has {length} bytes; {LONGEST} are the most there may be"),
    };
    Err(Error::new(ErrorKind::Invalid, what))
}

impl Deref for Tags {
    type Target = [Arc<str>];

    fn deref(&self) -> &[Arc<str>] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tags, D::Error> {
        Tags::new(Vec::<Arc<str>>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_sorted_and_each_is_there_once() {
        let tags = Tags::new(["b", "a", "c", "b", "é", "a"]).unwrap();
        assert_eq!(format!("{tags:?}"), r#"{"a", "b", "c", "é"}"#);
        assert!(tags.has("é") && tags.has("a") && !tags.has("") && !tags.has("ab"));
        assert_eq!(tags, Tags::new(["é", "c", "b", "a"]).unwrap());
        assert_eq!(Tags::new(Vec::<String>::new()).unwrap(), Tags::NONE);
        assert!(Tags::NONE.is_empty() && Tags::NONE.weight() == 0);
        assert!(tags.weight() > 4);
        let stored = postcard::to_stdvec(&tags).unwrap();
        assert_eq!(postcard::from_bytes::<Tags>(&stored).unwrap(), tags);
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let many = |count: usize| Tags::new((0..count).map(|tag| tag.to_string()));
        assert_eq!(many(64).unwrap().len(), 64);
        assert!(Tags::new((0..1_000).map(|_| "same")).is_ok(), "one tag, said often");
        let long = |length| Tags::new(["x".repeat(length)]);
        assert!(long(256).is_ok());
        for (refused, says) in
            [(many(65), "more than 64"), (long(257), "257 bytes"), (long(0), "empty")]
        {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(says), "{error}");
        }
        let stored = postcard::to_stdvec(&[""][..]).unwrap();
        assert!(postcard::from_bytes::<Tags>(&stored).is_err(), "limits hold there too");
    }
}
