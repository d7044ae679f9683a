//! `samovar stats`: what a running server has counted.

use std::fmt::Write as _;

use clap::Args;
use serde_json::Value;
use ureq::http::Method;

use crate::client::{Client, End, ServerArgs, read};
use crate::host::Failure;
use crate::out::say;

/// Print what a running server has counted, cache by cache
#[derive(Args, Debug)]
pub(crate) struct StatsArgs {
    /// Set all counters to zero
    #[arg(long)]
    reset: bool,
    /// Print all of it as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn stats(args: &StatsArgs) -> Result<End, Failure> {
    let client = Client::new(&args.server)?;
    if args.reset {
        let answer = client.send(Method::POST, "/api/stats/reset", "{}")?;
        let told: Value = read(&answer)?;
        say(&if args.json { told.to_string() } else { "all counters are zero".into() })?;
        return Ok(End::Done);
    }
    let told: Value = read(&client.ask(Method::GET, "/api/stats")?)?;
    say(&if args.json { told.to_string() } else { table(&told) })?;
    Ok(End::Done)
}

/// A line for each cache, and one for each of its tiers that had something to do.
fn table(told: &Value) -> String {
    let mut table = format!(
        "{:<24}{:>12}{:>10}{:>12}{:>12}{:>12}{:>10}",
        "", "requests", "hit rate", "hits", "misses", "sets", "entries"
    );
    let mut line = |name: &str, cells: [String; 6]| {
        let [requests, rate, hits, misses, sets, entries] = cells;
        // Writing to a text cannot fail.
        let _ = write!(
            table,
            "\n{name:<24}{requests:>12}{rate:>10}{hits:>12}{misses:>12}{sets:>12}{entries:>10}"
        );
    };
    let count = |value: &Value| value.as_u64().map_or(String::new(), |n| n.to_string());
    let rate = |value: &Value| value.as_f64().map_or("-".into(), |r| format!("{:.1} %", r * 100.0));
    for (cache, of) in told["caches"].as_object().into_iter().flatten() {
        let all = [count(&of["total_requests"]), rate(&of["hit_rate"])];
        let [requests, share] = all;
        line(cache, [requests, share, String::new(), String::new(), String::new(), String::new()]);
        for (tier, of) in of["tiers"].as_object().into_iter().flatten() {
            // Most levels and caches have not been used.
            if ["hits", "misses", "sets", "entries"].iter().all(|what| of[what] == 0) {
                continue;
            }
            let cells = [
                String::new(),
                rate(&of["hit_rate"]),
                count(&of["hits"]),
                count(&of["misses"]),
                count(&of["sets"]),
                count(&of["entries"]),
            ];
            line(&format!("  {tier}"), cells);
        }
    }
    table
}
