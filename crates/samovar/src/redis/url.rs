//! Addresses of Redis as people write them.

use percent_encoding::percent_decode_str;
use samovar_core::{Error, ErrorKind};

use super::settings::{Common, Node, Secret};

fn invalid(shown: &str, what: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("`{shown}` is no address of a Redis: {what}"))
}

/// `host:port` or `[address]:port`; the port may be left out.
pub(super) fn node(text: &str, default_port: u16) -> Result<Node, Error> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) =
                rest.split_once(']').ok_or_else(|| invalid(text, "`[` is not closed"))?;
            (host, port.strip_prefix(':').or((port.is_empty()).then_some("")))
        }
        None if text.matches(':').count() > 1 => {
            return Err(invalid(text, "write an IPv6 address in brackets"));
        }
        None => text.split_once(':').map_or((text, Some("")), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some("") if !text.ends_with(':') => Some(default_port),
        Some(port) => port.parse().ok().filter(|port| *port > 0),
        None => None,
    };
    let port = port.ok_or_else(|| invalid(text, "its port is a number from 1 to 65535"))?;
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || "/?#@".contains(c)) {
        return Err(invalid(text, "write host:port"));
    }
    Ok(Node { host: host.to_owned(), port })
}

/// A URL, or a plain `host:port`.
fn one(text: &str, default_port: u16) -> Result<(Node, Common), Error> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("redis", text));
    // From here on nothing that is said shows a password.
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, rest),
    };
    let tls = match scheme {
        "redis" => false,
        "rediss" => true,
        _ => return Err(invalid(rest, "it begins with redis:// or rediss://")),
    };
    let (at, path) = rest.split_once('/').unwrap_or((rest, ""));
    let database = match path {
        "" => 0,
        number => number
            .parse()
            .map_err(|_| invalid(rest, "after `/` stands the number of a database"))?,
    };
    let plain = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .map(String::from)
            .map_err(|_| invalid(rest, "user and password are UTF-8"))
    };
    let (mut username, mut password) = (None, None);
    if let Some(user) = user {
        let (name, secret) = user
            .split_once(':')
            .ok_or_else(|| invalid(rest, "before `@` stand a user, a colon and a password"))?;
        username = (!name.is_empty()).then(|| plain(name)).transpose()?;
        password = Some(Secret::from(&*plain(secret)?));
    }
    Ok((node(at, default_port)?, Common { username, password, database, tls }))
}

/// Several, which may differ in host and port alone.
pub(super) fn all<U: AsRef<str>>(
    urls: impl IntoIterator<Item = U>,
    default_port: u16,
) -> Result<(Vec<Node>, Common), Error> {
    let (mut nodes, mut common) = (Vec::new(), None);
    for url in urls {
        let (node, said) = one(url.as_ref(), default_port)?;
        if common.as_ref().is_some_and(|common| *common != said) {
            let what = "all have one user, password, database and scheme";
            return Err(invalid(&node.to_string(), what));
        }
        common = Some(said);
        nodes.push(node);
    }
    let common = common.ok_or_else(|| invalid("", "name at least one"))?;
    Ok((nodes, common))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let said = |url| one(url, 6_379).unwrap();
        let (node, common) = said("rediss://ann:p%40ss:w%2F@cache.example:6380/3");
        assert_eq!(node.to_string(), "cache.example:6380");
        assert_eq!(common.username.as_deref(), Some("ann"));
        assert_eq!(common.password.as_ref().map(Secret::reveal), Some("p@ss:w/"));
        assert_eq!((common.database, common.tls), (3, true));
        let (node, common) = said("redis://:only@[::1]");
        assert_eq!((node.to_string(), common.username), ("[::1]:6379".into(), None));
        assert_eq!(common.password.as_ref().map(Secret::reveal), Some("only"));
        assert_eq!(said("127.0.0.1:7000").0.port, 7_000);
        assert_eq!(said("[fe80::1]:7000").0.host, "fe80::1");
        assert_eq!(said("redis://host/").1, Common::default());
    }

    #[test]
    fn what_is_none_is_refused_and_no_password_is_shown() {
        for (url, says) in [
            ("http://geheim:geheim@host", "redis:// or rediss://"),
            ("redis://geheim@host", "a user, a colon"),
            ("redis://a:geheim@host:0", "1 to 65535"),
            ("redis://a:geheim@host:", "1 to 65535"),
            ("redis://a:geheim@host:99999", "1 to 65535"),
            ("redis://a:geheim@host/one", "number of a database"),
            ("redis://a:geheim@", "host:port"),
            ("redis://a:geheim@::1", "brackets"),
            ("redis://a:geheim@[::1", "not closed"),
            ("redis://a:geheim@[::1]x", "1 to 65535"),
            ("redis://a:%ff@host", "UTF-8"),
            ("", "host:port"),
        ] {
            let error = one(url, 6_379).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            let text = format!("{error} {error:?}");
            assert!(text.contains(says) && !text.contains("geheim"), "{url}: {text}");
        }
        assert!(all(["redis://a", "rediss://b"], 1).unwrap_err().to_string().contains("scheme"));
        assert!(all([""; 0], 1).unwrap_err().to_string().contains("at least one"));
    }
}
