//! A node: a real fence, and tiers that are made up.

use super::*;

/// What lies below memory: the commit that it shows, and the version at which the read of it began.
pub(super) type Frame = (u64, Version);

/// A load on its way.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) token: Token,
    /// What was read, once it was.
    pub(super) read: Option<u64>,
}

pub(super) struct Node {
    pub(super) fence: Fence,
    /// Commits whose invalidation was applied here.
    pub(super) seen: BTreeSet<u64>,
    pub(super) memory: Option<(u64, Parts)>,
    pub(super) load: Option<Load>,
    /// What was found below, on its way to memory.
    pub(super) found: Option<(u64, Parts)>,
    /// On the way to the log, in order: some marks, and the head that they were sent for.
    pub(super) out: Vec<(Vec<Mark>, Option<Version>)>,
    /// On the way back.
    pub(super) answers: Vec<(Vec<MarkId>, Option<Version>)>,
    pub(super) disk: Option<Frame>,
    pub(super) clean: Option<Version>,
    /// Marks that are durable here until they come back.
    pub(super) journal: Vec<Mark>,
}

impl Node {
    /// Without a snapshot the log is away.
    pub(super) fn new(snapshot: Option<&Snapshot>, clock: &Arc<FakeClock>) -> Node {
        let clock = Arc::clone(clock);
        let fence = match snapshot {
            Some(snapshot) => Fence::new(snapshot, clock, MARKS_MAX).unwrap(),
            None => Fence::adrift(clock, MARKS_MAX),
        };
        fence.inner.state.write().pending.unconfirmed.keep();
        Node {
            fence,
            journal: Vec::new(),
            seen: BTreeSet::new(),
            memory: None,
            load: None,
            found: None,
            out: Vec::new(),
            answers: Vec::new(),
            disk: None,
            clean: None,
        }
    }

    /// A frame on disk counts as new as the sweep behind it.
    pub(super) fn disk_frame(&self) -> Option<Frame> {
        let (value, own) = self.disk?;
        let clean = self.clean.filter(|clean| {
            self.fence.holds(*clean) && clean.seq > own.seq && self.fence.holds(own)
        });
        Some((value, clean.unwrap_or(own)))
    }

    /// What a read makes of a frame, and the parts that it has then in memory. `None` if it is refused.
    pub(super) fn recall(&self, frame: Option<Frame>) -> Option<(u64, Parts)> {
        let (value, version) = frame?;
        let before = self.fence.tick();
        let entry = self.fence.recall(&key(), entry(version, Tick(0)), before)?;
        (self.judge(&entry.parts) != Verdict::Refused).then_some((value, entry.parts))
    }

    pub(super) fn judge(&self, parts: &Parts) -> Verdict {
        let entry = Entry { parts: parts.clone(), ..entry(VERSION, Tick(0)) };
        self.fence.judge_memory(&key(), entry.claim())
    }

    /// What was read, once it was.
    pub(super) fn loaded(&self) -> Option<(u64, Token)> {
        let load = self.load.as_ref()?;
        Some((load.read?, load.token))
    }

    pub(super) fn keep_memory(&mut self) {
        let Some((value, token)) = self.loaded() else { return };
        let parts = entry(token.version, token.tick).parts;
        // What would be refused at every read is not kept.
        if self.judge(&parts) != Verdict::Refused {
            self.memory = Some((value, parts));
        }
        self.load = None;
    }

    /// Within the writer of the disk.
    pub(super) fn keep_disk(&mut self) {
        let Some((value, token)) = self.loaded() else { return };
        let entry = entry(token.version, Tick(0));
        let keep = self.fence.judge_stored(&key(), entry.claim());
        let clean = self.clean.filter(|clean| self.fence.holds(*clean));
        if let Keep::CleanTo(to) = keep
            && clean.is_none_or(|clean| clean.seq <= to)
        {
            self.disk = Some((value, token.version));
        }
    }

    pub(super) fn promote(&mut self) {
        let found = self.found.take();
        // A promoted one is not newer than what stands.
        self.memory = self.memory.take().or(found);
    }

    pub(super) fn sweep(&mut self) {
        let Some(position) = Judge::position(&self.fence) else { return };
        let frame = self.disk_frame();
        let keep = frame
            .map(|(_, version)| self.fence.judge_stored(&key(), entry(version, Tick(0)).claim()));
        if keep == Some(Keep::Drop) {
            self.disk = None;
        }
        let to = match keep {
            Some(Keep::CleanTo(to)) => position.seq.min(to),
            _ => position.seq,
        };
        self.clean = Some(Version { seq: to, ..position });
        self.fence.swept(self.clean);
    }

    /// What a read is given by each tier, and how it is labelled.
    pub(super) fn serves(&self, shared: Option<Frame>) -> Vec<(&'static str, u64, Verdict)> {
        let tiers = [
            ("memory", self.memory.clone()),
            ("the shared tier", self.recall(shared)),
            ("disk", self.recall(self.disk_frame())),
        ];
        let judged = tiers.into_iter().filter_map(|(tier, held)| {
            let (value, parts) = held?;
            Some((tier, value, self.judge(&parts)))
        });
        judged.filter(|(.., verdict)| *verdict != Verdict::Refused).collect()
    }
}

const VERSION: Version = Version { epoch: Epoch(1), seq: 0 };

pub(super) fn key() -> Key {
    Key::new("c", "k")
}

pub(super) fn entry(version: Version, tick: Tick) -> Entry<()> {
    let span = Span { store: "s".into(), from: Day(1), to: Day(1) };
    let stamp = Stamp { version, tick, read_at: Millis(0) };
    Entry {
        value: (),
        parts: [samovar_core::Part { span: Some(span), stamp }].into(),
        tags: Tags::new(["t"]).unwrap(),
        lifetime: LIFETIME,
    }
}
