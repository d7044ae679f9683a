//! Those in which the log loses what it held, or lets go of it. The log's other node is played by a handle of its own.

use std::time::{Duration, Instant};

use samovar_core::{Part, Stamp, SystemClock, Version};
use samovar_testkit::log;

use super::*;

/// Nodes that share a log. What is refused by the log is sent again after a moment, so their clock goes.
fn node_on(log: &Arc<StepLog>) -> Node {
    start_with(Arc::clone(log), |settings| Settings {
        clock: Arc::new(SystemClock::new()),
        ..settings
    })
}

/// Waits until something is so.
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never came to this: {what}");
        std::thread::yield_now();
    }
}

impl Node {
    fn position(&self) -> Version {
        self.samovar.fence().position()
    }

    /// The log shows and commits, until nothing is pending here and all that it holds is applied.
    fn comes_to_rest(&self) {
        until("nothing is pending", || {
            self.log.commit();
            self.log.show();
            let last = self.log.marks().last().map(|last| last.version);
            self.samovar.fence().pending() == 0 && last.is_none_or(|last| last == self.position())
        });
    }

    /// What another node accepted after a commit comes to the log.
    fn another_appends(&self, id: u128) -> Version {
        self.source.fetch_add(1, Ordering::SeqCst);
        let other = self.log.beside();
        other.set_at_once(true);
        log::append(&*other, vec![log::mark(id, key("c", "k"), Mode::Remove, 0)]).unwrap()
    }

    /// "asks for the epoch"
    fn learns_the_epoch(&self, before: Version) {
        self.log.show();
        until("it has learnt the epoch", || self.position() != before);
    }

    /// What the log holds, by the names of its marks.
    fn holds(&self) -> Vec<u128> {
        self.log.marks().iter().map(|numbered| numbered.mark.id.0).collect()
    }
}

/// numbers_only: versions are compared by number alone after a failover. What was applied as number 1 is another mark
/// than that which is number 1 then.
#[test]
fn numbers_only() {
    let node = node_on(&StepLog::shared());
    let first = node.commits();
    node.applies(first);
    let (lost, before) = (node.holds()[0], node.position());
    let second = node.commits();
    // "keeps 0 of 1"; "appends the mark of commit 2 as 1 of epoch 2"
    node.log.fail_over(0);
    node.log.commit();
    node.learns_the_epoch(before);
    node.serves_nothing_old();
    node.comes_to_rest();
    second.finish().unwrap();
    let holds = node.holds();
    assert_eq!((holds.len(), holds[1], node.position().seq), (2, lost, 2));
    node.serves_nothing_old();
    node.loads_anew();
}

/// lost_frames: a frame written on a branch that the failover discarded is still accepted.
#[test]
fn lost_frames() {
    let node = node_on(&StepLog::shared());
    // What "node 0 reads 1 from the source" is stamped with; "fills the shared tier with 1".
    let version = node.another_appends(1);
    let token = samovar_core::Token { version, ..node.cache.token() };
    let stamp = Stamp::new(token, node.samovar.clock().now());
    node.cache.put_below("k", "1".to_owned(), [Part { span: None, stamp }].into());
    block_on(node.samovar.flush()).unwrap();
    // "keeps 0 of 1"; "appends the mark of commit 2 as 1 of epoch 2"
    node.log.fail_over(0);
    let last = node.another_appends(2);
    assert_eq!((last.seq, last.epoch == version.epoch), (version.seq, false));
    // "node 1 tails"
    node.comes_to_rest();
    node.serves_nothing_old();
    node.loads_anew();
}

/// no_resend: marks lost by a failover are not sent again. The other node hears of it only then.
#[test]
fn no_resend() {
    let node = node_on(&StepLog::shared());
    let other = node_on(&node.log.beside());
    for holds in [&node, &other] {
        holds.cache.put("k", "0".to_owned(), whole(&holds.samovar));
        block_on(holds.samovar.flush()).unwrap();
    }
    let mark = node.commits();
    node.applies(mark);
    let (lost, before) = (node.holds(), node.position());
    assert_eq!(other.cache.peek("k").map(|found| found.to_string()), Some("0".to_owned()));
    node.log.fail_over(0);
    node.learns_the_epoch(before);
    node.serves_nothing_old();
    until("it is sent again", || node.log.waiting() == 1);
    node.comes_to_rest();
    assert_eq!(node.holds(), lost);
    node.serves_nothing_old();
    other.comes_to_rest();
    assert_eq!(other.position(), node.position());
    other.serves_nothing_old();
}

/// gap_ignored: a node that finds the log trimmed beyond its position just goes on. What lay there was its own …
#[test]
fn gap_ignored() {
    let node = node_on(&StepLog::shared());
    node.cache.put("k", "0".to_owned(), whole(&node.samovar));
    block_on(node.samovar.flush()).unwrap();
    let mut mark = node.commits();
    node.log.commit();
    assert!(mark.step().is_none(), "it has a number, but has not come back");
    node.log.trim(1);
    node.log.show();
    assert_eq!(mark.finish().unwrap().seq, 1);
    assert_eq!(node.samovar.fence().pending(), 0, "it does not wait for what it has passed");
    node.serves_nothing_old();
    node.loads_anew();
}

/// … or another's, of which it never hears otherwise.
#[test]
fn gap_ignored_over_what_another_appended() {
    let node = node_on(&StepLog::shared());
    node.cache.put("k", "0".to_owned(), whole(&node.samovar));
    block_on(node.samovar.flush()).unwrap();
    node.another_appends(1);
    node.log.trim(1);
    node.log.show();
    until("it is past the gap", || node.position().seq == 1);
    node.serves_nothing_old();
    node.loads_anew();
}
