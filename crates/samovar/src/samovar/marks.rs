//! Invalidations: accepted here, acknowledged by the log, or by the journal while a log that is shared is away.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use samovar_core::{Error, ErrorKind, Judge, Mark, MarkId, Mode, Scope, Token, Version};

use super::Samovar;
use crate::counters::Counted;
use crate::fence::Standing;

/// What is said of an invalidation beside what it covers.
///
/// ```
/// # use samovar::{CachePolicy, MarkOptions, Samovar, Settings};
/// # use samovar_core::Scope;
/// # futures_executor::block_on(async {
/// # let samovar = Samovar::open(Settings::default()).await?;
/// # let prices = samovar.cache::<String>(CachePolicy::named("prices"));
/// prices.get_or_load("42", |_| async { Ok("12.50".to_owned()) }).await?;
/// let urgent = MarkOptions { priority: 90, ..MarkOptions::because("price changed") };
/// samovar.mark_with(vec![Scope::Cache("prices".into())], urgent).await?;
/// assert!(prices.peek("42").is_none());
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkOptions {
    /// What becomes of what it covers; [`Mode::Remove`] if nothing is said.
    pub mode: Mode,
    /// Why, for people: it stands in the log with the mark.
    pub reason: Arc<str>,
    /// How soon what it covers is to be swept away and read again, beside others: from 0 to 100, which is first;
    /// [`Mark::PRIORITY`] if nothing is said. Nothing goes by it yet: it is carried along in the log, for a sweep in
    /// that order, which is to come.
    pub priority: u8,
}

impl MarkOptions {
    /// A `remove` of the usual priority, for this reason.
    ///
    /// ```
    /// # use samovar::{CachePolicy, MarkOptions, Samovar, Settings};
    /// # use samovar_core::{Millis, Mode, Scope, Verdict};
    /// # use samovar_testkit::clock::FakeClock;
    /// # futures_executor::block_on(async {
    /// # let clock = FakeClock::at(Millis(0));
    /// # let settings = Settings { clock: clock.clone(), ..Settings::default() };
    /// # let samovar = Samovar::open(settings).await?;
    /// # let prices = samovar.cache::<String>(CachePolicy::named("prices"));
    /// prices.get_or_load("42", |_| async { Ok("12.50".to_owned()) }).await?;
    /// let wrong = MarkOptions::because("the list was wrong");
    /// samovar.mark_with(vec![Scope::Everything], wrong.clone()).await?;
    /// assert!(prices.peek("42").is_none(), "never served again");
    ///
    /// // What may be served until it is read again:
    /// let old = MarkOptions { mode: Mode::Expire, ..wrong };
    /// prices.get_or_load("42", |_| async { Ok("13.00".to_owned()) }).await?;
    /// samovar.mark_with(vec![Scope::Everything], old).await?;
    /// assert_eq!(prices.peek("42").expect("it is labelled").verdict, Verdict::Stale);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn because(reason: impl Into<Arc<str>>) -> MarkOptions {
        MarkOptions { mode: Mode::Remove, reason: reason.into(), priority: Mark::PRIORITY }
    }
}

/// Marks that are durable and act here.
pub(crate) struct Marked {
    /// That of the last of them; while it has none, or another by now, what is applied here, other marks among it.
    pub(crate) version: Version,
    /// Whether that is its own.
    pub(crate) is_numbered: bool,
    /// As of these marks, of which none covers what bears it; every later one may.
    pub(crate) token: Token,
    pub(crate) ids: Vec<MarkId>,
}

impl Samovar {
    /// Invalidates what the scopes cover. Acts on this process before the first `await`; returns when the marks
    /// are durable and applied with their numbers. No read that begins after that, or after a restart,
    /// is given what was read before (`Remove`), or only with a label (`Expire`).
    ///
    /// To be called after the source has committed the change: what is loaded between a mark and a later commit
    /// is old and is kept. If the future is dropped the marks stand all the same.
    ///
    /// While a log that is shared is away ([`crate::Settings::log_patience`]), marks are durable in the journal of the
    /// data directory instead: this returns once they are, with the version that is applied here until they have
    /// theirs.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use samovar_core::{Key, Millis, Mode, Scope, Verdict};
    /// # use samovar_testkit::clock::FakeClock;
    /// # futures_executor::block_on(async {
    /// # let clock = FakeClock::at(Millis(0));
    /// # let settings = Settings { clock: clock.clone(), ..Settings::default() };
    /// # let samovar = Samovar::open(settings).await?;
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// # let prices = samovar.cache::<String>(CachePolicy::named("prices"));
    /// # names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
    /// # prices.get_or_load("42", |_| async { Ok("12.50".to_owned()) }).await?;
    /// let scope = Scope::Key(Key::new("product_names", "42"));
    /// samovar.mark(vec![scope], Mode::Remove, "renamed").await?;
    /// assert!(names.peek("42").is_none(), "never again");
    ///
    /// samovar.mark(vec![Scope::Cache("prices".into())], Mode::Expire, "new list").await?;
    /// let found = prices.peek("42").expect("it is labelled until it is read again");
    /// assert_eq!((found.verdict, found.marked), (Verdict::Stale, true));
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] if the disk fails under the log or the journal, [`ErrorKind::Full`] if the journal is full;
    /// [`ErrorKind::Away`] if a shared log has not answered in time and there is no data directory, or what it failed
    /// of; [`ErrorKind::Format`] if the log is damaged or of a newer version; [`ErrorKind::Closed`] after [`Samovar::close`]. Whether the marks
    /// are durable is then not known. They stay in force in this process, and are sent until the log has them.
    pub async fn mark(
        &self,
        scopes: Vec<Scope>,
        mode: Mode,
        reason: &str,
    ) -> Result<Version, Error> {
        self.mark_with(scopes, MarkOptions { mode, ..MarkOptions::because(reason) }).await
    }

    /// As [`Samovar::mark`], with all that may be said of an invalidation.
    ///
    /// ```
    /// # use samovar::{MarkOptions, Samovar, Settings};
    /// # use samovar_core::{ErrorKind, Mode, Scope};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// let scopes = vec![Scope::Tag("supplier:7".into()), Scope::Cache("prices".into())];
    /// let options = MarkOptions { mode: Mode::Expire, ..MarkOptions::because("new list") };
    /// let version = samovar.mark_with(scopes.clone(), options.clone()).await?;
    /// assert_eq!(version.seq, 2, "a mark for each scope; this is the version of the last");
    ///
    /// let beyond = MarkOptions { priority: 101, ..options };
    /// let refused = samovar.mark_with(scopes, beyond).await.unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::Invalid);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As there; of kind [`ErrorKind::Invalid`] if the priority is above [`Mark::PRIORITY_MAX`].
    pub async fn mark_with(
        &self,
        scopes: Vec<Scope>,
        options: MarkOptions,
    ) -> Result<Version, Error> {
        if options.priority > Mark::PRIORITY_MAX {
            let text =
                format!("the priority of an invalidation is at most 100, not {}", options.priority);
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        self.marked(scopes, options).await.map(|marked| marked.version)
    }

    /// As [`Samovar::mark_with`], with what the caller has to know of the marks themselves.
    pub(crate) async fn marked(
        &self,
        scopes: Vec<Scope>,
        options: MarkOptions,
    ) -> Result<Marked, Error> {
        self.repeat(&scopes, &options);
        self.marked_once(scopes, options).await
    }

    /// As [`Samovar::marked`], but not to be repeated for a source that lags.
    pub(super) async fn marked_once(
        &self,
        scopes: Vec<Scope>,
        options: MarkOptions,
    ) -> Result<Marked, Error> {
        let MarkOptions { mode, reason, priority } = options;
        if scopes.is_empty() {
            let (ids, token) = (Vec::new(), self.inner.fence.token());
            return Ok(Marked { version: token.version, is_numbered: true, token, ids });
        }
        let mark = |scope| self.inner.marker.mark(scope, mode, &reason, priority);
        let marks: Vec<Mark> = scopes.into_iter().map(mark).collect();
        let inner = &self.inner;
        let ids: Vec<MarkId> = marks.iter().map(|mark| mark.id).collect();
        let fence = &inner.fence;
        // No answer is waited for that is not expected.
        let is_away = fence.journal().is_some()
            && fence.standing() != Standing::Connected
            && !fence.has_failed();
        let (accepted, handed) = {
            let _order = inner.accepting.lock();
            let accepted = fence.accept(&marks);
            let handed = (!is_away).then(|| inner.courier.hand_over(marks));
            if is_away {
                // To be sent when the log is back.
                fence.answered(&ids, None);
            }
            (accepted, handed)
        };
        let token = accepted.token();
        let Some(mut handed) = handed else {
            let away = Error::new(ErrorKind::Away, "the shared log is away");
            return self.keep_in_journal(ids, token, away).await;
        };
        let acknowledged = async move {
            let version = handed.answered().await?;
            accepted.applied().await?;
            Ok(version)
        };
        let outcome =
            if fence.is_shared() { self.in_time(acknowledged).await } else { acknowledged.await };
        match outcome {
            Ok(version) => {
                // A log that lost them after its answer has given them other numbers since.
                let is_numbered = Judge::holds(fence, version);
                let version = if is_numbered { version } else { fence.position() };
                Ok(Marked { version, is_numbered, token, ids })
            }
            Err(error) => self.keep_in_journal(ids, token, error).await,
        }
    }

    /// What a shared log says to marks, if it does in time.
    async fn in_time(
        &self,
        acknowledged: impl Future<Output = Result<Version, Error>>,
    ) -> Result<Version, Error> {
        let patience = self.inner.log_patience;
        match select(pin!(acknowledged), self.inner.clock.sleep(patience)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => {
                let text = format!(
                    "the shared log has not given the invalidation back within {patience:?} (log_patience): it is in \
                     force here and is sent until the log has it, but is not durable before; call again when in doubt"
                );
                Err(Error::new(ErrorKind::Away, text))
            }
        }
    }

    /// Makes those of some marks durable here that the log has not given back or may lose, whatever it did instead.
    async fn keep_in_journal(
        &self,
        ids: Vec<MarkId>,
        token: Token,
        instead: Error,
    ) -> Result<Marked, Error> {
        let fence = &self.inner.fence;
        // What will not be over by itself is not to be passed over in silence.
        let is_away = !matches!(instead.kind(), ErrorKind::Format | ErrorKind::Closed);
        let journal = fence.journal().filter(|_| is_away && fence.is_shared());
        let Some(journal) = journal else { return Err(instead) };
        let lacking = fence.unsettled(&ids);
        journal.keep(&lacking).await?;
        // What was settled meanwhile was not there to be released.
        let lacking: HashSet<MarkId> = fence.unsettled(&ids).iter().map(|m| m.id).collect();
        let settled: Vec<MarkId> = ids.iter().filter(|id| !lacking.contains(id)).copied().collect();
        journal.release(&settled);
        self.inner.counters.count(Counted::Journaled, lacking.len() as u64);
        Ok(Marked { version: fence.position(), is_numbered: false, token, ids })
    }
}
