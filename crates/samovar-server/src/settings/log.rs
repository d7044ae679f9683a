//! The tables `[journal]` and `[log]`: what waits on this server, and how the log that several share is kept.

use std::time::Duration;

use super::raw::{Reader, Table};

/// What waits on this server: what a write-back acknowledged and the database has not yet.
///
/// ```
/// # use samovar_server::JournalSettings;
/// let own = JournalSettings::default();
/// assert_eq!((own.max_bytes, own.letters_max_bytes), (64 << 20, 16 << 20));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalSettings {
    /// So many bytes may wait at once; beyond that writes fail.
    pub max_bytes: u64,
    /// So many bytes of what the database would not have may stand for one cache; beyond that its writes fail.
    pub letters_max_bytes: u64,
}

impl Default for JournalSettings {
    fn default() -> Self {
        JournalSettings { max_bytes: 64 << 20, letters_max_bytes: 16 << 20 }
    }
}

/// How the log of invalidations is kept that servers with one Redis share. All of them should say the same.
///
/// ```
/// # use samovar_server::LogSettings;
/// let own = LogSettings::default();
/// assert!(own.patience < own.max_blind, "it waits before it counts as cut off");
/// assert!(!own.serve_while_away && own.replicas == 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// So long an invalidation waits for the log before it goes to the journal.
    pub patience: Duration,
    /// A server that is cut off for so long serves nothing from its caches.
    pub max_blind: Duration,
    /// Whether a server that starts while Redis is away serves its disk, labelled.
    pub serve_while_away: bool,
    /// Who has not written to the log for so long labels what it serves.
    pub lease: Duration,
    /// Others wait so much longer than the lease before they found a log that is gone.
    pub margin: Duration,
    /// About how many invalidations it holds.
    pub keep: u64,
    /// It is looked at so often.
    pub look_every: Duration,
    /// So often one of the servers writes what it knows beside the log.
    pub table_every: Duration,
    /// So many replicas have to confirm an invalidation.
    pub replicas: u32,
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings {
            patience: Duration::from_secs(5),
            max_blind: Duration::from_secs(600),
            serve_while_away: false,
            lease: Duration::from_secs(5),
            margin: Duration::from_secs(1),
            keep: 500_000,
            look_every: Duration::from_secs(1),
            table_every: Duration::from_secs(300),
            replicas: 0,
        }
    }
}

pub(super) fn journal(reader: &mut Reader, mut table: Table) -> JournalSettings {
    let own = JournalSettings::default();
    let settings = JournalSettings {
        max_bytes: table.bytes(reader, "max_bytes", own.max_bytes),
        letters_max_bytes: table.bytes(reader, "letters_max_bytes", own.letters_max_bytes),
    };
    table.finish(reader);
    settings
}

/// A table `[log]` without a Redis would say nothing: the log is then this server's own.
pub(super) fn log(reader: &mut Reader, mut table: Table, is_shared: bool) -> LogSettings {
    let own = LogSettings::default();
    if table.is_given() && !is_shared {
        let allowed = "a table [redis] beside it: without one the log is not shared";
        reader.problem("log", "a table without a Redis", allowed);
    }
    let look_every = table.duration(reader, "look_every", own.look_every);
    let table_every = table.duration(reader, "table_every", own.table_every);
    let lease = table.window(reader, "lease", own.lease);
    // As often as the log can be looked at. Zero, where that may be said, is none.
    for (field, period, allowed) in [
        ("look_every", look_every, "10ms and more"),
        ("table_every", table_every, "10ms and more"),
        ("lease", lease, "10ms and more, or 0s: none"),
    ] {
        if !period.is_zero() && period < Duration::from_millis(10) {
            reader.problem(&table.path(field), &format!("{period:?}"), allowed);
        }
    }
    let settings = LogSettings {
        patience: table.duration(reader, "patience", own.patience),
        max_blind: table.window(reader, "max_blind", own.max_blind),
        serve_while_away: table.flag(reader, "serve_while_away", own.serve_while_away),
        lease,
        margin: table.window(reader, "margin", own.margin),
        keep: table.number(reader, "keep", own.keep as i64, 1_000..=i64::MAX) as u64,
        look_every,
        table_every,
        replicas: table.number(reader, "replicas", own.replicas.into(), 0..=1_000) as u32,
    };
    table.finish(reader);
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Environment, Problem, Settings};

    const REST: &str = "[source]\npath = 'shop.db'\nquery = 'orders'\nwrite_deadline = '8s'\n[dataset]\nname = 'orders'\n\
                        store_id = 'shop'\ndate = 'day'\n[[measure]]\nname = 'sales'\nsum = 'amount'\n";

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Settings, Vec<Problem>> {
        let environment: Environment = variables.iter().copied().collect();
        Settings::read(&format!("{text}\n{REST}"), "/srv".as_ref(), &environment)
    }

    #[test]
    fn what_is_said_of_journal_and_log_reaches_the_tiers() {
        let text = "[redis]\nurls = 'redis://127.0.0.1'\n\
                    [journal]\nmax_bytes = '1 GB'\nletters_max_bytes = '1 MB'\n\
                    [log]\npatience = '2s'\nmax_blind = '0s'\nserve_while_away = true\nlease = '7s'\nmargin = '3s'\n\
                    keep = 1000\nlook_every = '10ms'\ntable_every = '1m'\nreplicas = 2";
        let settings = read(text, &[]).unwrap();
        let expected = LogSettings {
            patience: Duration::from_secs(2),
            max_blind: Duration::ZERO,
            serve_while_away: true,
            lease: Duration::from_secs(7),
            margin: Duration::from_secs(3),
            keep: 1_000,
            look_every: Duration::from_millis(10),
            table_every: Duration::from_secs(60),
            replicas: 2,
        };
        assert_eq!(settings.log, expected);
        let tiers = settings.tiers();
        assert_eq!((tiers.journal_max_bytes, tiers.letters_max_bytes), (1 << 30, 1 << 20));
        assert_eq!(
            (tiers.log_patience, tiers.max_blind, tiers.serve_while_away),
            (expected.patience, expected.max_blind, true)
        );
        assert_eq!(tiers.data_dir.as_deref(), Some("/srv/samovar-data".as_ref()));
        assert_eq!(settings.source.write_deadline, Duration::from_secs(8));
    }

    #[test]
    fn what_is_not_said_is_the_library_s_own() {
        let (tiers, own) = (read("", &[]).unwrap().tiers(), samovar::Settings::default());
        assert_eq!(tiers.journal_max_bytes, own.journal_max_bytes);
        assert_eq!(tiers.letters_max_bytes, own.letters_max_bytes);
        assert_eq!(
            (tiers.log_patience, tiers.max_blind, tiers.serve_while_away),
            (own.log_patience, own.max_blind, own.serve_while_away)
        );
    }

    #[test]
    fn there_may_be_no_leases() {
        let none = read("[redis]\nurls = 'redis://a'\n[log]\nlease = '0s'", &[]).unwrap();
        assert_eq!(none.log.lease, Duration::ZERO);
    }

    #[test]
    fn the_environment_says_them_too() {
        let variables = [
            ("SAMOVAR_JOURNAL__MAX_BYTES", "2GB"),
            ("SAMOVAR_REDIS_URLS", "redis://127.0.0.1"),
            ("SAMOVAR_LOG__SERVE_WHILE_AWAY", "true"),
            ("SAMOVAR_LOG__MAX_BLIND", "1h"),
            ("SAMOVAR_SOURCE__WRITE_DEADLINE", "9s"),
        ];
        let settings = read("", &variables).unwrap_or_else(|wrong| panic!("{wrong:?}"));
        assert_eq!(settings.journal.max_bytes, 2 << 30);
        assert!(settings.log.serve_while_away);
        assert_eq!(settings.log.max_blind, Duration::from_secs(3_600));
        assert_eq!(settings.source.write_deadline, Duration::from_secs(9));
    }

    #[test]
    fn what_cannot_be_is_told_with_its_line() {
        for (text, line, field) in [
            ("[journal]\nmax_bytes = 0", 2, "journal.max_bytes"),
            ("[journal]\nletters = 1", 2, "journal.letters"),
            ("[log]\nlease = '7s'", 1, "log"),
            ("[redis]\nurls = 'redis://a'\n[log]\nlook_every = '1ms'", 4, "log.look_every"),
            ("[redis]\nurls = 'redis://a'\n[log]\nlook_every = '0s'", 4, "log.look_every"),
            ("[redis]\nurls = 'redis://a'\n[log]\nlease = '1ms'", 4, "log.lease"),
            ("[redis]\nurls = 'redis://a'\n[log]\nkeep = 999", 4, "log.keep"),
            ("[redis]\nurls = 'redis://a'\n[log]\nserve_while_away = 1", 4, "log.serve_while_away"),
            ("[redis]\nurls = 'redis://a'\n[log]\npatience = '0s'", 4, "log.patience"),
        ] {
            let problems = read(text, &[]).unwrap_err();
            let told: Vec<_> = problems.iter().map(|one| (one.line, &*one.field)).collect();
            assert_eq!(told, [(Some(line), field)], "{text}");
        }
    }
}
