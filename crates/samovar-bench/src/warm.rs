//! How long it takes to make everything warm and durable, beside a plain scan of the same rows.

use serde_json::Value;

use crate::child::{self, Reopened, Scanned, Warmed};
use crate::shop::Shop;
use crate::stats::median;
use crate::{Outcome, line};

pub(crate) const NAMES: &[&str] = &["warm_sqlite_over_scan_ratio"];

const ROUNDS: usize = 5;

/// Five rounds, the sides in alternating order; the lines to print, ratios first.
pub(crate) fn measure(shop: &Shop) -> Outcome<Vec<String>> {
    scan(shop)?; // brings the file into the page cache
    let (mut ratios, mut ours, mut peers) = (Vec::new(), Vec::new(), Vec::new());
    let (mut reopened, mut resident) = (Vec::new(), Vec::new());
    let mut bytes = Default::default();
    for round in 0..ROUNDS {
        let before = if round % 2 == 0 { Some(scan(shop)?) } else { None };
        shop.empty_data()?;
        let warmed: Warmed = child::report("warm", shop)?; // killed on return
        let again: Reopened = {
            let _away = shop.move_away()?;
            child::report("reopen", shop)?
        };
        verify(&warmed, &again)?;
        let peer = match before {
            Some(seconds) => seconds,
            None => scan(shop)?,
        };
        eprintln!(
            "round {}: warm {:.2} s, scan {peer:.2} s, opened again {:.2} s; sales {}",
            round + 1,
            warmed.seconds,
            again.seconds,
            sales(&again.answer)?,
        );
        ratios.push(warmed.seconds / peer);
        ours.push(warmed.seconds);
        peers.push(peer);
        reopened.push(again.seconds);
        resident.push(warmed.resident_bytes);
        bytes = warmed.bytes;
    }
    shop.empty_data()?;

    let mut lines = vec![
        line(NAMES[0], median(&ratios), "ratio"),
        line("warm_sqlite_seconds", median(&ours), "s"),
        line("scan_seconds", median(&peers), "s"),
        line("reopen_seconds", median(&reopened), "s"),
        line("resident_bytes", median(&resident), "B"),
    ];
    let rows = shop.shape.rows() as f64;
    for (tier, levels) in &bytes {
        for (level, bytes) in levels {
            lines.push(line(
                &format!("{tier}_{level}_bytes_per_row"),
                *bytes as f64 / rows,
                "B/row",
            ));
        }
    }
    Ok(lines)
}

fn scan(shop: &Shop) -> Outcome<f64> {
    let scanned: Scanned = child::report("scan", shop)?;
    if scanned.rows != shop.shape.rows() {
        return Err(format!("the peer saw {} rows of {}", scanned.rows, shop.shape.rows()).into());
    }
    Ok(scanned.seconds)
}

/// What was killed must answer again, for all stores, with the same figures.
pub(crate) fn verify(warmed: &Warmed, again: &Reopened) -> Outcome<()> {
    if again.missing > 0 {
        return Err(format!("{} partitions were lost by the kill", again.missing).into());
    }
    let same = |of: &str| warmed.answer.get(of) == again.answer.get(of);
    let figures = ["digest", "covered", "totals", "daily", "ranking"];
    if let Some(differs) = figures.into_iter().find(|of| !same(of)) {
        return Err(format!("after the kill, {differs} differs from before").into());
    }
    Ok(())
}

/// The total sales of an answer.
fn sales(answer: &Value) -> Outcome<f64> {
    let sales = answer.pointer("/totals/sales/value").and_then(Value::as_f64);
    sales.ok_or_else(|| "an answer without total sales".into())
}
