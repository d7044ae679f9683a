//! `samovar serve`: the same on the user's own database.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use samovar_levels::{Engine, WarmReport};
use samovar_server::{App, Environment, Labels, Settings, Tokens};

use crate::demo::as_token;
use crate::host::{self, Failure, Host};
use crate::out::{note, say};

/// After a warm-up that failed the next waits so long, twice as long after each further one.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// The configuration
    #[arg(long, default_value = "samovar.toml")]
    config: PathBuf,
    /// Port to listen on instead of the configured one; 0 picks a free one
    #[arg(long)]
    port: Option<u16>,
    /// Who changes state must bear this token
    #[arg(long, env = "SAMOVAR_TOKEN", hide_env_values = true, value_parser = as_token)]
    token: Option<String>,
    /// Who reads figures from beyond this machine must bear this token, or the other
    #[arg(long, env = "SAMOVAR_READ_TOKEN", hide_env_values = true, value_parser = as_token)]
    read_token: Option<String>,
}

/// Reads a configuration; every mistake in it is told at once.
fn configured(path: &Path) -> Result<Settings, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|failed| Failure(format!("cannot read the configuration {shown}: {failed}")))?;
    let directory = path.parent().unwrap_or(Path::new("."));
    let read = match Environment::beside(directory) {
        Ok(environment) => Settings::read(&text, directory, &environment),
        Err(wrong) => Err(vec![wrong]),
    };
    read.map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
        let count = problems.len();
        let what = if count == 1 { "mistake" } else { "mistakes" };
        Failure(format!("{shown} has {count} {what}:\n{}", lines.join("\n")))
    })
}

/// Warms up, as often as it takes: what is cached is served meanwhile, and a source may come back.
async fn warm_at_last(engine: &Engine) -> WarmReport {
    let mut pause = PAUSE;
    loop {
        match host::warm(engine).await {
            Ok(report) => return report,
            Err(Failure(why)) => {
                note(format_args!(
                    "samovar: not warm: {why}; trying again in {} s",
                    pause.as_secs()
                ));
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

pub(crate) async fn serve(args: &ServeArgs) -> Result<(), Failure> {
    let settings = configured(&args.config)?;
    let token = args.token.clone().or(settings.token.clone());
    let read = args.read_token.clone().or(settings.read_token.clone());
    let labels = Labels::from(&settings);
    let samovar = host::open(settings.tiers(), &settings.log).await?;
    let engine = host::engine(samovar.clone(), &settings)?;
    let caches = host::caches(&samovar, &settings)?;
    let app = App::new(labels, Tokens { change: token.clone(), read });
    app.ready(engine.clone(), caches);
    let port = args.port.unwrap_or(settings.listen.port());
    let listen = SocketAddr::new(settings.listen.ip(), port);
    let server = Host::start(listen, token.as_deref(), settings.allowed_hosts, app).await?;
    say(&format!("Samovar is on http://{}", server.address))?;
    let work = async {
        let report = warm_at_last(&engine).await;
        let warm = report.fully_warm.as_secs_f64();
        let about = if report.estimated { "about " } else { "" };
        note(format_args!(
            "warm: {} stores, {about}{} lines in {warm:.1} s",
            report.stores, report.lines
        ));
        if report.failed > 0 {
            note(format_args!("{} stores could not be read; trying again", report.failed));
        }
        host::interrupted().await;
        Ok::<_, Failure>(())
    };
    let outcome = host::unless_interrupted(work).await;
    server.stop().await?;
    engine.close().await?;
    outcome.map(drop)
}
