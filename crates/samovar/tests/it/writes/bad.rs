//! Writes that keep failing by themselves hold up nothing but what was written later under their own keys.

use super::batches::{Node, Table};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn many(kind: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("{kind} {number}")).collect()
}

#[test]
fn a_fresh_write_does_not_wait_for_a_bad_one_s_next_try() {
    test(async {
        let node = Node::open(Table::default(), u32::MAX).await;
        node.write(&["bad"]).await;
        node.in_time(|| node.calls() >= 8).await;
        node.write(&["good"]).await;
        // The clock stands still.
        until(|| node.cache.unwritten() == 1).await;
        assert_eq!(node.table.source.row("good").unwrap(), "of good");
    });
}

#[test]
fn each_of_many_bad_ones_is_tried_in_its_own_time() {
    test(async {
        let node = Node::open(Table::default(), 5).await;
        let bad = many("bad", 0..20);
        node.write(&bad).await;
        // One after the other they would take half a minute. How many are tried by one step of the clock is chance: few, if
        // they are due only when what shows that the source is there has already gone through.
        const SOON: usize = 10;
        let mut rounds = 0;
        while node.cache.unwritten() > 0 {
            assert!(rounds < 200, "{} wait", node.cache.unwritten());
            node.write(&[format!("good {rounds}")]).await;
            node.clock.advance(SECOND / 10);
            node.waits().await;
            // That it goes through, soon, shows that the source is there.
            let soon = format!("good {}", rounds.max(SOON) - SOON);
            assert!(rounds < SOON || node.table.source.row(&soon).is_some(), "{soon} in {rounds}");
            rounds += 1;
        }
        assert!(many("good", 0..rounds).iter().all(|good| node.table.source.row(good).is_some()));
        let mut dead = node.dead();
        dead.sort_by_key(|key| key[4..].parse::<u32>().unwrap());
        assert_eq!(dead, bad);
        assert!(node.samovar.dead_letters().iter().all(|letter| letter.attempts == 5));
    });
}

#[test]
fn a_thousand_bad_ones_at_the_head_hold_up_no_fresh_one() {
    test(async {
        let node = Node::open(Table::default(), u32::MAX).await;
        node.write(&many("bad", 0..1_200)).await;
        for round in 0..2 {
            let good = many("good", 10 * round..10 * (round + 1));
            node.write(&good).await;
            let is_there = |key: &String| node.table.source.row(key).is_some();
            let took = node.in_time(|| good.iter().all(is_there)).await;
            assert!(took < 10 * SECOND, "{took:?}");
            // Until all that is bad was found out.
            node.in_time(|| node.calls() > 2_400).await;
        }
        assert_eq!(node.cache.unwritten(), 1_200);
    });
}

#[test]
fn what_waits_behind_a_bad_one_of_its_key_holds_up_no_other_key() {
    test(async {
        let node = Node::open(Table::default(), u32::MAX).await;
        node.write(&vec!["bad"; 1_200]).await;
        node.in_time(|| node.calls() >= 8).await;
        node.write(&["good"]).await;
        until(|| node.cache.unwritten() == 1_200).await;
        assert!(node.table.source.row("good").is_some());
    });
}

#[test]
fn a_source_that_is_away_is_left_alone_and_charges_few() {
    test(async {
        let node = Node::open(Table::default(), 30).await;
        node.leave(true);
        node.write(&many("good", 0..60)).await;
        // Each of them fails alone in this time; after that they are tried two a minute.
        for _ in 0..3_600 {
            node.clock.advance(SECOND);
            node.waits().await;
        }
        let calls = node.calls();
        assert!((60..400).contains(&calls), "{calls}");
        assert_eq!(node.cache.unwritten(), 60, "none is given up");
        node.leave(false);
        let took = node.in_time(|| node.cache.unwritten() == 0).await;
        assert!(took < 120 * SECOND, "{took:?}");
        assert!(node.dead().is_empty());
    });
}
