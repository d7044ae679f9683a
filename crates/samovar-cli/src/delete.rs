//! `samovar delete`: takes away what is under a key.

use clap::Args;
use ureq::http::Method;

use crate::client::{Client, End, ServerArgs, done, encoded};
use crate::host::Failure;

/// Delete what is under a key of a running server's cache
#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    /// The cache
    cache: String,
    /// The key
    key: String,
    /// Print the answer as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn delete(args: &DeleteArgs) -> Result<End, Failure> {
    let (cache, key) = (&args.cache, &args.key);
    let path = format!("/api/cache/{}/{}", encoded(cache), encoded(key));
    let answer = Client::new(&args.server)?.ask(Method::DELETE, &path)?;
    done(&answer, args.json, &format!("{cache}:{key} is deleted"))
}
