//! `samovar demo`: a shop that is made, served at once, and warm before anyone asks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use clap::Args;
use samovar::Samovar;
use samovar_demo::Shape;
use samovar_levels::{Engine, WarmReport};
use samovar_server::{
    App, DISK_MAX_BYTES, Environment, Labels, LogSettings, MEMORY_MAX_BYTES, Place, Settings,
    Tokens,
};
use serde_json::{Map, Value, json};

use crate::host::{self, Failure, Host};
use crate::out::{note, say};

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Number of stores
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    stores: u32,
    /// Order lines per store
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rows: u32,
    /// Port to listen on; 0 picks a free one
    #[arg(long, default_value_t = 8051)]
    port: u16,
    /// Address to listen on; beyond loopback only with a token
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// Who changes state must bear this token
    #[arg(long, env = "SAMOVAR_TOKEN", hide_env_values = true, value_parser = as_token)]
    token: Option<String>,
    /// Who reads figures from beyond this machine must bear this token, or the other
    #[arg(long, env = "SAMOVAR_READ_TOKEN", hide_env_values = true, value_parser = as_token)]
    read_token: Option<String>,
    /// Directory of the demo's database and of what is cached on disk
    #[arg(long, default_value = "samovar-data")]
    data: PathBuf,
    /// Stop as soon as everything is warm
    #[arg(long)]
    exit_when_warm: bool,
    /// Print the final report as one JSON object on the last line
    #[arg(long)]
    json: bool,
}

/// A token as it may be given. An empty one, as of a variable that was never set, would guard nothing or lock everybody
/// out.
pub(crate) fn as_token(text: &str) -> Result<String, String> {
    let fits = samovar_server::is_token(text);
    fits.then(|| text.to_string()).ok_or_else(|| "8 or more visible ASCII characters".into())
}

/// The demo's configuration, as a user would write it.
const CONFIG: &str = include_str!("../../../recipes/demo/samovar.toml");

pub(crate) async fn demo(args: &DemoArgs) -> Result<(), Failure> {
    let shape = Shape { stores: args.stores, rows_per_store: args.rows, ..Shape::default() };
    let environment = Environment::default();
    let mut settings = Settings::read(CONFIG, &args.data, &environment).map_err(|problems| {
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure(format!(
            "the demo's own configuration is wrong; this is a bug: {}",
            told.join("; ")
        ))
    })?;
    let database = args.data.join(samovar_demo::file_name(&shape));
    settings.source.place = Place::Sqlite(database.clone());
    let labels = Labels::from(&settings);
    let tiers = samovar::Settings {
        data_dir: Some(args.data.clone()),
        memory_max_bytes: MEMORY_MAX_BYTES,
        disk_max_bytes: DISK_MAX_BYTES,
        ..samovar::Settings::default()
    };
    let samovar = host::open(tiers, &LogSettings::default()).await?;
    let tokens = Tokens { change: args.token.clone(), read: args.read_token.clone() };
    let app = App::new(labels, tokens);
    app.generating(0, shape.rows());
    let listen = SocketAddr::new(args.listen, args.port);
    let server = Host::start(listen, args.token.as_deref(), Vec::new(), app.clone()).await?;
    say(&format!("Samovar is on http://{}", server.address))?;
    let made = OnceLock::new();
    let work = work(args, &shape, &settings, &database, samovar.clone(), &app, &made);
    let outcome = host::unless_interrupted(work).await;
    server.stop().await?;
    match made.get() {
        Some(engine) => Engine::close(engine).await?,
        None => samovar.close().await?,
    }
    if let Some(report) = outcome?.flatten() {
        say(&report)?;
    }
    Ok(())
}

/// Makes the data, warms up, and waits for Ctrl-C unless told to stop when warm.
async fn work(
    args: &DemoArgs,
    shape: &Shape,
    settings: &Settings,
    database: &Path,
    samovar: Samovar,
    app: &App,
    made_engine: &OnceLock<Engine>,
) -> Result<Option<String>, Failure> {
    let clock = Arc::clone(samovar.clock());
    let begun = clock.elapsed();
    let made = generate(database, shape, app).await?;
    let generated = clock.elapsed();
    let engine = host::engine(samovar.clone(), settings)?;
    app.ready(engine.clone(), host::caches(&samovar, settings)?);
    let engine = made_engine.get_or_init(|| engine);
    let before_warming = clock.elapsed().saturating_sub(generated);
    let report = host::warm(engine).await?;
    let seconds =
        |duration: std::time::Duration| (duration.as_secs_f64() * 1_000.0).round() / 1_000.0;
    let generating = if made { generated.saturating_sub(begun) } else { std::time::Duration::ZERO };
    let hot = seconds(before_warming + report.first_hot_answer);
    let warm = seconds(before_warming + report.fully_warm);
    note(format_args!("warm: {} stores in {warm} s, the hot ones after {hot} s", report.stores));
    let told =
        args.json.then(|| json_report(engine, &report, seconds(generating), hot, warm).to_string());
    if args.exit_when_warm {
        return Ok(told);
    }
    host::interrupted().await;
    Ok(told)
}

/// Makes the database unless it is there. True if it was made now.
async fn generate(path: &Path, shape: &Shape, app: &App) -> Result<bool, Failure> {
    if samovar_demo::is_complete(path, shape)? {
        return Ok(false);
    }
    let cancel = Arc::new(AtomicBool::new(false));
    let stop = StopOnDrop(Arc::clone(&cancel));
    let (path, shape, app) = (path.to_path_buf(), shape.clone(), app.clone());
    let making = tokio::task::spawn_blocking(move || {
        let bar = host::bar(shape.rows(), "making the demo's data {bar:30} {pos}/{len} lines");
        let progress = |done: u64| {
            app.generating(done, shape.rows());
            bar.set_position(done);
        };
        let made = samovar_demo::generate(&path, &shape, &progress, &cancel);
        bar.finish_and_clear();
        made
    });
    making.await??;
    drop(stop);
    Ok(true)
}

/// Ends the making of data when whoever waits for it has gone.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn json_report(engine: &Engine, report: &WarmReport, generate: f64, hot: f64, warm: f64) -> Value {
    let mut tiers = Map::new();
    for (tier, used) in engine.samovar().usage() {
        let levels: Map<String, Value> =
            used.caches.iter().map(|(cache, one)| (cache.to_string(), one.bytes.into())).collect();
        tiers.insert(tier.as_str().into(), Value::Object(levels));
    }
    json!({
        "stores": report.stores,
        "rows": report.lines,
        "seconds_to_generate": generate,
        "seconds_to_first_hot_answer": hot,
        "seconds_to_fully_warm": warm,
        "resident_bytes": memory_stats::memory_stats().map(|stats| stats.physical_mem),
        "bytes": tiers,
    })
}
