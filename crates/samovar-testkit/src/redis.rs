//! A real Redis for tests: alone ([`Server`]), with sentinels ([`Sentinels`]) or as a cluster ([`Cluster`]).
//!
//! Each server stands in a folder that is thrown away and listens on a free port. It may be killed, paused, and started
//! again with its data, with older data or without any. A test that dies in whatever way takes its servers along, and
//! nothing is left behind.

mod ask;
mod cluster;
mod find;
mod sentinel;
mod setup;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, fs, thread};

pub use cluster::Cluster;
pub use find::BIN;
pub use sentinel::Sentinels;
pub use setup::Setup;

use crate::watch::{self, Watched};

/// How long a server may take to be there or to come to a state: generous, since it only ever passes when the test fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// Tries to get a port that nobody else takes in between.
const TRIES: usize = 3;

/// What went wrong with Redis, in words fit for the output of a failed test.
///
/// ```
/// # use samovar_testkit::redis::{Server, Setup};
/// let setup = Setup::new().user("ann smith", "geheim");
/// let wrong = Server::launch(&setup).expect_err("a name has no blanks");
/// assert!(wrong.to_string().contains("not \"ann smith\""), "{wrong}");
/// ```
#[derive(Debug)]
pub struct RedisError(String);

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RedisError {}

type Result<T> = std::result::Result<T, RedisError>;

fn wrong(what: &str) -> impl Fn(std::io::Error) -> RedisError + '_ {
    move |e| RedisError(format!("{what}: {e}"))
}

/// A server. It is killed, and its data removed, when this is dropped or the process ends.
///
/// ```
/// use samovar_testkit::redis::{RedisError, Server, Setup};
///
/// fn forgets() -> Result<(), RedisError> {
///     let server = Server::launch(&Setup::new().durable())?;
///     println!("{} is on port {}", server.url(), server.port());
///     server.cli(&["SET", "tea", "green"])?;
///     let older = server.snapshot()?;
///     server.cli(&["SET", "tea", "black"])?;
///
///     server.kill()?;
///     server.start()?;
///     assert_eq!(server.cli(&["GET", "tea"])?, "black");
///     server.kill()?;
///     server.start_from(&older)?;
///     assert_eq!(server.cli(&["GET", "tea"])?, "green");
///     server.kill()?;
///     server.start_empty()?;
///     assert_eq!(server.cli(&["EXISTS", "tea"])?, "0");
///
///     server.pause()?; // alive and silent
///     server.resume()?;
///     server.flush()
/// }
/// # forgets().expect("Redis does what it is told");
/// ```
#[derive(Debug)]
pub struct Server {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    setup: Setup,
    is_sentinel: bool,
    state: Mutex<State>,
    snapshots: AtomicU32,
}

/// Whether a server is there.
#[derive(Debug)]
enum State {
    Down,
    Up(Watched),
    Paused(Watched),
}

/// The data of a [`Server`] as they were once; kept as long as the server is.
///
/// ```
/// use samovar_testkit::redis::{RedisError, Server, Snapshot};
///
/// /// Makes the server lose what was written since, as an old backup does.
/// fn go_back(server: &Server, to: &Snapshot) -> Result<(), RedisError> {
///     server.kill()?;
///     server.start_from(to)
/// }
/// # fn main() -> Result<(), RedisError> {
/// # let server = Server::launch(&samovar_testkit::redis::Setup::new().durable())?;
/// # let empty = server.snapshot()?;
/// # server.cli(&["SET", "tea", "green"])?;
/// # go_back(&server, &empty)?;
/// # assert_eq!(server.cli(&["DBSIZE"])?, "0");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Snapshot(PathBuf);

impl Server {
    /// A new server without data.
    ///
    /// # Errors
    /// If there is no Redis (the message says how to install it) or it does not start.
    ///
    /// ```
    /// # use samovar_testkit::redis::{RedisError, Server, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let server = Server::launch(&Setup::new().set("maxmemory", "2mb"))?;
    /// assert_eq!(server.cli(&["CONFIG", "GET", "maxmemory"])?, "maxmemory\n2097152");
    /// # Ok(())
    /// # }
    /// ```
    pub fn launch(setup: &Setup) -> Result<Server> {
        Server::begin(false, || Ok(setup.clone()))
    }

    /// A new server or sentinel; its setup is made anew for each try.
    fn begin(is_sentinel: bool, setup: impl Fn() -> Result<Setup>) -> Result<Server> {
        let programs = find::find().map_err(RedisError)?;
        let try_once = || {
            let folder = tempfile::Builder::new().prefix("samovar-redis-").tempdir();
            let server = Server {
                programs: programs.clone(),
                folder: folder.map_err(wrong("cannot make a folder"))?.keep(),
                port: free_port()?,
                setup: setup()?,
                is_sentinel,
                state: Mutex::new(State::Down),
                snapshots: AtomicU32::new(0),
            };
            server.setup.write(&server.folder, server.port)?;
            server.start_empty()?;
            Ok(server)
        };
        (1..TRIES).fold(try_once(), |last, _| last.or_else(|_| try_once()))
    }

    /// The port on 127.0.0.1, the same for all its life.
    ///
    /// ```
    /// # use samovar_testkit::redis::{Server, Setup};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::launch(&Setup::new())?;
    /// let client = std::net::TcpStream::connect(("127.0.0.1", server.port()))?;
    /// assert_eq!(client.peer_addr()?.port(), server.port());
    /// # Ok(())
    /// # }
    /// ```
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, with the user and the password that it wants: `redis://…`, by TLS `rediss://…`.
    ///
    /// ```
    /// # use samovar_testkit::redis::{RedisError, Server, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let server = Server::launch(&Setup::new().user("ann", "geheim"))?;
    /// assert_eq!(server.url(), format!("redis://ann:geheim@127.0.0.1:{}", server.port()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn url(&self) -> String {
        let user = self.setup.user.as_ref();
        let user = user.map(|(name, password)| format!("{name}:{password}@")).unwrap_or_default();
        format!("{}://{user}127.0.0.1:{}", self.setup.scheme(), self.port)
    }

    /// The server's socket, for those who connect by it: without TLS, whatever its port speaks.
    ///
    /// ```
    /// # use std::io::{Read, Write};
    /// # use std::os::unix::net::UnixStream;
    /// # use samovar_testkit::redis::{Server, Setup};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::launch(&Setup::new().tls()?)?;
    /// let mut client = UnixStream::connect(server.socket())?;
    /// client.write_all(b"PING\r\n")?;
    /// let mut answer = [0; 5];
    /// client.read_exact(&mut answer)?;
    /// assert_eq!(&answer, b"+PONG");
    /// # Ok(())
    /// # }
    /// ```
    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// Kills the server, up or paused, by SIGKILL: it has no time to save or to take leave.
    ///
    /// # Errors
    /// If it is down already.
    ///
    /// ```
    /// # use samovar_testkit::redis::{RedisError, Server, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let server = Server::launch(&Setup::new())?;
    /// server.kill()?;
    /// assert!(server.cli(&["PING"]).is_err());
    /// assert!(server.kill().is_err(), "it is down");
    /// # Ok(())
    /// # }
    /// ```
    pub fn kill(&self) -> Result<()> {
        let mut state = self.state();
        if matches!(*state, State::Down) {
            return Err(RedisError("the server is down already".into()));
        }
        *state = State::Down;
        Ok(())
    }

    /// Starts the server, which is down, again: on its port, with the data it kept.
    ///
    /// # Errors
    /// If it is up, or does not start, with its log.
    ///
    /// ```
    /// # use samovar_testkit::redis::{RedisError, Server, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let server = Server::launch(&Setup::new().durable())?;
    /// server.cli(&["SET", "tea", "green"])?;
    /// server.kill()?;
    /// server.start()?;
    /// assert_eq!(server.cli(&["GET", "tea"])?, "green");
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(&self) -> Result<()> {
        let mut state = self.down()?;
        // While it was down, somebody may have got its port for a moment.
        until("a port to be free again", || {
            Ok(TcpListener::bind(("127.0.0.1", self.port)).is_ok())
        })?;
        let program = self.programs.join("redis-server");
        let mut watch = Watched::start(&program, &self.folder, None, "KILL", |redis| {
            redis.arg(self.folder.join("redis.conf"));
            redis.args(self.is_sentinel.then_some("--sentinel"));
        })
        .map_err(wrong("cannot start Redis"))?;
        // The socket is ours alone, and opened after the port.
        let up = until("Redis to start", || {
            let ended = watch.ended().map_err(wrong("cannot wait for Redis"))?;
            Ok(ended.is_some() || self.cli(&["PING"])? == "PONG")
        });
        let ended = watch.ended().map_err(wrong("cannot wait for Redis"))?;
        if ended.is_some() || up.is_err() {
            let log = watch::log(&self.folder);
            return Err(RedisError(format!("Redis did not start: {log}")));
        }
        *state = State::Up(watch);
        Ok(())
    }

    /// Starts the server, which is down, without the data it had.
    ///
    /// # Errors
    /// If it is up, or does not start, with its log.
    ///
    /// ```
    /// # use samovar_testkit::redis::{RedisError, Server, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let server = Server::launch(&Setup::new().durable())?;
    /// server.cli(&["SET", "tea", "green"])?;
    /// server.kill()?;
    /// server.start_empty()?;
    /// assert_eq!(server.cli(&["EXISTS", "tea"])?, "0", "however durable it was");
    /// # Ok(())
    /// # }
    /// ```
    pub fn start_empty(&self) -> Result<()> {
        self.replace_data(None)?;
        self.start()
    }

    /// Starts the server, which is down, with the data of a snapshot.
    ///
    /// # Errors
    /// If it is up, or does not start, with its log.
    ///
    /// ```
    /// # use samovar_testkit::redis::{RedisError, Server, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let server = Server::launch(&Setup::new().durable())?;
    /// server.cli(&["SET", "tea", "green"])?;
    /// let older = server.snapshot()?;
    /// server.cli(&["SET", "tea", "black"])?;
    /// server.kill()?;
    /// server.start_from(&older)?;
    /// assert_eq!(server.cli(&["GET", "tea"])?, "green");
    /// # Ok(())
    /// # }
    /// ```
    pub fn start_from(&self, snapshot: &Snapshot) -> Result<()> {
        self.replace_data(Some(&snapshot.0))?;
        self.start()
    }

    fn replace_data(&self, by: Option<&Path>) -> Result<()> {
        let _down = self.down()?;
        let data = self.folder.join("data");
        watch::remove(&data);
        match by {
            Some(by) => copy(by, &data),
            None => fs::create_dir(&data).map_err(wrong("cannot make a folder")),
        }
    }

    /// Keeps a copy of the data as they are now. The server stands still meanwhile.
    ///
    /// # Errors
    /// If the server is not durable, or the copy fails.
    ///
    /// ```
    /// # use samovar_testkit::redis::{RedisError, Server, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let server = Server::launch(&Setup::new().durable())?;
    /// let _empty = server.snapshot()?;
    /// assert_eq!(server.cli(&["PING"])?, "PONG", "it goes on");
    /// let forgetful = Server::launch(&Setup::new())?;
    /// assert!(forgetful.snapshot().is_err(), "it keeps no data");
    /// # Ok(())
    /// # }
    /// ```
    pub fn snapshot(&self) -> Result<Snapshot> {
        if !self.setup.is_durable() {
            return Err(RedisError("nothing to keep: the setup is not durable".into()));
        }
        let number = self.snapshots.fetch_add(1, Ordering::Relaxed);
        let kept = self.folder.join(format!("snapshot-{number}"));
        let is_up = matches!(*self.state(), State::Up(_));
        if is_up {
            self.pause()?;
        }
        let copied = copy(&self.folder.join("data"), &kept);
        if is_up {
            self.resume()?;
        }
        copied.map(|()| Snapshot(kept))
    }

    /// Stops the server in its tracks (SIGSTOP): connections stay open and are made, and nothing is answered.
    ///
    /// # Errors
    /// If it is not up.
    ///
    /// ```
    /// # use std::io::{Read, Write};
    /// # use std::net::TcpStream;
    /// # use std::time::Duration;
    /// # use samovar_testkit::redis::{Server, Setup};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::launch(&Setup::new())?;
    /// server.pause()?;
    /// let mut client = TcpStream::connect(("127.0.0.1", server.port()))?;
    /// client.write_all(b"PING\r\n")?;
    /// client.set_read_timeout(Some(Duration::from_millis(20)))?;
    /// assert!(client.read(&mut [0; 5]).is_err(), "no answer in time");
    /// # Ok(())
    /// # }
    /// ```
    pub fn pause(&self) -> Result<()> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Down) {
            State::Up(watch) => {
                *state = State::Paused(watch);
                self.signal("STOP")
            }
            other => {
                *state = other;
                Err(RedisError("the server is not up".into()))
            }
        }
    }

    /// Lets a paused server go on (SIGCONT), with what was asked meanwhile.
    ///
    /// # Errors
    /// If it is not paused.
    ///
    /// ```
    /// # use std::io::{Read, Write};
    /// # use std::net::TcpStream;
    /// # use samovar_testkit::redis::{Server, Setup};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::launch(&Setup::new())?;
    /// server.pause()?;
    /// let mut client = TcpStream::connect(("127.0.0.1", server.port()))?;
    /// client.write_all(b"PING\r\n")?;
    /// server.resume()?;
    /// let mut answer = [0; 5];
    /// client.read_exact(&mut answer)?;
    /// assert_eq!(&answer, b"+PONG");
    /// # Ok(())
    /// # }
    /// ```
    pub fn resume(&self) -> Result<()> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Down) {
            State::Paused(watch) => {
                *state = State::Up(watch);
                self.signal("CONT")
            }
            other => {
                *state = other;
                Err(RedisError("the server is not paused".into()))
            }
        }
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let pid = fs::read_to_string(self.folder.join("pid")).map_err(wrong("no id of Redis"))?;
        run(Command::new("kill").args(["-s", signal, pid.trim()]))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have ended by itself.
        if let State::Up(watch) = &mut *state
            && watch.ended().is_ok_and(|ended| ended.is_some())
        {
            *state = State::Down;
        }
        state
    }

    fn is_up(&self) -> bool {
        matches!(*self.state(), State::Up(_))
    }

    /// The state of a server that is down.
    fn down(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state();
        match *state {
            State::Down => Ok(state),
            _ => Err(RedisError("the server is up: kill it first".into())),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        *self.state() = State::Down;
        watch::remove(&self.folder);
    }
}

fn free_port() -> Result<u16> {
    watch::free_port().map_err(wrong("cannot find a free port"))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    run(Command::new("cp").arg("-R").arg(from).arg(to))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().map_err(wrong("cannot run a program"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let failed = || RedisError(format!("{command:?} failed: {}", said.trim_end()));
    output.status.success().then_some(()).ok_or_else(failed)
}

/// Waits until something is so; an error counts as not yet.
fn until(what: &str, mut look: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look();
        if matches!(seen, Ok(true)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let why = seen.err().map(|e| format!(": {e}")).unwrap_or_default();
            return Err(RedisError(format!("waited in vain for {what}{why}")));
        }
        thread::sleep(watch::PAUSE);
    }
}
