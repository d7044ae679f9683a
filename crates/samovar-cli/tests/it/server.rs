//! A running `samovar` and a client for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;

/// How long anything may take that only takes long when the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The first value that `look` finds; looks again until it does.
pub(crate) fn poll<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::park_timeout(Duration::from_millis(10));
    }
}

/// The command line, without what the environment would add.
pub(crate) fn samovar(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_samovar"));
    command.args(arguments);
    for name in [
        "SAMOVAR_TOKEN",
        "SAMOVAR_READ_TOKEN",
        "SAMOVAR_SERVER",
        "SAMOVAR_SOURCE_URL",
        "SAMOVAR_REDIS_URLS",
    ] {
        command.env_remove(name);
    }
    command
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    Ended::of(&mut samovar(arguments))
}

impl Ended {
    /// Runs a command to its end.
    pub(crate) fn of(command: &mut Command) -> Ended {
        let output = command.stdin(Stdio::null()).output().expect("it starts");
        Ended {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Host and port.
    pub(crate) host: String,
    lines: Mutex<Receiver<String>>,
    err: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a command that serves, and waits until it says where.
    pub(crate) fn start(mut command: Command) -> Server {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|l| sender.send(l)));
        let err = Arc::new(Mutex::new(String::new()));
        let (mut pipe, told) = (child.stderr.take().expect("it is piped"), Arc::clone(&err));
        let reader = thread::spawn(move || {
            let mut piece = [0; 4_096];
            while let Ok(n @ 1..) = pipe.read(&mut piece) {
                told.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..n]));
            }
        });
        let line = lines.recv_timeout(PATIENCE);
        let lines = Mutex::new(lines);
        let mut server = Server { child, host: String::new(), lines, err, reader: Some(reader) };
        let Ok(line) = line else {
            panic!("it does not say where it is: {}", server.told());
        };
        let host = line.strip_prefix("Samovar is on http://");
        server.host = host.unwrap_or_else(|| panic!("it says {line:?}")).to_string();
        server
    }

    /// What it has written to standard error so far.
    pub(crate) fn told(&self) -> String {
        self.err.lock().unwrap().clone()
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.host)
    }

    /// Waits until every store is warm.
    pub(crate) fn warm(self) -> Server {
        poll("every store to be warm", || {
            (self.get("/api/dataset").json()["phase"] == "warm").then_some(())
        });
        self
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[("Host", &self.host)], "")
    }

    /// An answer that must be there.
    pub(crate) fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Sends JSON, as a page of this server would.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        let headers = [("Host", &*self.host), ("Content-Type", "application/json")];
        self.ask("POST", path, &headers, &body.to_string())
    }

    /// Sends exactly these headers and what HTTP needs beside them.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let mut stream = TcpStream::connect(&self.host).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Answer::read(&bytes)
    }

    /// Tells it to stop, and waits for its end: the exit status and what it wrote to standard output.
    pub(crate) fn stop(mut self, signal: &str) -> (ExitStatus, Vec<String>) {
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("there is kill").success());
        let status = poll("its end", || self.child.try_wait().expect("it is ours"));
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        (status, self.lines.get_mut().unwrap().iter().collect())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn read(bytes: &[u8]) -> Answer {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_string()))
            .collect();
        Answer { status, headers, body: bytes[end + 4..].to_vec() }
    }

    /// A header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    /// A field of the proof.
    pub(crate) fn proof(&self, field: &str) -> &str {
        let proof = self.header("Samovar-Proof").split("; ");
        let found = proof.filter_map(|part| part.split_once('=')).find(|(name, _)| *name == field);
        found.unwrap_or_else(|| panic!("no {field} in {:?}", self.headers)).1
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }
}

/// A demo of a given size in a directory of its own.
#[derive(Debug)]
pub(crate) struct Demo {
    directory: tempfile::TempDir,
    stores: String,
    rows: String,
}

impl Demo {
    pub(crate) fn new(stores: u32, rows: u32) -> Demo {
        let directory = tempfile::tempdir().unwrap();
        Demo { directory, stores: stores.to_string(), rows: rows.to_string() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn data(&self) -> &str {
        self.path().to_str().unwrap()
    }

    /// Where the orders are.
    pub(crate) fn database_path(&self) -> PathBuf {
        self.path().join(format!("demo-{}x{}-seed2026.sqlite", self.stores, self.rows))
    }

    /// The orders, to compare with and to change.
    pub(crate) fn database(&self) -> Connection {
        open(&self.database_path())
    }

    pub(crate) fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let own = ["demo", "--stores", &self.stores, "--rows", &self.rows, "--data", self.data()];
        [&own, more].concat()
    }

    pub(crate) fn start(&self) -> Server {
        Server::start(samovar(&self.arguments(&["--port", "0"])))
    }
}

/// A database that a server may be reading.
pub(crate) fn open(path: &Path) -> Connection {
    let database = Connection::open(path).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    database
}

/// An amount in cents.
pub(crate) fn cents(amount: &Value) -> i64 {
    (amount.as_f64().unwrap_or_else(|| panic!("no amount: {amount}")) * 100.0).round() as i64
}
