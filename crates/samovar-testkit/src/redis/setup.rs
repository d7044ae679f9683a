//! How a server is set up.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::{RedisError, Result, wrong};

/// How a server is set up. One setup may serve several servers, which then share users and certificates.
///
/// ```
/// use samovar_testkit::redis::Setup;
///
/// # fn main() -> Result<(), samovar_testkit::redis::RedisError> {
/// let setup = Setup::new()
///     .durable()
///     .user("ann", "geheim")
///     .set("maxmemory", "2mb")
///     .set("maxmemory-policy", "allkeys-lru")
///     .tls()?;
/// // What a client is to trust.
/// assert!(setup.authority().is_some_and(|pem| pem.starts_with("-----BEGIN CERTIFICATE")));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Setup {
    durable: bool,
    pub(super) user: Option<(String, String)>,
    tls: Option<Tls>,
    /// The kit's own settings, which those of the test win over.
    own: Vec<(String, String)>,
    settings: Vec<(String, String)>,
}

/// Certificates in PEM.
#[derive(Clone, Debug)]
struct Tls {
    authority: String,
    certificate: String,
    key: String,
}

impl Setup {
    /// A server that anybody may use, and that forgets all when it ends.
    ///
    /// ```
    /// # use samovar_testkit::redis::{RedisError, Server, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let server = Server::launch(&Setup::new())?;
    /// server.cli(&["SET", "tea", "green"])?;
    /// server.kill()?;
    /// server.start()?;
    /// assert_eq!(server.cli(&["EXISTS", "tea"])?, "0");
    /// # Ok(())
    /// # }
    /// ```
    pub fn new() -> Setup {
        Setup::default()
    }

    /// The server keeps its data in an append-only file (AOF): whatever it acknowledged survives its death. Nothing is
    /// synced to the disk, because the machine does not die with it.
    ///
    /// ```
    /// # use samovar_testkit::redis::{RedisError, Server, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let server = Server::launch(&Setup::new().durable())?;
    /// assert_eq!(server.cli(&["CONFIG", "GET", "appendonly"])?, "appendonly\nyes");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn durable(mut self) -> Setup {
        self.durable = true;
        self
    }

    /// Only this user may come in, by this password, and may do anything. Both are of letters, digits, `-` and `_`.
    ///
    /// ```
    /// # use samovar_testkit::redis::{RedisError, Server, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let server = Server::launch(&Setup::new().user("ann", "geheim"))?;
    /// assert_eq!(server.cli(&["ACL", "WHOAMI"])?, "ann");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Setup {
        self.user = Some((name.into(), password.into()));
        self
    }

    /// A setting as a line of `redis.conf` has it, beside the usual ones and stronger than they are.
    ///
    /// ```
    /// # use samovar_testkit::redis::{RedisError, Server, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let setup = Setup::new().set("maxmemory-policy", "allkeys-lru");
    /// let told = Server::launch(&setup)?.cli(&["CONFIG", "GET", "maxmemory-policy"])?;
    /// assert_eq!(told, "maxmemory-policy\nallkeys-lru");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Setup {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// The server speaks TLS alone, with a certificate for 127.0.0.1 by an authority of this setup's own.
    ///
    /// # Errors
    /// If no certificate can be made.
    ///
    /// ```
    /// # use samovar_testkit::redis::{RedisError, Server, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let server = Server::launch(&Setup::new().tls()?)?;
    /// assert!(server.url().starts_with("rediss://"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn tls(mut self) -> Result<Setup> {
        let tls = || -> std::result::Result<Tls, rcgen::Error> {
            let mut params = CertificateParams::new([])?;
            params.distinguished_name.push(DnType::CommonName, "samovar-testkit");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
            let key = KeyPair::generate()?;
            let params = CertificateParams::new(["127.0.0.1".to_string()])?;
            let certificate = params.signed_by(&key, &authority)?.pem();
            Ok(Tls { authority: authority.pem(), certificate, key: key.serialize_pem() })
        };
        let made = tls().map_err(|e| RedisError(format!("cannot make a certificate: {e}")))?;
        self.tls = Some(made);
        Ok(self)
    }

    /// The certificate (PEM) of the authority that a client is to trust, if the server speaks TLS.
    ///
    /// ```
    /// # use samovar_testkit::redis::{RedisError, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// assert_eq!(Setup::new().authority(), None);
    /// let setup = Setup::new().tls()?;
    /// assert_eq!(setup.authority(), setup.clone().durable().authority(), "it is the setup's own");
    /// # Ok(())
    /// # }
    /// ```
    pub fn authority(&self) -> Option<&str> {
        self.tls.as_ref().map(|tls| tls.authority.as_str())
    }

    /// The same as far as sentinels go: who may come in, and how.
    pub(super) fn doors(&self) -> Setup {
        Setup { user: self.user.clone(), tls: self.tls.clone(), ..Setup::default() }
    }

    /// A setting of the kit's.
    pub(super) fn own(mut self, name: &str, value: &str) -> Setup {
        self.own.push((name.into(), value.into()));
        self
    }

    pub(super) fn is_durable(&self) -> bool {
        self.durable
    }

    /// Writes the configuration, and the files it names, into a server's folder.
    pub(super) fn write(&self, folder: &Path, port: u16) -> Result<()> {
        let write = |name: &str, text: &str| {
            fs::write(folder.join(name), text).map_err(wrong("cannot write a server's file"))
        };
        let at = folder.display();
        let on = |on: bool| if on { "yes" } else { "no" };
        let mut text = format!(
            "bind 127.0.0.1\n{door} {port}\ndir \"{at}/data\"\npidfile \"{at}/pid\"\n\
             unixsocket \"{at}/socket\"\nsave \"\"\nappendonly {kept}\nappendfsync no\n",
            door = if self.tls.is_some() { "port 0\ntls-port" } else { "port" },
            kept = on(self.durable),
        );
        if let Some((name, password)) = &self.user {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if ![name, password].iter().all(|word| !word.is_empty() && word.chars().all(plain)) {
                let what = "letters, digits, `-` and `_` alone make a user's name and password";
                return Err(RedisError(format!("{what}, not {name:?} and {password:?}")));
            }
            let _ = write!(text, "user default off\nuser {name} on >{password} ~* &* +@all\n");
        }
        if let Some(tls) = &self.tls {
            write("authority.pem", &tls.authority)?;
            write("certificate.pem", &tls.certificate)?;
            write("key.pem", &tls.key)?;
            let _ = write!(
                text,
                "tls-ca-cert-file \"{at}/authority.pem\"\ntls-cert-file \"{at}/certificate.pem\"\n\
                 tls-key-file \"{at}/key.pem\"\ntls-auth-clients no\n"
            );
        }
        for (name, value) in self.own.iter().chain(&self.settings) {
            let _ = writeln!(text, "{name} {value}");
        }
        write("redis.conf", &text)
    }

    /// The scheme of its address.
    pub(super) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "rediss" } else { "redis" }
    }
}
