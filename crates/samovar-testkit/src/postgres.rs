//! A real PostgreSQL for tests.
//!
//! [`Server`] starts one of its own: in a folder that is thrown away, on a free port, without care for what a loss of
//! power would do. A test that dies in whatever way takes its server along, and nothing is left behind.
//!
//! PostgreSQL does not run as root: there it runs as the user `postgres`, which the distribution's package makes.

mod find;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{fmt, fs, thread};

pub use find::BIN;
pub use table::Types;

use crate::watch::{self, Watched};

/// How long a server may take to be there: generous, since it only ever passes when the test fails.
const STARTING: Duration = Duration::from_secs(60);
/// Tries to get a port that nobody else takes in between.
const TRIES: usize = 3;

/// Anybody may come in, but for the user `guarded`, who needs a password.
const WHO_MAY: &str =
    "local all all trust\nhost all guarded all scram-sha-256\nhost all all all trust\n";

/// What went wrong with PostgreSQL, in words fit for the output of a failed test.
///
/// ```
/// # use samovar_testkit::postgres::Server;
/// let wrong = Server::start(&[("no_such_setting", "1")], &[]).expect_err("there is none");
/// assert!(wrong.to_string().contains("no_such_setting"), "{wrong}");
/// ```
#[derive(Debug)]
pub struct PostgresError(String);

impl fmt::Display for PostgresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PostgresError {}

type Result<T> = std::result::Result<T, PostgresError>;

fn wrong(what: &str) -> impl Fn(std::io::Error) -> PostgresError + '_ {
    move |e| PostgresError(format!("{what}: {e}"))
}

/// A server. It is stopped, and all its databases removed, when this is dropped or the process ends.
///
/// ```no_run
/// use samovar_testkit::postgres::{PostgresError, Server};
///
/// fn counts() -> Result<(), PostgresError> {
///     let database = Server::shared()?.database()?;
///     database.run("CREATE TABLE orders (store integer)")?;
///     assert_eq!(database.run("SELECT count(*) FROM orders")?, "0");
///     println!("{}", database.url());
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Server {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    /// Ended by hand when this is dropped, before the folder is removed.
    watch: Option<Watched>,
    databases: AtomicU32,
}

impl Server {
    /// The one that all tests of this process share; it ends with the process.
    ///
    /// # Errors
    /// If there is no PostgreSQL (the message says how to install it) or it does not start.
    ///
    /// ```no_run
    /// # use samovar_testkit::postgres::{PostgresError, Server};
    /// # fn main() -> Result<(), PostgresError> {
    /// assert_eq!(Server::shared()?.port(), Server::shared()?.port());
    /// # Ok(())
    /// # }
    /// ```
    pub fn shared() -> Result<&'static Server> {
        static SHARED: OnceLock<std::result::Result<Server, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| Server::start(&[], &[]).map_err(|e| e.to_string()));
        shared.as_ref().map_err(|e| PostgresError(e.clone()))
    }

    /// A server of one's own with settings beside the usual ones, and files in its data folder that they name.
    ///
    /// # Errors
    /// If there is no PostgreSQL (the message says how to install it) or it does not start.
    ///
    /// ```
    /// # use samovar_testkit::postgres::{PostgresError, Server};
    /// # fn main() -> Result<(), PostgresError> {
    /// let server = Server::start(
    ///     &[("max_connections", "7"), ("hba_file", "data/anybody.conf")],
    ///     &[("anybody.conf", "host all all all trust\n")],
    /// )?;
    /// assert_eq!(server.database()?.run("SHOW max_connections")?, "7");
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(settings: &[(&str, &str)], files: &[(&str, &str)]) -> Result<Server> {
        let programs = find::find().map_err(PostgresError)?;
        let folder = tempfile::Builder::new()
            .prefix("samovar-postgres-")
            .tempdir()
            .map_err(wrong("cannot make a folder"))?
            .keep();
        let prepared = prepare(&programs, &folder, files);
        let started = prepared.and_then(|user| {
            let try_once = || start(&programs, &folder, user, settings);
            (1..TRIES).fold(try_once(), |last, _| last.or_else(|_| try_once()))
        });
        if started.is_err() {
            watch::remove(&folder);
        }
        let (watch, port) = started?;
        Ok(Server { programs, folder, port, watch: Some(watch), databases: AtomicU32::new(0) })
    }

    /// The port on 127.0.0.1.
    ///
    /// ```no_run
    /// # use samovar_testkit::postgres::Server;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::shared()?;
    /// let client = std::net::TcpStream::connect(("127.0.0.1", server.port()))?;
    /// assert_eq!(client.peer_addr()?.port(), server.port());
    /// # Ok(())
    /// # }
    /// ```
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the server's socket, for those who connect by it.
    ///
    /// ```no_run
    /// # use samovar_testkit::postgres::{PostgresError, Server};
    /// # fn main() -> Result<(), PostgresError> {
    /// let server = Server::shared()?;
    /// assert!(server.socket().join(format!(".s.PGSQL.{}", server.port())).exists());
    /// # Ok(())
    /// # }
    /// ```
    pub fn socket(&self) -> &Path {
        &self.folder
    }

    /// A new database without tables.
    ///
    /// # Errors
    /// If PostgreSQL refuses.
    ///
    /// ```no_run
    /// # use samovar_testkit::postgres::{PostgresError, Server};
    /// # fn main() -> Result<(), PostgresError> {
    /// let (one, other) = (Server::shared()?.database()?, Server::shared()?.database()?);
    /// one.run("CREATE TABLE orders (store integer)")?;
    /// assert!(other.run("SELECT count(*) FROM orders").is_err(), "each is alone");
    /// # Ok(())
    /// # }
    /// ```
    pub fn database(&self) -> Result<Database<'_>> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let all = Database { server: self, name: "postgres".into() };
        all.run(&format!("CREATE DATABASE {name} TEMPLATE template0"))?;
        Ok(Database { server: self, name })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.watch.take());
        watch::remove(&self.folder);
    }
}

/// A database of a server.
///
/// ```
/// # use samovar_testkit::postgres::{PostgresError, Server};
/// # fn main() -> Result<(), PostgresError> {
/// let database = Server::shared()?.database()?;
/// database.run("CREATE TABLE orders (store integer); INSERT INTO orders VALUES (7), (12)")?;
/// assert_eq!(database.run("SELECT store, store + 1 FROM orders")?, "7|8\n12|13");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Database<'a> {
    server: &'a Server,
    name: String,
}

impl Database<'_> {
    /// Its address, for a user that may do anything.
    ///
    /// ```no_run
    /// # use samovar_testkit::postgres::{PostgresError, Server};
    /// # fn main() -> Result<(), PostgresError> {
    /// let server = Server::shared()?;
    /// let (port, database) = (server.port(), server.database()?);
    /// let name = database.name();
    /// assert_eq!(database.url(), format!("postgres://postgres@127.0.0.1:{port}/{name}"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{}", self.server.port, self.name)
    }

    /// Its name.
    ///
    /// ```no_run
    /// # use samovar_testkit::postgres::{PostgresError, Server};
    /// # fn main() -> Result<(), PostgresError> {
    /// let database = Server::shared()?.database()?;
    /// assert_eq!(database.run("SELECT current_database()")?, database.name());
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a script by `psql`, and gives what its queries give: a line for each row, the values with bars between.
    ///
    /// # Errors
    /// If PostgreSQL refuses, with what it says.
    ///
    /// ```no_run
    /// # use samovar_testkit::postgres::{PostgresError, Server};
    /// # fn main() -> Result<(), PostgresError> {
    /// let database = Server::shared()?.database()?;
    /// assert_eq!(database.run("SELECT 'a', 1; SELECT NULL, 2")?, "a|1\n|2");
    /// let wrong = database.run("SELECT nothing FROM nowhere").expect_err("it is not there");
    /// assert!(wrong.to_string().contains("nowhere"), "{wrong}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn run(&self, script: &str) -> Result<String> {
        let mut psql = Command::new(self.server.programs.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-", "-d"])
            .arg(format!("{}?sslmode=disable", self.url()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(wrong("cannot run psql"))?;
        // Written beside the reading, or both could wait for each other.
        let output = thread::scope(|scope| {
            let stdin = psql.stdin.take();
            scope.spawn(move || {
                if let Some(mut stdin) = stdin {
                    // If psql does not read it, it says why.
                    let _ = stdin.write_all(script.as_bytes());
                }
            });
            psql.wait_with_output()
        });
        said("psql", &output.map_err(wrong("cannot run psql"))?)
    }

    /// Waits until a query gives an answer.
    ///
    /// # Errors
    /// If it has not after a while, with its last answer.
    ///
    /// ```no_run
    /// # use samovar_testkit::postgres::{PostgresError, Server};
    /// # fn main() -> Result<(), PostgresError> {
    /// let database = Server::shared()?.database()?;
    /// database.run("CREATE TABLE orders (store integer)")?;
    /// std::thread::scope(|scope| {
    ///     let late = scope.spawn(|| database.run("INSERT INTO orders VALUES (7)"));
    ///     database.wait_until("SELECT store FROM orders", "7")?;
    ///     late.join().expect("it does not panic").map(drop)
    /// })
    /// # }
    /// ```
    pub fn wait_until(&self, query: &str, answer: &str) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let found = self.run(query)?;
            if found == answer {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(PostgresError(format!(
                    "waited for {answer:?} of {query}, not {found:?}"
                )));
            }
        }
    }
}

fn said(program: &str, output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_string());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(PostgresError(format!("{program} failed: {}", text.trim_end())))
}

/// Starts a program as the user that the server runs as, watched over.
fn watched(
    program: &Path,
    folder: &Path,
    user: Option<&str>,
    with: impl FnOnce(&mut Command),
) -> Result<Watched> {
    // Its way to end at once, whoever is connected.
    Watched::start(program, folder, user, "QUIT", with).map_err(wrong("cannot start PostgreSQL"))
}

/// Makes a server's data folder; gives the user it belongs to, if that is not us.
fn prepare(programs: &Path, folder: &Path, files: &[(&str, &str)]) -> Result<Option<&'static str>> {
    let id = Command::new("id").arg("-u").output().map_err(wrong("cannot run id"))?;
    let user = (id.stdout.trim_ascii() == b"0").then_some("postgres");
    let give = |path: &Path| match user {
        Some(user) => {
            let given = Command::new("chown").arg("-R").arg(user).arg(path).output();
            said("chown", &given.map_err(wrong("cannot run chown"))?)
        }
        None => Ok(String::new()),
    };
    give(folder)?;
    let data = folder.join("data");
    let mut made = watched(&programs.join("initdb"), folder, user, |initdb| {
        let how = ["--encoding=UTF8", "--locale=C", "--auth=trust", "--no-sync"];
        initdb.arg("--username=postgres").args(how).arg("-D").arg(&data);
    })?;
    let done = loop {
        match made.ended().map_err(wrong("cannot wait for initdb"))? {
            Some(done) => break done,
            None => thread::sleep(watch::PAUSE),
        }
    };
    drop(made);
    if !done.success() {
        return Err(PostgresError(format!("initdb failed: {}", watch::log(folder))));
    }
    let all = files.iter().copied().chain([("pg_hba.conf", WHO_MAY)]);
    for (name, text) in all {
        let path = data.join(name);
        fs::write(&path, text).map_err(wrong("cannot write a file of the server"))?;
        let mode = Command::new("chmod").arg("600").arg(&path).output();
        said("chmod", &mode.map_err(wrong("cannot run chmod"))?)?;
        give(&path)?;
    }
    Ok(user)
}

/// Starts a server and waits until it is there.
fn start(
    programs: &Path,
    folder: &Path,
    user: Option<&str>,
    settings: &[(&str, &str)],
) -> Result<(Watched, u16)> {
    let port = watch::free_port().map_err(wrong("cannot find a free port"))?;
    let usual = [
        ("listen_addresses", "127.0.0.1"),
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("synchronous_commit", "off"),
        ("autovacuum", "off"),
    ];
    let data = folder.join("data");
    let mut watch = watched(&programs.join("postgres"), folder, user, |postgres| {
        postgres.arg("-D").arg(&data).arg("-k").arg(folder).args(["-p", &port.to_string()]);
        for (name, value) in usual.iter().chain(settings) {
            postgres.args(["-c", &format!("{name}={value}")]);
        }
    })?;
    let deadline = Instant::now() + STARTING;
    loop {
        // Its eighth line is the state.
        let state = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        if state.lines().nth(7).is_some_and(|line| line.starts_with("ready")) {
            return Ok((watch, port));
        }
        let ended = watch.ended().map_err(wrong("cannot wait for PostgreSQL"))?;
        if ended.is_some() || Instant::now() > deadline {
            drop(watch);
            return Err(PostgresError(format!("PostgreSQL did not start: {}", watch::log(folder))));
        }
        thread::sleep(watch::PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_server_leaves_nothing_behind() {
        let server = Server::start(&[("max_connections", "7")], &[]).unwrap();
        let database = server.database().unwrap();
        assert_eq!(database.run("SHOW max_connections; SELECT 'a', 1").unwrap(), "7\na|1");
        assert_eq!(server.database().unwrap().run("SELECT 1").unwrap(), "1");
        let wrong = database.run("SELECT nothing FROM nowhere").unwrap_err();
        assert!(wrong.to_string().contains("nowhere"), "{wrong}");
        let folder = server.socket().to_owned();
        let port = server.port();
        drop(server);
        assert!(!folder.exists());
        assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
    }

    #[test]
    fn one_that_cannot_start_says_why() {
        let wrong = Server::start(&[("no_such_setting", "1")], &[]).unwrap_err();
        assert!(wrong.to_string().contains("no_such_setting"), "{wrong}");
    }
}
