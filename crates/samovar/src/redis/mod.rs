//! Redis: where it is, who may come in, and one connection to it for all who need it.
//!
//! The settings are part of every build; what connects comes with the cargo feature `redis`.

#[cfg(feature = "redis")]
mod connect;
#[cfg(feature = "redis")]
mod connection;
mod settings;
mod url;

#[cfg(feature = "redis")]
pub(crate) use connection::{Connection, Request, plain};
pub use settings::{Node, RedisServers, RedisSettings, RedisTls, Secret};
