//! What lies between the driver and the network: TLS where the address asks for it, and [`Aside`].
//!
//! The driver lets whoever makes its TLS wrap the socket. So it is told to require TLS and to negotiate nothing, and
//! what the address asks for is negotiated here, TLS or not; all else of an address stays the driver's.

use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::Socket;
use tokio_postgres::config::{Config, Host, SslMode, SslNegotiation};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::either::Either;

use super::aside::{Aside, Rows};

/// Asks a server for TLS ("SSLRequest" in PostgreSQL's documentation).
const TLS_PLEASE: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

type Rustls = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
type Stream = Either<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// Makes transports to the hosts of an address.
#[derive(Clone)]
pub(super) struct Transport {
    tls: MakeRustlsConnect,
    mode: SslMode,
    negotiation: SslNegotiation,
    rows: Arc<Rows>,
    cancels: bool,
}

impl Transport {
    /// A transport that puts rows aside, and the address for the driver to use it with. `None` where a host is the
    /// path of a socket, or has no name: the driver wraps no such connection, and hands its rows over itself.
    pub(super) fn of(
        config: &Config,
        tls: &MakeRustlsConnect,
        rows: Arc<Rows>,
    ) -> Option<(Config, Transport)> {
        let hosts = config.get_hosts();
        if hosts.is_empty() || !hosts.iter().all(|host| matches!(host, Host::Tcp(_))) {
            return None;
        }
        let (mode, negotiation) = (config.get_ssl_mode(), config.get_ssl_negotiation());
        let mut config = config.clone();
        config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
        Some((config, Transport { tls: tls.clone(), mode, negotiation, rows, cancels: false }))
    }

    /// For a request to cancel a query. The server closes such a connection once it has signalled the process at work;
    /// who went on before that could have the next query cancelled.
    pub(super) fn to_cancel(config: &Config, tls: &MakeRustlsConnect) -> Option<Transport> {
        let (_, transport) = Transport::of(config, tls, Arc::default())?;
        Some(Transport { cancels: true, ..transport })
    }
}

impl MakeTlsConnect<Socket> for Transport {
    type Stream = Aside<Stream>;
    type TlsConnect = ToHost;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<ToHost> {
        let tls = MakeTlsConnect::<Socket>::make_tls_connect(&mut self.tls, host);
        let tls = tls.map_err(io::Error::other)?;
        let Transport { mode, negotiation, rows, cancels, .. } = self;
        let (mode, negotiation, cancels) = (*mode, *negotiation, *cancels);
        Ok(ToHost { tls, mode, negotiation, rows: Arc::clone(rows), cancels })
    }
}

/// Makes the transport to one host.
pub(super) struct ToHost {
    tls: Rustls,
    mode: SslMode,
    negotiation: SslNegotiation,
    rows: Arc<Rows>,
    cancels: bool,
}

impl TlsConnect<Socket> for ToHost {
    type Stream = Aside<Stream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Aside<Stream>>>;

    fn connect(self, mut socket: Socket) -> Self::Future {
        Box::pin(async move {
            let stream = match wants_tls(&mut socket, self.mode, self.negotiation).await? {
                true => Either::Right(self.tls.connect(socket).await?),
                false => Either::Left(socket),
            };
            let aside = Aside::new(stream, self.rows);
            Ok(if self.cancels { aside.awaiting_end() } else { aside })
        })
    }
}

/// Whether both sides want TLS.
async fn wants_tls(
    socket: &mut Socket,
    mode: SslMode,
    negotiation: SslNegotiation,
) -> io::Result<bool> {
    match (mode, negotiation) {
        (SslMode::Disable, _) => return Ok(false),
        (SslMode::Require, SslNegotiation::Direct) => return Ok(true),
        (_, SslNegotiation::Direct) => {
            return Err(io::Error::other("sslnegotiation=direct needs sslmode=require"));
        }
        _ => {}
    }
    socket.write_all(&TLS_PLEASE).await?;
    match socket.read_u8().await? {
        b'S' => Ok(true),
        _ if mode == SslMode::Require => Err(io::Error::other("server does not support TLS")),
        _ => Ok(false),
    }
}

impl TlsStream for Aside<Stream> {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.stream {
            Either::Left(_) => ChannelBinding::none(),
            Either::Right(tls) => tls.channel_binding(),
        }
    }
}
