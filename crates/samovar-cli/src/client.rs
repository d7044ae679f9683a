//! What the commands share that ask a running server over HTTP.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use samovar_server::Environment;
use serde::Deserialize;
use serde_json::Value;
use ureq::http::{Method, Request, header};

use crate::host::Failure;
use crate::out::say;

/// Where `serve` and `demo` listen unless told otherwise.
const SERVER: &str = "http://127.0.0.1:8051";
/// A server that does not take the connection by then is not there.
const CONNECT: Duration = Duration::from_secs(10);
/// As long as a load may take, and a little more.
const ANSWER: Duration = Duration::from_secs(330);
/// No answer has more bytes.
const MAX_ANSWER: u64 = 4 << 30;

/// A server, and who asks it.
#[derive(Args, Debug)]
pub(crate) struct ServerArgs {
    /// The server to ask [default: http://127.0.0.1:8051]
    #[arg(long, value_name = "URL", env = "SAMOVAR_SERVER")]
    server: Option<String>,
    /// The server's token, if it asks for one
    #[arg(long, env = "SAMOVAR_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// How a command ended that did what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    /// Something that was asked for is not there.
    Absent,
}

/// A server that is asked.
pub(crate) struct Client {
    agent: ureq::Agent,
    server: String,
    token: Option<String>,
}

/// What a server says of what it will not do.
#[derive(Deserialize)]
struct Refused {
    error: Told,
}

#[derive(Deserialize)]
struct Told {
    code: String,
    message: String,
}

impl Client {
    /// The server that the arguments name, else the environment; the token also by the file `.env` here. That file never
    /// names the server: it came with the directory, and would be told the user's own token.
    pub(crate) fn new(args: &ServerArgs) -> Result<Client, Failure> {
        let environment =
            Environment::beside(Path::new("")).map_err(|wrong| Failure(wrong.to_string()))?;
        let said = |name: &str| environment.get(name).map(String::from);
        let server = args.server.clone().or_else(|| std::env::var("SAMOVAR_SERVER").ok());
        let server = server.unwrap_or_else(|| SERVER.into()).trim_end_matches('/').to_string();
        if !(server.starts_with("http://") || server.starts_with("https://")) {
            let why = format!("--server: found {server:?}, allowed is an address as {SERVER}");
            return Err(Failure(why));
        }
        let token = args.token.clone().or_else(|| said("SAMOVAR_TOKEN"));
        let token = token.or_else(|| said("SAMOVAR_READ_TOKEN"));
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(ANSWER));
        Ok(Client { agent: config.build().into(), server, token })
    }

    /// Asks without a body.
    pub(crate) fn ask(&self, method: Method, path: &str) -> Result<Vec<u8>, Failure> {
        self.run(method, path, (), &[])
    }

    /// Asks with a body of JSON.
    pub(crate) fn send(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Vec<u8>>,
    ) -> Result<Vec<u8>, Failure> {
        self.run(method, path, body.into(), &[])
    }

    /// Puts a document that bears these tags.
    pub(crate) fn put(
        &self,
        path: &str,
        document: Vec<u8>,
        tags: &[String],
    ) -> Result<Vec<u8>, Failure> {
        self.run(Method::PUT, path, document, tags)
    }

    fn run(
        &self,
        method: Method,
        path: &str,
        body: impl ureq::AsSendBody,
        tags: &[String],
    ) -> Result<Vec<u8>, Failure> {
        let server = &self.server;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{server}{path}"))
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for tag in tags {
            request = request.header("Cache-Tag", tag);
        }
        let wrong = |wrong| match tags {
            [] => Failure(format!("--server or --token: {wrong}")),
            _ => Failure(format!("--server, --token or --tag: {wrong}")),
        };
        let request = request.body(body).map_err(wrong)?;
        let away = |failed: ureq::Error| {
            Failure(format!(
                "cannot ask {server}: {failed}; is `samovar serve` running there? --server or SAMOVAR_SERVER names \
                 another"
            ))
        };
        let mut answer = self.agent.run(request).map_err(away)?;
        let bytes =
            answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec().map_err(away)?;
        if answer.status().is_success() {
            return Ok(bytes);
        }
        Err(Failure(match serde_json::from_slice::<Refused>(&bytes) {
            Ok(Refused { error: Told { code, message } }) => match &*code {
                "unauthorized" => format!("{message}; give it by --token or SAMOVAR_TOKEN"),
                _ => message,
            },
            Err(_) => format!("{server} answered {}, and not as Samovar does", answer.status()),
        }))
    }
}

/// A part of an address that may hold anything.
pub(crate) fn encoded(part: &str) -> String {
    utf8_percent_encode(part, NON_ALPHANUMERIC).to_string()
}

/// An answer that is JSON.
pub(crate) fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes)
        .map_err(|wrong| Failure(format!("the answer is not as expected: {wrong}")))
}

/// Says what has been done, with the position in the log of marks; as the server said it if JSON is wanted.
pub(crate) fn done(answer: &[u8], json: bool, what: &str) -> Result<End, Failure> {
    let told: Value = read(answer)?;
    let told = match told["version"].as_str() {
        _ if json => told.to_string(),
        Some(version) => format!("{what}, at {version}"),
        None => format!("{what}; the database gets it soon"),
    };
    say(&told)?;
    Ok(End::Done)
}
