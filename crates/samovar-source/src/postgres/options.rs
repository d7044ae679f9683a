//! Where the server is, and how it is spoken to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{SourceError, SourceErrorKind};

/// How long a connection may take, if the address does not say.
const CONNECTING: Duration = Duration::from_secs(10);

/// After so long without a word the network is asked whether the other side is still there, if the address does not
/// say: less than what takes connections for forgotten.
const IDLE: Duration = Duration::from_secs(60);
/// How long the other side may leave what was sent unacknowledged, if the address does not say.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Where a PostgreSQL server is, and how it is spoken to.
///
/// `sslmode` in the address decides over TLS:
///
/// | `sslmode` | |
/// |---|---|
/// | `disable` | never |
/// | `prefer` (if nothing is said) | where the server offers it. Its certificate is verified only if `ca_file` is given: without, this protects from listeners, not from somebody who takes the server's place |
/// | `require`, `verify-full` | always, and the certificate must be valid for the host's name |
///
/// A certificate is verified against the system's roots, or against those in `ca_file` alone.
///
/// ```
/// use samovar_source::PostgresOptions;
///
/// let mut options = PostgresOptions::new("postgres://reader:secret@db.example:5432/shop?sslmode=require");
/// options.ca_file = Some("/etc/shop/ca.pem".into());
/// assert!(!format!("{options:?}").contains("secret"));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database?sslmode=…`, or `host=… user=… dbname=…`. It may hold a
    /// password, so it is never shown.
    pub url: String,
    /// A file of certificates in PEM form: the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl PostgresOptions {
    /// The server at an address, with the system's authorities trusted.
    ///
    /// ```
    /// # use samovar_source::PostgresOptions;
    /// let options = PostgresOptions::new("host=db.example user=reader dbname=shop");
    /// assert_eq!(options.place().as_deref(), Some("db.example:5432/shop"));
    /// assert!(options.ca_file.is_none());
    /// ```
    pub fn new(url: impl Into<String>) -> Self {
        PostgresOptions { url: url.into(), ca_file: None }
    }

    /// Whether the address holds a password, so that it should not be shown or stored where others read.
    ///
    /// ```
    /// use samovar_source::PostgresOptions;
    ///
    /// assert!(PostgresOptions::new("postgres://reader:secret@db.example/shop").holds_password());
    /// assert!(!PostgresOptions::new("postgres://reader@db.example/shop").holds_password());
    /// ```
    pub fn holds_password(&self) -> bool {
        // What cannot be read may hold one.
        config(&self.url).map_or(true, |config| config.get_password().is_some())
    }

    /// Where rows are, whoever reads them: hosts with their ports, and the database. `None` if the address is of
    /// another form.
    ///
    /// ```
    /// let options = samovar_source::PostgresOptions::new("postgres://reader:secret@db.example/shop");
    /// assert_eq!(options.place().as_deref(), Some("db.example:5432/shop"));
    /// ```
    pub fn place(&self) -> Option<String> {
        let config = config(&self.url).ok()?;
        let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
        Some(format!("{}/{database}", hosts(&config)))
    }
}

/// Without the address, which may hold a password.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = config(&self.url).map_or_else(|_| "…".into(), |config| shown(&config));
        let mut debug = f.debug_struct("PostgresOptions");
        debug.field("url", &shown).field("ca_file", &self.ca_file).finish()
    }
}

/// What connections are made with.
#[derive(Clone)]
pub(crate) struct Address {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
    /// For errors: host, port, user and database.
    pub(crate) shown: String,
}

impl Address {
    pub(crate) fn of(options: &PostgresOptions) -> Result<Address, SourceError> {
        let mut config = config(&options.url)?;
        if config.get_application_name().is_none() {
            config.application_name("samovar");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECTING);
        }
        if config.get_keepalives_idle() == Config::new().get_keepalives_idle() {
            config.keepalives_idle(IDLE);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNACKNOWLEDGED);
        }
        let tls = MakeRustlsConnect::new(tls(config.get_ssl_mode(), options.ca_file.as_deref())?);
        let shown = shown(&config);
        Ok(Address { config, tls, shown })
    }
}

fn unreachable(message: impl Into<Arc<str>>) -> SourceError {
    SourceError::new(SourceErrorKind::Unreachable, message)
}

/// Reads an address. What is wrong in it is not quoted, because it may be the password.
fn config(url: &str) -> Result<Config, SourceError> {
    // Here `require` verifies the name too, so both are the same.
    let url = url.replace("sslmode=verify-full", "sslmode=require");
    let config: Config = url.parse().map_err(|e: tokio_postgres::Error| {
        let reason = std::error::Error::source(&e).map(ToString::to_string).unwrap_or_default();
        // Other reasons quote what they found, which may be a part of the password.
        let reason = reason.starts_with("invalid value for option").then_some(reason);
        unreachable(format!(
            "the address of the database is not of the form \
             postgres://user:password@host:port/database?sslmode=require{}; \
             special characters of a password are written as %40 and the like",
            reason.map_or(String::new(), |reason| format!(" ({reason})"))
        ))
    })?;
    if config.get_hosts().is_empty() {
        return Err(unreachable("the address of the database names no host"));
    }
    Ok(config)
}

/// The hosts with their ports.
fn hosts(config: &Config) -> String {
    let host = |host: &Host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    };
    let port = |at: usize| {
        let ports = config.get_ports();
        ports.get(at).or(ports.first()).copied().unwrap_or(5432)
    };
    let hosts = config.get_hosts().iter().enumerate();
    let hosts: Vec<String> =
        hosts.map(|(at, name)| format!("{}:{}", host(name), port(at))).collect();
    hosts.join(", ")
}

fn shown(config: &Config) -> String {
    let user = config.get_user().unwrap_or("(of the system)");
    let database = config.get_dbname().unwrap_or(user);
    format!("{} as user {user}, database {database}", hosts(config))
}

/// How certificates are verified.
fn tls(mode: SslMode, ca_file: Option<&Path>) -> Result<ClientConfig, SourceError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| {
            SourceError::new(SourceErrorKind::Failed, "TLS cannot be set up").because(e)
        })?;
    let mut roots = RootCertStore::empty();
    match (ca_file, mode) {
        (Some(path), _) => trust(&mut roots, path)?,
        (None, SslMode::Disable | SslMode::Prefer) => {
            let anybody = Arc::new(Anybody(provider));
            return Ok(builder
                .dangerous()
                .with_custom_certificate_verifier(anybody)
                .with_no_client_auth());
        }
        (None, _) => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                let message = "the system has no certificates of authorities: install ca-certificates, or name a CA file";
                return Err(unreachable(message));
            }
        }
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn trust(roots: &mut RootCertStore, path: &Path) -> Result<(), SourceError> {
    let shown = path.display();
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| unreachable(format!("cannot read the CA file {shown}")).because(e))?;
    let (added, _) = roots.add_parsable_certificates(found);
    if added == 0 {
        return Err(unreachable(format!("the CA file {shown} holds no certificate in PEM form")));
    }
    Ok(())
}

/// Takes anybody for the server: for `prefer`, which would take no TLS at all as well.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for url in [
            "postgres://ann:secret@db.example:6432/shop?sslmode=verify-full",
            "host=db.example port=6432 user=ann password=secret dbname=shop",
        ] {
            let options = PostgresOptions::new(url);
            let shown = Address::of(&options).unwrap().shown;
            assert_eq!(shown, "db.example:6432 as user ann, database shop");
            assert!(!format!("{options:?}").contains("secret"));
        }
        for url in [
            "postgres://ann:sec@ret@db.example:x/shop",
            "postgres://ann:secret@db.example/shop?sslmode=never&x",
            "secret",
            "secret=secret",
            "postgres://ann:secret@",
            "user=ann password='secret",
        ] {
            let options = PostgresOptions::new(url);
            let wrong = Address::of(&options).map(|_| ()).unwrap_err();
            assert_eq!(wrong.kind(), SourceErrorKind::Unreachable);
            assert!(wrong.to_string().contains("address of the database"), "{wrong}");
            for text in [wrong.to_string(), format!("{wrong:?}"), format!("{options:?}")] {
                assert!(!text.contains("secret") && !text.contains("ret@"), "{text}");
            }
        }
    }

    #[test]
    fn a_ca_file_that_is_none_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let mut options = PostgresOptions::new("postgres://ann@db.example/shop?sslmode=require");
        options.ca_file = Some(path.clone());
        for content in [None, Some(""), Some("no certificate")] {
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            let wrong = Address::of(&options).map(|_| ()).unwrap_err();
            assert!(wrong.to_string().contains("ca.pem"), "{wrong}");
        }
    }
}
