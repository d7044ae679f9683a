//! What a user says of Redis.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use samovar_core::{Error, ErrorKind};

use super::url;
use crate::policy::LONGEST;

/// A password: never shown, not even by `Debug`.
///
/// ```
/// use samovar::redis::Secret;
///
/// let password = Secret::from("geheim");
/// assert_eq!(format!("{password:?}"), "***");
/// assert_eq!(password.reveal(), "geheim");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The password itself.
    ///
    /// ```
    /// # use samovar::redis::{RedisSettings, Secret};
    /// let redis = RedisSettings::standalone(["redis://shop:a%40b@cache.example"])?;
    /// assert_eq!(redis.password.as_ref().map(Secret::reveal), Some("a@b"), "as it is, not as a URL has it");
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a server listens: `host:port`, `[::1]:6379` for an IPv6 address.
///
/// ```
/// use samovar::redis::Node;
///
/// let node: Node = "cache.example:6380".parse()?;
/// assert_eq!((&*node.host, node.port), ("cache.example", 6380));
/// assert_eq!("cache.example".parse::<Node>()?.port, 6379);
/// assert!("cache.example:port".parse::<Node>().is_err());
/// # Ok::<(), samovar_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name or address, without brackets.
    pub host: String,
    /// Its port; 6379 if none is said.
    pub port: u16,
}

impl FromStr for Node {
    type Err = Error;

    fn from_str(text: &str) -> Result<Node, Error> {
        url::node(text, 6_379)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// How the servers stand to each other.
///
/// ```
/// use samovar::redis::{RedisServers, RedisSettings};
///
/// let servers = RedisServers::Sentinel {
///     master: "shop".to_owned(),
///     sentinels: vec!["a.example:26379".parse()?, "b.example:26379".parse()?],
///     username: None,
///     password: None,
/// };
/// let by_urls = RedisSettings::sentinel("shop", ["redis://a.example", "redis://b.example"])?;
/// assert_eq!(by_urls.servers, servers);
/// # Ok::<(), samovar_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisServers {
    /// One server. Of several addresses the first that answers is taken.
    Standalone(Vec<Node>),
    /// A primary that sentinels name, and another after a failover.
    Sentinel {
        /// What the sentinels call it.
        master: String,
        /// Where the sentinels listen.
        sentinels: Vec<Node>,
        /// The user that the sentinels know, if they ask.
        username: Option<String>,
        /// That user's password.
        password: Option<Secret>,
    },
    /// A cluster, of which some nodes are named: the rest is asked of them.
    Cluster(Vec<Node>),
}

/// That connections are encrypted. Certificates are always verified.
///
/// ```
/// use samovar::redis::{RedisSettings, RedisTls};
///
/// let by_url = RedisSettings::standalone(["rediss://cache.example"])?;
/// assert_eq!(by_url.tls, Some(RedisTls { ca_file: None }), "the system's authorities are trusted");
///
/// let own = RedisTls { ca_file: Some("/etc/shop/ca.pem".into()) };
/// RedisSettings { tls: Some(own), ..by_url }.check()?;
/// # Ok::<(), samovar_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// The authorities to trust, as PEM; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
}

/// A Redis that keeps values below memory. Its servers, users and TLS may be given as URLs
/// (`redis://user:password@host:port/database`, by TLS `rediss://…`) or field by field.
///
/// ```
/// use samovar::redis::{RedisServers, RedisSettings};
///
/// let redis = RedisSettings::standalone(["rediss://shop:geheim@cache.example/2"])?;
/// assert_eq!(redis.servers, RedisServers::Standalone(vec!["cache.example:6379".parse()?]));
/// assert_eq!((redis.username.as_deref(), redis.database), (Some("shop"), 2));
/// assert!(redis.tls.is_some() && !format!("{redis:?}").contains("geheim"));
///
/// let own = RedisSettings { namespace: "shop:".into(), ..redis };
/// own.check()?;
/// # Ok::<(), samovar_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RedisSettings {
    /// Where it is.
    pub servers: RedisServers,
    /// The user to come in as; `None`: Redis' default user.
    pub username: Option<String>,
    /// That user's password.
    pub password: Option<Secret>,
    /// The database's number; a cluster has only 0.
    pub database: u32,
    /// Whether connections are encrypted, those to sentinels too.
    pub tls: Option<RedisTls>,
    /// What the name of every key begins with: at most 256 bytes, of which the first is no `}`. Those who give another
    /// do not see each other's values.
    pub namespace: String,
    /// How long connecting may take, for each server that is tried. It is above 0, as are `response_timeout`, `slow`
    /// and `retry_min`.
    pub connect_timeout: Duration,
    /// How long an answer may take. Past that the lookup goes on without Redis.
    pub response_timeout: Duration,
    /// After so many failed or slow lookups in a row, at least 1, Redis is left alone for a while.
    pub failures_max: u32,
    /// What counts as slow.
    pub slow: Duration,
    /// It is tried again after so long at first, twice as long each time (spread by up to a fifth) …
    pub retry_min: Duration,
    /// … and at last this often; not below `retry_min`.
    pub retry_max: Duration,
    /// So many bytes may wait to be written; what comes beyond is not kept there.
    pub queue_bytes: u64,
}

impl RedisSettings {
    /// The defaults, on these servers: no user, no TLS, database 0, names that begin with `samovar:`.
    ///
    /// ```
    /// # use samovar::redis::{RedisServers, RedisSettings};
    /// let redis = RedisSettings::on(RedisServers::Standalone(vec!["cache.example:6379".parse()?]));
    /// assert_eq!(redis, RedisSettings::standalone(["redis://cache.example"])?);
    /// redis.check()?;
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub fn on(servers: RedisServers) -> RedisSettings {
        RedisSettings {
            servers,
            username: None,
            password: None,
            database: 0,
            tls: None,
            namespace: "samovar:".to_owned(),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(1),
            failures_max: 5,
            slow: Duration::from_millis(500),
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(10),
            queue_bytes: 64 << 20,
        }
    }

    /// One server at a URL, or at the first of several that answers.
    ///
    /// ```
    /// # use samovar::redis::{RedisServers, RedisSettings};
    /// # use samovar_core::ErrorKind;
    /// let redis = RedisSettings::standalone(["redis://a.example/2", "redis://b.example:7000/2"])?;
    /// let nodes = vec!["a.example:6379".parse()?, "b.example:7000".parse()?];
    /// assert_eq!((redis.servers, redis.database), (RedisServers::Standalone(nodes), 2));
    ///
    /// let mixed = RedisSettings::standalone(["redis://a.example", "rediss://b.example"]);
    /// assert_eq!(mixed.unwrap_err().kind(), ErrorKind::Invalid, "one is encrypted, one is not");
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`] if a URL is none, or they differ in more than host and port.
    pub fn standalone<U: AsRef<str>>(
        urls: impl IntoIterator<Item = U>,
    ) -> Result<RedisSettings, Error> {
        let (nodes, common) = url::all(urls, 6_379)?;
        Ok(common.on(RedisServers::Standalone(nodes)))
    }

    /// A cluster, of which some nodes are named.
    ///
    /// ```
    /// # use samovar::redis::{RedisServers, RedisSettings};
    /// let redis = RedisSettings::cluster(["redis://a.example", "redis://b.example"])?;
    /// assert!(matches!(&redis.servers, RedisServers::Cluster(nodes) if nodes.len() == 2));
    /// redis.check()?;
    /// assert!(RedisSettings { database: 2, ..redis }.check().is_err(), "a cluster has database 0 alone");
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`RedisSettings::standalone`].
    pub fn cluster<U: AsRef<str>>(
        urls: impl IntoIterator<Item = U>,
    ) -> Result<RedisSettings, Error> {
        let (nodes, common) = url::all(urls, 6_379)?;
        Ok(common.on(RedisServers::Cluster(nodes)))
    }

    /// A primary that sentinels name. User and password in their URLs are the sentinels' own; those of the primary
    /// are fields. The default port is 26379.
    ///
    /// ```
    /// # use samovar::redis::{RedisServers, RedisSettings};
    /// let redis = RedisSettings {
    ///     password: Some("geheim".into()),
    ///     ..RedisSettings::sentinel("shop", ["redis://watch:dog@a.example", "redis://watch:dog@b.example"])?
    /// };
    /// redis.check()?;
    /// assert_eq!(redis.username, None, "`watch` is known to the sentinels alone");
    /// assert!(matches!(&redis.servers, RedisServers::Sentinel { sentinels, .. } if sentinels[0].port == 26_379));
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`RedisSettings::standalone`].
    pub fn sentinel<U: AsRef<str>>(
        master: &str,
        urls: impl IntoIterator<Item = U>,
    ) -> Result<RedisSettings, Error> {
        let (sentinels, common) = url::all(urls, 26_379)?;
        let servers = RedisServers::Sentinel {
            master: master.to_owned(),
            sentinels,
            username: common.username.clone(),
            password: common.password.clone(),
        };
        Ok(RedisSettings { username: None, password: None, ..common.on(servers) })
    }

    /// Whether they can be.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use samovar::redis::RedisSettings;
    /// # use samovar_core::ErrorKind;
    /// let redis = RedisSettings::standalone(["redis://cache.example"])?;
    /// redis.check()?;
    ///
    /// let error = RedisSettings { retry_max: Duration::ZERO, ..redis }.check().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Invalid);
    /// assert_eq!(error.to_string(), "redis: retry_max is not below retry_min");
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`], with the field and what to do.
    pub fn check(&self) -> Result<(), Error> {
        let invalid = |what: &str| Err(Error::new(ErrorKind::Invalid, format!("redis: {what}")));
        let nodes = match &self.servers {
            RedisServers::Standalone(nodes) | RedisServers::Cluster(nodes) => nodes,
            RedisServers::Sentinel { master, sentinels, username, password } => {
                if master.is_empty() {
                    return invalid("say what the sentinels call the master");
                }
                if username.is_some() && password.is_none() {
                    return invalid("the sentinels' username needs a password");
                }
                sentinels
            }
        };
        if nodes.is_empty() || nodes.iter().any(|node| node.host.is_empty()) {
            return invalid("name a server: host and port");
        }
        if self.username.is_some() && self.password.is_none() {
            return invalid("username needs a password");
        }
        if matches!(self.servers, RedisServers::Cluster(_)) && self.database != 0 {
            return invalid("a cluster has database 0 alone: leave database out");
        }
        if self.namespace.len() > 256 {
            return invalid("namespace is longer than 256 bytes");
        }
        if self.namespace.starts_with('}') {
            // The log's keys would lie on different slots of a cluster.
            return invalid("namespace begins with }: choose another");
        }
        if [self.connect_timeout, self.response_timeout, self.slow, self.retry_min]
            .iter()
            .any(Duration::is_zero)
        {
            return invalid("connect_timeout, response_timeout, slow and retry_min are above 0");
        }
        let times = [self.connect_timeout, self.response_timeout, self.slow, self.retry_max];
        if times.iter().any(|time| *time > LONGEST) {
            return invalid(
                "connect_timeout, response_timeout, slow and retry_max are at most 100 years",
            );
        }
        if self.retry_max < self.retry_min {
            return invalid("retry_max is not below retry_min");
        }
        if self.failures_max == 0 {
            return invalid("failures_max is at least 1");
        }
        Ok(())
    }
}

/// What URLs say beside host and port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Common {
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: u32,
    pub(super) tls: bool,
}

impl Common {
    fn on(self, servers: RedisServers) -> RedisSettings {
        let Common { username, password, database, tls } = self;
        let tls = tls.then(RedisTls::default);
        RedisSettings { username, password, database, tls, ..RedisSettings::on(servers) }
    }
}
