//! What must be so: after each step, and once all is quiet.

use super::*;

impl World {
    /// How a value may be labelled at best by who has applied the invalidations of some commits.
    fn best(&self, value: u64, seen: impl Iterator<Item = u64>) -> Verdict {
        let newer = seen.filter(|commit| *commit > value);
        let by =
            newer.map(|commit| self.commits[commit as usize - 1]).map(|(mode, at)| match mode {
                Mode::Expire if self.lasts(at) => Verdict::Stale,
                Mode::Expire | Mode::Remove => Verdict::Refused,
            });
        by.max().unwrap_or(Verdict::Fresh)
    }

    /// Whether the window of an `expire` is not over.
    fn lasts(&self, at: Millis) -> bool {
        self.clock.now().since(at).is_some_and(|since| since < LIFETIME.stale_window)
    }

    /// I1, and what an `expire` leaves.
    pub(super) fn check(&self) {
        for (i, node) in self.nodes.iter().enumerate() {
            for (tier, value, verdict) in node.serves(self.shared) {
                let best = self.best(value, node.seen.iter().copied());
                assert!(
                    verdict >= best,
                    "node {i} serves {value} from {tier} as {verdict:?}, which is {best:?}:\n{}",
                    self.told()
                );
            }
            if node.fence.forgotten() > 0 {
                self.removes.set(true);
            }
            self.check_warmth(i);
        }
    }

    /// What nothing but `expire`s covers is served as long as their windows last.
    fn check_warmth(&self, i: usize) {
        let node = &self.nodes[i];
        let lasts = self.commits.iter().all(|(_, at)| self.lasts(*at));
        if self.removes.get() || !lasts || node.fence.is_adrift() {
            return;
        }
        let frames = [self.shared, node.disk_frame()].into_iter().flatten();
        for (value, version) in frames.filter(|(_, version)| node.fence.holds(*version)) {
            let found = node.recall(Some((value, version)));
            assert!(found.is_some(), "node {i} has lost {value} at {version}:\n{}", self.told());
        }
        if let Some((value, parts)) = &node.memory {
            assert!(
                node.judge(parts) != Verdict::Refused,
                "node {i} refuses {value} in memory:\n{}",
                self.told()
            );
        }
    }

    fn told(&self) -> String {
        self.path.join("\n")
    }

    /// I2: nothing more happens, and all that was begun is finished.
    pub(super) fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 1_000, "it never comes to rest:\n{}", self.told());
            for i in 0..NODES {
                while !self.nodes[i].out.is_empty() {
                    self.take(Step::Arrive(i), 0);
                }
                while !self.nodes[i].answers.is_empty() {
                    self.take(Step::Answer(i), 0);
                }
                self.take(Step::SendAgain(i), 0);
                self.tail(i);
                self.check();
            }
            let history = self.server.look();
            let head = (history, self.server.last());
            let rests = |node: &Node| {
                let (history, seq) = node.fence.known();
                node.out.is_empty() && ((*history).clone(), seq) == head
            };
            let all = self.nodes.iter().all(rests);
            if all && self.nodes.iter().all(|node| node.fence.pending() == 0) {
                break;
            }
        }
        self.check_rest();
    }

    fn check_rest(&self) {
        let has_lost = self.failed_over && !self.left.replicas;
        if !self.crashed || !(self.lost || has_lost) {
            for (i, node) in self.nodes.iter().enumerate() {
                for (tier, value, verdict) in node.serves(self.shared) {
                    let best = self.best(value, 1..=self.last());
                    assert!(
                        verdict >= best,
                        "node {i} serves {value} from {tier} as {verdict:?}, never heard of it:\n{}",
                        self.told()
                    );
                }
            }
        }
        // Whatever has happened: what is read now is served by everybody.
        let token = self.nodes[0].fence.token();
        for node in &self.nodes {
            let found = node.recall(Some((self.last(), token.version)));
            let verdict = found.map(|(_, parts)| node.judge(&parts));
            assert_eq!(verdict, Some(Verdict::Fresh), "it stays warm:\n{}", self.told());
        }
    }
}
