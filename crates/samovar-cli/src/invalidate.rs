//! `samovar invalidate`: what is covered is served no more, or only labelled.

use clap::{ArgGroup, Args, ValueEnum};
use serde_json::{Value, json};
use ureq::http::Method;

use crate::client::{Client, End, ServerArgs, done};
use crate::host::Failure;

/// Invalidate what a running server and all that share its log have cached
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("scope").required(true).args(["key", "pattern", "tag", "cache", "all"])))]
pub(crate) struct InvalidateArgs {
    /// One key of a cache
    #[arg(long, num_args = 2, value_names = ["CACHE", "KEY"])]
    key: Option<Vec<String>>,
    /// Every key that matches, as in Redis, with its cache's key_prefix before it (the cache's name and `:` by default)
    #[arg(long)]
    pattern: Option<String>,
    /// Everything that bears a tag
    #[arg(long)]
    tag: Option<String>,
    /// Every key of a cache
    #[arg(long)]
    cache: Option<String>,
    /// Everything
    #[arg(long)]
    all: bool,
    /// What becomes of it: `expire` lets it be served, labelled as stale, until it is read again
    #[arg(long, value_enum, default_value_t = Mode::Remove)]
    mode: Mode,
    /// How soon what it covers is to be read again, beside others: 100 is first. It is handed on; nothing goes by it yet
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=100))]
    priority: Option<u8>,
    /// Why, for people
    #[arg(long)]
    reason: Option<String>,
    /// Print the answer as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    Remove,
    Expire,
}

pub(crate) fn invalidate(args: &InvalidateArgs) -> Result<End, Failure> {
    let (mut body, what) = match (&args.key, &args.pattern, &args.tag, &args.cache) {
        (Some(pair), ..) => {
            // clap takes exactly two.
            let (cache, key) = (&pair[0], &pair[1]);
            (json!({ "key": { "cache": cache, "key": key } }), format!("{cache}:{key}"))
        }
        (_, Some(pattern), ..) => {
            (json!({ "pattern": pattern }), format!("what matches {pattern}"))
        }
        (_, _, Some(tag), _) => (json!({ "tag": tag }), format!("what bears {tag}")),
        (.., Some(cache)) => (json!({ "cache": cache }), format!("the cache {cache}")),
        _ => (json!({ "all": true }), "everything".to_string()),
    };
    let (mode, ended) = match args.mode {
        Mode::Remove => ("remove", "is served no more"),
        Mode::Expire => ("expire", "is served as stale until it is read again"),
    };
    body["mode"] = mode.into();
    if let Some(reason) = &args.reason {
        body["reason"] = Value::from(reason.as_str());
    }
    if let Some(priority) = args.priority {
        body["priority"] = priority.into();
    }
    let client = Client::new(&args.server)?;
    let answer = client.send(Method::POST, "/api/invalidate", body.to_string())?;
    done(&answer, args.json, &format!("{what} {ended}"))
}
