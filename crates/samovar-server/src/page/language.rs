//! Which language the page is served in: the one that the address names, else what the browser accepts.

use axum::http::header::ACCEPT_LANGUAGE;
use axum::http::{HeaderMap, Uri};

/// A language that the page has a table of words for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Chinese,
}

impl Language {
    /// All of them; the first is served to whom none is welcome.
    pub(super) const ALL: [Language; 2] = [Language::English, Language::Chinese];

    /// Its name in `?lang=`, and of its table of words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Chinese => "zh",
        }
    }

    /// Its tag in `lang`. Chinese names its script: without it a browser may take the glyphs of another.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Chinese => "zh-Hans",
        }
    }

    /// Whether a language range means it, be it of any region or script: `zh-TW` reads `zh` sooner than `en`.
    fn is_meant_by(self, range: &str) -> bool {
        range.split('-').next().is_some_and(|first| first.eq_ignore_ascii_case(self.name()))
    }

    /// The language of a request for the page.
    pub(super) fn of(uri: &Uri, headers: &HeaderMap) -> Language {
        let query = uri.query().unwrap_or("");
        let named = query.split('&').find_map(|pair| pair.strip_prefix("lang="));
        let named = named.and_then(|name| Self::ALL.into_iter().find(|one| one.is_meant_by(name)));
        let accepted = headers.get_all(ACCEPT_LANGUAGE).iter();
        let accepted = accepted.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
        named.or_else(|| negotiate(accepted)).unwrap_or(Self::ALL[0])
    }
}

/// The language that the items of `Accept-Language` weigh most: by their quality, then by their order. `*` stands for
/// what no other item names.
fn negotiate<'a>(items: impl Iterator<Item = &'a str>) -> Option<Language> {
    let ranges: Vec<(&str, f32)> = items.filter_map(weighed).collect();
    let heaviest = |matches: &dyn Fn(&str) -> bool| {
        let mut best: Option<(usize, f32)> = None;
        for (place, (_, weight)) in ranges.iter().enumerate().filter(|(_, (r, _))| matches(r)) {
            if best.is_none_or(|(_, most)| *weight > most) {
                best = Some((place, *weight));
            }
        }
        best
    };
    let mut chosen: Option<(Language, usize, f32)> = None;
    for language in Language::ALL {
        let own = heaviest(&|range| language.is_meant_by(range));
        let Some((place, weight)) = own.or_else(|| heaviest(&|range| range == "*")) else {
            continue;
        };
        let better = chosen
            .is_none_or(|(_, before, most)| weight > most || (weight == most && place < before));
        if weight > 0.0 && better {
            chosen = Some((language, place, weight));
        }
    }
    chosen.map(|(language, _, _)| language)
}

/// A range and its quality; nothing where it is garbled.
fn weighed(item: &str) -> Option<(&str, f32)> {
    let mut pieces = item.split(';').map(str::trim);
    let range = pieces.next().filter(|range| !range.is_empty())?;
    let weight = match pieces.next() {
        None => 1.0,
        Some(piece) => {
            let (name, number) = piece.split_once('=')?;
            let number = number.trim().parse().ok().filter(|q| (0.0..=1.0).contains(q))?;
            name.trim().eq_ignore_ascii_case("q").then_some(number)?
        }
    };
    Some((range, weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(uri: &str, accepted: &[&str]) -> &'static str {
        let headers = accepted.iter().map(|v| (ACCEPT_LANGUAGE, v.parse().unwrap())).collect();
        Language::of(&uri.parse().unwrap(), &headers).name()
    }

    #[test]
    fn what_the_browser_accepts_most() {
        for (accepted, language) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
            ("en-US,en;q=0.9,zh-CN;q=0.8", "en"),
            ("de-DE,de;q=0.9,zh;q=0.3,en;q=0.2", "zh"),
            ("en;q=0.5, ZH-hant-TW;q=0.7", "zh"),
            ("zh;q=0.8,en;q=0.8", "zh"),
            ("en;q=0.8,zh;q=0.8", "en"),
            ("fr,*;q=0.5", "en"),
            ("en;q=0,*;q=0.5", "zh"),
            ("zh;q=0", "en"),
            ("zh-TW;q=0, zh;q=0.1", "zh"),
            ("*;q=0.9,zh;q=0.5", "en"),
            ("fr", "en"),
            ("zhuang, zha", "en"),
            ("zh;q=many, en;q=0.1", "en"),
            ("zh;q=7, en;q=0.1", "en"),
            ("zh; Q=0.2 ,en ; q=0.1", "zh"),
            (";;,=,q", "en"),
            ("", "en"),
        ] {
            assert_eq!(served("/", &[accepted]), language, "{accepted}");
        }
        assert_eq!(served("/", &[]), "en");
        assert_eq!(served("/", &["en;q=0.3", "zh"]), "zh", "more than one header");
    }

    #[test]
    fn an_address_that_names_its_language_has_it() {
        assert_eq!(served("/?lang=zh", &["en"]), "zh");
        assert_eq!(served("/?stores=all&lang=zh-CN", &["en"]), "zh");
        assert_eq!(served("/?lang=en&stores=all", &["zh"]), "en");
        assert_eq!(served("/?lang=fr", &["zh"]), "zh");
        assert_eq!(served("/?slang=en", &["zh"]), "zh");
    }
}
