//! `samovar put`: puts a document under a key.

use std::io::Read;

use clap::Args;

use crate::client::{Client, End, ServerArgs, done, encoded};
use crate::host::Failure;

/// Put a JSON document under a key of a running server's cache
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  samovar put notes 42 '{\"text\": \"tea\"}'
  samovar put notes 42 '\"a text is JSON in quotes\"'
  samovar put notes 42 - < note.json
  samovar put notes 42 '{\"text\": \"tea\"}' --tag season:summer --tag supplier:7")]
pub(crate) struct PutArgs {
    /// The cache
    cache: String,
    /// The key
    key: String,
    /// The document; `-`, or nothing: what comes from standard input
    value: Option<String>,
    /// A tag that it bears, for `samovar invalidate --tag`; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
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
    let answer = client.put(&path, document, &args.tags)?;
    done(&answer, args.json, &format!("{cache}:{key} is put"))
}
