//! The browser's process, and the protocol spoken with it: JSON messages that end in a zero byte.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, mem};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{BrowserError, Result};

/// How long one answer may take; starting cold on a busy machine is the slowest.
const ANSWER: Duration = Duration::from_secs(60);

/// How long the browser may take to quit before it is killed.
const QUIT: Duration = Duration::from_secs(60);

const FLAGS: &[&str] = &[
    "--headless",
    // The sandbox wants privileges that root and containers do not have; only our own pages load.
    "--no-sandbox",
    "--disable-gpu",
    // Containers have little shared memory.
    "--disable-dev-shm-usage",
    // Nothing leaves the machine, nothing pops up.
    "--no-proxy-server",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-features=Translate,MediaRouter,OptimizationHints",
    "--no-default-browser-check",
    "--no-first-run",
    // Names below .test lead to this machine: a page can be asked for as from elsewhere.
    "--host-resolver-rules=MAP *.test 127.0.0.1",
    "--no-startup-window",
    "--password-store=basic",
    "--use-mock-keychain",
    // The same picture everywhere.
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--lang=en-US",
    "--remote-debugging-pipe",
];

#[derive(Debug)]
pub(super) struct Wire {
    child: Child,
    commands: Option<ChildStdin>,
    messages: Receiver<Value>,
    session: Option<String>,
    last_id: u64,
    /// The loader whose document last fired its `load` event.
    loaded: String,
    /// What the page complained about.
    pub(super) console: Vec<String>,
    /// Removed after the browser has quit: fields are dropped after `drop` ran.
    pub(super) profile: TempDir,
}

impl Wire {
    pub(super) fn launch(program: &Path) -> Result<Self> {
        let fail =
            |error| BrowserError::new(format!("cannot start {}: {error}", program.display()));
        let profile = TempDir::with_prefix("samovar-browser-").map_err(fail)?;
        let log = fs::File::create(profile.path().join("log")).map_err(fail)?;
        // The protocol runs over descriptors 3 and 4; a shell puts our pipes there, and is replaced
        // by the browser.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#])
            .arg(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(fail)?;
        let commands = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().expect("the pipe was asked for"));
        let (sender, messages) = mpsc::channel();
        // Ends when the browser closes its end, or nobody listens any more.
        thread::spawn(move || {
            let mut message = Vec::new();
            while answers.read_until(0, &mut message).is_ok_and(|read| read > 0) {
                let end = message.len() - usize::from(message.ends_with(&[0]));
                let Ok(json) = serde_json::from_slice(&message[..end]) else { return };
                if sender.send(json).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut wire = Self {
            child,
            commands,
            messages,
            session: None,
            last_id: 0,
            loaded: String::new(),
            console: Vec::new(),
            profile,
        };
        let tab = wire.call("Target.createTarget", json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": tab["targetId"], "flatten": true });
        let attached = wire.call("Target.attachToTarget", attach)?;
        wire.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            wire.call(domain, json!({}))?;
        }
        wire.call("Page.setLifecycleEventsEnabled", json!({ "enabled": true }))?;
        Ok(wire)
    }

    /// Sends a command and returns its result.
    pub(super) fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.call_within(method, params, ANSWER)
    }

    fn call_within(&mut self, method: &str, params: Value, patience: Duration) -> Result<Value> {
        let deadline = Instant::now() + patience;
        self.last_id += 1;
        let id = self.last_id;
        self.send(id, method, params)?;
        loop {
            let mut message = self.receive(deadline, method)?;
            if message["id"] != id {
                continue;
            }
            if let Some(error) = message["error"]["message"].as_str() {
                return Err(BrowserError::new(format!("{method}: {error}")));
            }
            return Ok(message["result"].take());
        }
    }

    pub(super) fn evaluate(&mut self, js: &str, patience: Duration) -> Result<Value> {
        let params = json!({ "expression": js, "returnByValue": true, "awaitPromise": true,
                             "userGesture": true });
        let mut answer = self.call_within("Runtime.evaluate", params, patience + ANSWER)?;
        match answer.get("exceptionDetails") {
            None => Ok(answer["result"]["value"].take()),
            Some(details) => {
                let thrown = exception(details);
                Err(BrowserError::new(format!("evaluating `{js}`: {thrown}")))
            }
        }
    }

    pub(super) fn wait_for_load(&mut self, loader: &str, by: Instant, url: &str) -> Result<()> {
        while self.loaded != loader {
            self.receive(by, &format!("the load event of {url}"))?;
        }
        Ok(())
    }

    fn send(&mut self, id: u64, method: &str, params: Value) -> Result<()> {
        let mut message = json!({ "id": id, "method": method });
        message["params"] = params;
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        let sent =
            self.commands.as_mut().map(|pipe| pipe.write_all(&bytes).and_then(|()| pipe.flush()));
        if let Some(Ok(())) = sent { Ok(()) } else { Err(self.gone(method)) }
    }

    /// The next message; an event is noted before it is returned.
    fn receive(&mut self, deadline: Instant, what: &str) -> Result<Value> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.messages.recv_timeout(left) {
            Ok(message) => {
                self.note(&message);
                Ok(message)
            }
            Err(RecvTimeoutError::Timeout) => {
                Err(BrowserError::new(format!("the browser did not answer in time: {what}")))
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.gone(what)),
        }
    }

    fn note(&mut self, message: &Value) {
        let params = &message["params"];
        match message["method"].as_str() {
            Some("Page.lifecycleEvent") if params["name"] == "load" => {
                self.loaded = params["loaderId"].as_str().unwrap_or_default().to_owned();
            }
            Some("Runtime.consoleAPICalled")
                if params["type"] == "error" || params["type"] == "assert" =>
            {
                let words = params["args"].as_array().into_iter().flatten().map(remote_value);
                self.console
                    .push(format!("console.error: {}", words.collect::<Vec<_>>().join(" ")));
            }
            Some("Runtime.exceptionThrown") => {
                self.console.push(format!("uncaught: {}", exception(&params["exceptionDetails"])));
            }
            Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                let entry = &params["entry"];
                let text = entry["text"].as_str().unwrap_or_default();
                let url = entry["url"].as_str().unwrap_or_default();
                self.console.push(format!("{text} ({url})"));
            }
            _ => {}
        }
    }

    /// The error that the browser has gone away, with its last words.
    fn gone(&self, what: &str) -> BrowserError {
        let log = fs::read(self.profile.path().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(15)..].join("\n");
        BrowserError::new(format!("the browser has gone away ({what}). It said:\n{tail}"))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // Asked to quit it also ends its own children, which may still write to the profile; the
        // channel closes when it has. Without an answer it is killed.
        self.session = None;
        let id = self.last_id + 1;
        let asked = self.send(id, "Browser.close", json!({})).is_ok();
        drop(mem::take(&mut self.commands));
        let deadline = Instant::now() + QUIT;
        while asked && self.receive(deadline, "Browser.close").is_ok() {}
        // It may be dead already, or about to be; nothing is left to be done about an error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the page went to another document while an expression was evaluated in it.
pub(super) fn navigated(error: &BrowserError) -> bool {
    ["navigated or closed", "context was destroyed", "Cannot find context", "was collected"]
        .iter()
        .any(|sign| error.0.contains(sign))
}

fn exception(details: &Value) -> String {
    match &details["exception"] {
        Value::Null => details["text"].as_str().unwrap_or("an exception").to_owned(),
        thrown => remote_value(thrown),
    }
}

/// What a value inside the page looks like: its description, or itself as JSON.
fn remote_value(value: &Value) -> String {
    match (&value["description"], &value["value"]) {
        (Value::String(text), _) | (_, Value::String(text)) => text.clone(),
        (_, value) => value.to_string(),
    }
}
