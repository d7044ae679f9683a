//! Redis: where it is, and who may come in.
//!
//! [`RedisSettings`] is for [`crate::Settings::redis`], which puts a Redis between memory and disk, and for a
//! mark log that several nodes share. It is part of every build; what connects comes with the cargo feature `redis`.
//!
//! ```
//! use samovar::Settings;
//! use samovar::redis::RedisSettings;
//!
//! let redis = RedisSettings::standalone(["rediss://shop:geheim@cache.example:6380"])?;
//! let redis = RedisSettings { namespace: "shop:".into(), ..redis };
//! redis.check()?;
//! let settings = Settings { redis: Some(redis), ..Settings::default() };
//! assert!(!format!("{settings:?}").contains("geheim"), "a password is not shown");
//! # Ok::<(), samovar_core::Error>(())
//! ```

// `connection` is one for all who need it.

#[cfg(feature = "redis")]
mod connect;
#[cfg(feature = "redis")]
mod connection;
mod settings;
mod url;

#[cfg(feature = "redis")]
pub(crate) use connection::{Connection, Request, plain};
pub use settings::{Node, RedisServers, RedisSettings, RedisTls, Secret};
