//! How a connection is made, to whichever servers are meant.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::cluster::ClusterClientBuilder;
use ::redis::cluster_async::ClusterConnection;
use ::redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use ::redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use ::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, TlsCertificates, TlsMode,
};
use samovar_core::{Error, ErrorKind};

use super::{Node, RedisServers, RedisSettings};

/// A peer that vanished without a word is noticed after about so long.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// A command to a cluster is tried again so often, where slots have moved.
const RETRIES: u32 = 3;

/// A connection that many use at once.
#[derive(Clone)]
pub(super) enum Link {
    One(MultiplexedConnection),
    /// Finds the node of each key by itself, also when slots move.
    Cluster(ClusterConnection),
}

impl Link {
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Link::Cluster(_))
    }
}

/// Makes connections by settings that have been checked.
pub(super) struct Connector {
    settings: RedisSettings,
    certificates: Option<TlsCertificates>,
}

impl Connector {
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`] if the settings cannot be, or the file of authorities cannot be read.
    pub(super) fn new(settings: RedisSettings) -> Result<Connector, Error> {
        settings.check()?;
        let mut certificates = None;
        if let Some(tls) = &settings.tls {
            // The crate asks for the process' provider; another may have chosen one.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let read = |path: &PathBuf| {
                fs::read(path).map_err(|e| {
                    let problem = format!("redis: reading the ca_file {}", path.display());
                    Error::new(ErrorKind::Invalid, problem).because(e)
                })
            };
            let root_cert = tls.ca_file.as_ref().map(read).transpose()?;
            certificates = Some(TlsCertificates { client_tls: None, root_cert });
        }
        Ok(Connector { settings, certificates })
    }

    /// A new connection. To be polled in the runtime that is to drive it.
    pub(super) async fn connect(&self) -> Result<Link, RedisError> {
        match &self.settings.servers {
            RedisServers::Standalone(nodes) => self.first(nodes).await.map(Link::One),
            RedisServers::Sentinel { .. } => self.primary().await.map(Link::One),
            RedisServers::Cluster(nodes) => self.cluster(nodes).await.map(Link::Cluster),
        }
    }

    /// To the first of some addresses that answers.
    async fn first(&self, nodes: &[Node]) -> Result<MultiplexedConnection, RedisError> {
        let mut last = None;
        for node in nodes {
            let info = self.info(node)?;
            let client = match &self.certificates {
                None => Client::open(info),
                Some(certificates) => Client::build_with_tls(info, certificates.clone()),
            };
            match client?.get_multiplexed_async_connection_with_config(&self.config()).await {
                Ok(link) => return Ok(link),
                Err(error) => last = Some(error),
            }
        }
        // There is one: the settings were checked.
        Err(last.unwrap_or_else(|| std::io::Error::other("no server is named").into()))
    }

    /// To the primary that the sentinels name now.
    async fn primary(&self) -> Result<MultiplexedConnection, RedisError> {
        let settings = &self.settings;
        let RedisServers::Sentinel { master, sentinels, username, password } = &settings.servers
        else {
            return Err(std::io::Error::other("no sentinels are named").into());
        };
        let sentinels = sentinels.iter().map(|node| self.address(node));
        let mut builder =
            SentinelClientBuilder::new(sentinels, master, SentinelServerType::Master)?
                .set_client_to_redis_db(i64::from(settings.database))
                .set_client_to_redis_tcp_settings(tcp())
                .set_client_to_sentinel_tcp_settings(tcp());
        if let Some(username) = &settings.username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = &settings.password {
            builder = builder.set_client_to_redis_password(password.reveal());
        }
        if let Some(username) = username {
            builder = builder.set_client_to_sentinel_username(username);
        }
        if let Some(password) = password {
            builder = builder.set_client_to_sentinel_password(password.reveal());
        }
        if let Some(certificates) = &self.certificates {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates.clone());
        }
        builder.build()?.get_async_connection_with_config(&self.config()).await
    }

    async fn cluster(&self, nodes: &[Node]) -> Result<ClusterConnection, RedisError> {
        let settings = &self.settings;
        let nodes = nodes.iter().map(|node| self.info(node)).collect::<Result<Vec<_>, _>>()?;
        let mut builder = ClusterClientBuilder::new(nodes)
            .connection_timeout(settings.connect_timeout)
            .response_timeout(settings.response_timeout)
            .retries(RETRIES)
            .tcp_settings(tcp());
        if let Some(certificates) = &self.certificates {
            builder = builder.certs(certificates.clone());
        }
        builder.build()?.get_async_connection().await
    }

    fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.settings.connect_timeout))
            .set_response_timeout(Some(self.settings.response_timeout))
    }

    fn address(&self, node: &Node) -> ConnectionAddr {
        let Node { host, port } = node.clone();
        match self.settings.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        }
    }

    fn info(&self, node: &Node) -> Result<ConnectionInfo, RedisError> {
        let settings = &self.settings;
        let mut redis = RedisConnectionInfo::default().set_db(i64::from(settings.database));
        if let Some(username) = &settings.username {
            redis = redis.set_username(username);
        }
        if let Some(password) = &settings.password {
            redis = redis.set_password(password.reveal());
        }
        let info = self.address(node).into_connection_info()?;
        Ok(info.set_redis_settings(redis).set_tcp_settings(tcp()))
    }
}

fn tcp() -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3);
    TcpSettings::default().set_nodelay(true).set_keepalive(keepalive)
}
