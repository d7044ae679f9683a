//! `samovar get`: what is cached under keys.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use ureq::http::Method;

use crate::client::{Client, End, ServerArgs, encoded, read};
use crate::host::Failure;
use crate::out::{note, say};

/// So many keys are asked for at once. The server answers as many of them as it has room for.
const AT_ONCE: usize = 1_000;

/// Print what a running server's cache has under keys, or loads for them
///
/// One key: its document. Several: a line of JSON for each that there is. Exit code 3 if one is not there.
#[derive(Args, Debug)]
pub(crate) struct GetArgs {
    /// The cache
    cache: String,
    /// The keys
    #[arg(required = true)]
    keys: Vec<String>,
    /// Print one JSON object: values, absent, stale, errors, rest
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// As the server tells it; documents are handed on byte for byte.
#[derive(Default, Deserialize, Serialize)]
struct Documents {
    values: BTreeMap<String, Box<RawValue>>,
    absent: BTreeSet<String>,
    /// Those whose values may be old.
    stale: BTreeSet<String>,
    errors: BTreeMap<String, Failed>,
    /// Those to ask for again.
    rest: Vec<String>,
}

#[derive(Deserialize, Serialize)]
struct Failed {
    code: String,
    message: String,
}

pub(crate) fn get(args: &GetArgs) -> Result<End, Failure> {
    let client = Client::new(&args.server)?;
    let mut known = BTreeSet::new();
    let keys: Vec<&String> = args.keys.iter().filter(|key| known.insert(key.as_str())).collect();
    let mut all = Documents::default();
    let path = format!("/api/cache/{}/_get", encoded(&args.cache));
    let mut open: Vec<String> = keys.iter().map(|key| (*key).clone()).collect();
    while !open.is_empty() {
        let later = open.split_off(open.len().min(AT_ONCE));
        let answer = client.send(Method::POST, &path, json!({ "keys": open }).to_string())?;
        let some: Documents = read(&answer)?;
        if some.rest.len() >= open.len() {
            return Err(Failure("the server answers none of the keys it is asked for".into()));
        }
        let gives_none = some.values.is_empty() && some.absent.is_empty();
        open = some.rest;
        open.extend(later);
        all.values.extend(some.values);
        all.absent.extend(some.absent);
        all.stale.extend(some.stale);
        all.errors.extend(some.errors);
        if gives_none {
            // To go on would be to wait for a source that fails, again and again.
            all.rest = open;
            break;
        }
    }
    if args.json {
        // What was read as JSON is JSON.
        say(&serde_json::to_string(&all)?)?;
    } else {
        print(&keys, &all)?;
    }
    if let Some((key, Failed { message, .. })) = all.errors.first_key_value() {
        let unasked = match all.rest.len() {
            0 => String::new(),
            count => format!("; {count} others were not asked for"),
        };
        return Err(Failure(format!("{key}: {message}{unasked}")));
    }
    Ok(if all.absent.is_empty() { End::Done } else { End::Absent })
}

fn print(keys: &[&String], all: &Documents) -> Result<(), Failure> {
    for key in keys {
        if all.stale.contains(*key) {
            note(format_args!("samovar: what is under {key:?} may be old"));
        }
        match all.values.get(*key) {
            Some(document) if keys.len() == 1 => say(document.get())?,
            // A line break in JSON is never within a text.
            Some(document) => say(&format!(
                "{{\"key\":{},\"value\":{}}}",
                json!(key),
                document.get().replace(['\n', '\r'], " ")
            ))?,
            None if all.absent.contains(*key) => {
                note(format_args!("samovar: nothing under {key:?}"));
            }
            None => {}
        }
    }
    Ok(())
}
