//! `samovar put`: puts a document under a key.

use std::io::Read;

use clap::Args;
use ureq::http::Method;

use crate::client::{Client, End, ServerArgs, done, encoded};
use crate::host::Failure;

/// Put a JSON document under a key of a running server's cache
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  samovar put notes 42 '{\"text\": \"tea\"}'
  samovar put notes 42 '\"a text is JSON in quotes\"'
  samovar put notes 42 - < note.json")]
pub(crate) struct PutArgs {
    /// The cache
    cache: String,
    /// The key
    key: String,
    /// The document; `-`, or nothing: what comes from standard input
    value: Option<String>,
    /// Print the answer as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn put(args: &PutArgs) -> Result<End, Failure> {
    let document = match args.value.as_deref() {
        Some(text) if text != "-" => text.as_bytes().to_vec(),
        _ => {
            let mut read = Vec::new();
            std::io::stdin().lock().read_to_end(&mut read)?;
            read
        }
    };
    let client = Client::new(&args.server)?;
    let (cache, key) = (&args.cache, &args.key);
    let path = format!("/api/cache/{}/{}", encoded(cache), encoded(key));
    let answer = client.send(Method::PUT, &path, document)?;
    done(&answer, args.json, &format!("{cache}:{key} is put"))
}
