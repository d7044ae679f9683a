//! A load generator: connections that each ask again as soon as they are answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::Outcome;

/// One connection that is kept.
pub(crate) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    address: SocketAddr,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Outcome<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with its sender.
        tokio::spawn(connection);
        Ok(Connection { sender, address })
    }

    /// Asks for a path, gzip welcome; the whole body.
    pub(crate) async fn get(&mut self, path: &str) -> Outcome<Response<Bytes>> {
        let request = Request::get(path)
            .header(header::HOST, self.address.to_string())
            .header(header::ACCEPT_ENCODING, "gzip")
            .body(Empty::new())?;
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }
}

/// Requests a second of so many connections, each answer of the expected length.
pub(crate) async fn per_second(
    address: SocketAddr,
    path: &str,
    connections: usize,
    length: usize,
    duration: Duration,
) -> Outcome<f64> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(Connection::open(address).await?);
    }
    let begun = Instant::now();
    let clients = clients.into_iter().map(|mut client| {
        let path = path.to_owned();
        tokio::spawn(async move {
            let mut answers = 0u64;
            while begun.elapsed() < duration {
                let answer = client.get(&path).await.map_err(|failed| failed.to_string())?;
                if answer.status() != StatusCode::OK || answer.body().len() != length {
                    let (status, found) = (answer.status(), answer.body().len());
                    return Err(format!("{status} with {found} bytes instead of {length}"));
                }
                answers += 1;
            }
            Ok(answers)
        })
    });
    let mut answers = 0;
    for client in clients.collect::<Vec<_>>() {
        answers += client.await??;
    }
    Ok(answers as f64 / begun.elapsed().as_secs_f64())
}
