//! `samovar letters`: acknowledged writes that the database would not have.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde_json::Value;
use ureq::http::Method;

use crate::client::{Client, End, ServerArgs, encoded, read};
use crate::host::Failure;
use crate::out::say;

/// List, retry or drop a running server's dead letters: acknowledged writes that the database would not have
#[derive(Args, Debug)]
pub(crate) struct LettersArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List them, oldest first
    List(ListArgs),
    /// Write one again, behind whatever was written under its key since
    Retry(LetterArgs),
    /// Give one up for good
    Drop(LetterArgs),
}

#[derive(Args, Debug)]
struct ListArgs {
    /// Those of one cache alone
    #[arg(long)]
    cache: Option<String>,
    /// So many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// Print the answer as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
struct LetterArgs {
    /// Its id, as `samovar letters list` tells it
    id: String,
    /// Print the answer as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn letters(args: &LettersArgs) -> Result<End, Failure> {
    match &args.what {
        What::List(args) => list(args),
        What::Retry(LetterArgs { id, json, server }) => {
            let path = format!("/api/letters/{}/retry", encoded(id));
            let answer = Client::new(server)?.send(Method::POST, &path, "{}")?;
            done(&answer, *json, &format!("{id} is a write again; the database gets it soon"))
        }
        What::Drop(LetterArgs { id, json, server }) => {
            let path = format!("/api/letters/{}", encoded(id));
            let answer = Client::new(server)?.ask(Method::DELETE, &path)?;
            done(&answer, *json, &format!("{id} is dropped"))
        }
    }
}

fn done(answer: &[u8], json: bool, what: &str) -> Result<End, Failure> {
    let told: Value = read(answer)?;
    say(&if json { told.to_string() } else { what.to_owned() })?;
    Ok(End::Done)
}

fn list(args: &ListArgs) -> Result<End, Failure> {
    let mut path = format!("/api/letters?limit={}", args.limit);
    if let Some(cache) = &args.cache {
        // Writing to a text cannot fail.
        let _ = write!(path, "&cache={}", encoded(cache));
    }
    let told: Value = read(&Client::new(&args.server)?.ask(Method::GET, &path)?)?;
    say(&if args.json { told.to_string() } else { table(&told) })?;
    Ok(End::Done)
}

/// Two lines for each: which it is, and why.
fn table(told: &Value) -> String {
    let letters = told["letters"].as_array().map_or(&[][..], Vec::as_slice);
    if letters.is_empty() {
        return "there are no dead letters".into();
    }
    // Keys and reasons come from elsewhere, and must not steer a terminal.
    let text = |value: &Value| value.as_str().unwrap_or("?").replace(char::is_control, " ");
    let mut table = String::new();
    for letter in letters {
        let what = match letter["is_delete"].as_bool() {
            Some(true) => "a deletion".to_owned(),
            _ => format!("{} bytes", letter["bytes"]),
        };
        let _ = writeln!(
            table,
            "{}  {}:{}  {what}, given up {} after {} attempts\n    {}",
            text(&letter["id"]),
            text(&letter["cache"]),
            text(&letter["key"]),
            text(&letter["given_up"]),
            letter["attempts"],
            text(&letter["reason"]),
        );
    }
    let more = told["total"].as_u64().unwrap_or(0).saturating_sub(letters.len() as u64);
    if more > 0 {
        let _ = writeln!(table, "and {more} more: --limit and --cache choose");
    }
    table.trim_end().to_owned()
}
