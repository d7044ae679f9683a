//! What `demo` and `serve` share: the runtime, the listener, warming up, and the way out.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use samovar::Samovar;
use samovar::fence::{RedisLog, RedisLogOptions};
use samovar_levels::{Engine, WarmReport};
use samovar_server::{App, Caches, LogSettings};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::out::note;

/// How long open requests may take after Ctrl-C.
const GRACE: Duration = Duration::from_secs(5);

/// Why a command ends without success: a sentence for people.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.to_string())
    }
}

/// Runs a command on a runtime of its own.
pub(crate) fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|failed| Failure(format!("the runtime cannot start: {failed}")))?;
    let outcome = runtime.block_on(work);
    // A thread that is stuck in the source must not keep the process.
    runtime.shutdown_timeout(GRACE);
    outcome
}

/// A server that listens.
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    server: JoinHandle<std::io::Result<()>>,
    stop: watch::Sender<bool>,
}

impl Host {
    /// Listens and serves at once. Beyond loopback only with a token; there any name will do, unless some are allowed.
    pub(crate) async fn start(
        listen: SocketAddr,
        token: Option<&str>,
        allowed_hosts: Vec<String>,
        app: App,
    ) -> Result<Host, Failure> {
        if !listen.ip().is_loopback() && token.is_none() {
            return Err(Failure(format!(
                "listening on {listen}, beyond this machine, needs a token: set --token or SAMOVAR_TOKEN"
            )));
        }
        if listen.ip().is_loopback() || !allowed_hosts.is_empty() {
            app.known_as(allowed_hosts);
        }
        let listener = TcpListener::bind(listen).await.map_err(|failed| {
            Failure(format!(
                "cannot listen on {listen}: {failed}; choose another --port, 0 picks a free one"
            ))
        })?;
        let address = listener.local_addr()?;
        let (stop, mut stopped) = watch::channel(false);
        let service =
            samovar_server::router(app).into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(async move {
            let until = async move {
                // A sender that is gone means stop, too.
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            axum::serve(listener, service).with_graceful_shutdown(until).await
        });
        Ok(Host { address, server, stop })
    }

    /// Lets open requests finish, for a while, and stops.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        self.stop.send_replace(true);
        match tokio::time::timeout(GRACE, self.server).await {
            Ok(served) => Ok(served??),
            Err(_) => Ok(()),
        }
    }
}

/// Ends when somebody presses Ctrl-C or the process is told to terminate.
pub(crate) async fn interrupted() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}

/// Works until the work ends or somebody interrupts it; `None` if that came first. Work that ends by the same
/// signal has something to report, and goes first.
pub(crate) async fn unless_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<Option<T>, Failure> {
    tokio::select! {
        biased;
        outcome = work => outcome.map(Some),
        () = interrupted() => Ok(None),
    }
}

/// Opens the stack of tiers in a data directory; with a Redis, what others have there too, and the log that all share.
pub(crate) async fn open(
    mut settings: samovar::Settings,
    log: &LogSettings,
) -> Result<Samovar, Failure> {
    if let Some(redis) = &settings.redis {
        let clock = Arc::clone(&settings.clock);
        let log = RedisLog::new(redis, log_options(log), clock)?;
        settings.log = Some(Arc::new(log));
    }
    Ok(Samovar::open(settings).await?)
}

fn log_options(log: &LogSettings) -> RedisLogOptions {
    RedisLogOptions {
        keep: log.keep,
        look_every: log.look_every,
        lease: log.lease,
        margin: log.margin,
        replicas: log.replicas,
        table_every: log.table_every,
    }
}

/// The engine over the configured source; says so if the source is away.
pub(crate) fn engine(
    samovar: Samovar,
    settings: &samovar_server::Settings,
) -> Result<Engine, Failure> {
    let away = |away: &samovar_source::SourceError| {
        note(format_args!("samovar: {away}; going on with what is kept"));
    };
    Ok(settings.engine(samovar, away)?)
}

/// The configured caches; says so if their database is away, and every mistake in their statements.
pub(crate) fn caches(
    samovar: &Samovar,
    settings: &samovar_server::Settings,
) -> Result<Caches, Failure> {
    let away = |away: &samovar_source::SourceError| {
        note(format_args!("samovar: {away}; caches load once it is there"));
    };
    settings.caches(samovar, away).map_err(|wrong| {
        let lines: Vec<String> = wrong.iter().map(|wrong| format!("  {wrong}")).collect();
        Failure(format!(
            "the statements of the caches do not fit the database:\n{}",
            lines.join("\n")
        ))
    })
}

/// Warms up, with a bar on the terminal.
pub(crate) async fn warm(engine: &Engine) -> Result<WarmReport, Failure> {
    let bar = bar(0, "warming {bar:30} {pos}/{len} stores");
    let warming = engine.warm();
    tokio::pin!(warming);
    let report = loop {
        tokio::select! {
            report = &mut warming => break report,
            () = tokio::time::sleep(Duration::from_millis(50)) => {
                let warmth = engine.warmth();
                bar.set_length(warmth.stores as u64);
                bar.set_position(warmth.stores_warm as u64);
            }
        }
    };
    bar.finish_and_clear();
    Ok(report?)
}

/// A bar on standard error; nothing where that is no terminal.
pub(crate) fn bar(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_of_the_log_is_the_library_s_own() {
        assert_eq!(log_options(&LogSettings::default()), RedisLogOptions::default());
    }
}
