//! What runs on the server: each script sees the whole log, on one slot, at one moment.

use std::sync::LazyLock;
use std::time::Duration;

use ::redis::{Cmd, Value, cmd};
use samovar_core::{Epoch, Error, ErrorKind, History, Snapshot, Version};

use crate::fence::saved;
use crate::lease::lead;
use crate::random;
use crate::redis::{Connection, plain};

/// In a Redis that is full too: to lose an invalidation is worse than a few bytes.
const FLAGS: &str = "#!lua flags=allow-oom\n";
const LOG: &str = include_str!("log.lua");

static APPEND: LazyLock<Script> = LazyLock::new(|| script(include_str!("append.lua")));
static LOOK: LazyLock<Script> = LazyLock::new(|| script(include_str!("look.lua")));
static RENEW: LazyLock<Script> = LazyLock::new(|| script(include_str!("renew.lua")));
static FOUND: LazyLock<Script> = LazyLock::new(|| script(include_str!("found.lua")));

struct Script {
    text: String,
    /// By which a server knows it that has run it before.
    hash: String,
}

fn script(body: &str) -> Script {
    let text = [FLAGS, LOG, body].concat();
    let hash = ::redis::Script::new(&text).get_hash().to_owned();
    Script { text, hash }
}

/// Where the log lies: all keys on one slot.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) stream: String,
    pub(super) meta: String,
    /// That this node lives.
    pub(super) node: String,
    /// What somebody knew of the log, for those who join.
    pub(super) table: String,
    /// Who writes that, and that it was written not long ago.
    pub(super) turn: String,
}

impl Keys {
    pub(super) fn new(namespace: &str) -> Result<Keys, Error> {
        let key = |of: &str| format!("{{{namespace}log}}:{of}");
        let node = format!("node:{:016x}", random::number()?);
        Ok(Keys {
            stream: key("marks"),
            meta: key("meta"),
            node: key(&node),
            table: key("table"),
            turn: key("table:turn"),
        })
    }
}

/// How the log stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) history: History,
    /// It holds what comes after this number …
    pub(super) first: u64,
    /// … up to this one.
    pub(super) last: u64,
}

/// What an append came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Appended {
    At(Version),
    /// The head is another than was demanded.
    GoneOn,
    /// There is no log.
    NoLog,
}

/// The scripts on one connection.
pub(super) struct Scripts {
    pub(super) connection: Connection,
    pub(super) keys: Keys,
    /// About how many marks the log holds.
    pub(super) keep: u64,
    /// So many replicas have to confirm what is written, within this time.
    pub(super) replicas: u32,
    pub(super) patience: Duration,
}

impl Scripts {
    /// How the log stands, for somebody who has read it up to a number; `None` if there is none.
    pub(super) async fn look(
        &self,
        known: Option<(&History, u64)>,
    ) -> Result<Option<Stand>, Error> {
        let known = known.and_then(|(history, read)| Some((history.epoch()?, read)));
        let mut arguments = vec![name()?.to_string()];
        if let Some((epoch, read)) = known {
            arguments.extend([epoch.to_string(), read.to_string()]);
        }
        let answer = self.run(&LOOK, None, &arguments, &[]).await?;
        match &words(&answer)?[..] {
            ["none"] => Ok(None),
            ["at", history, first, last] => Ok(Some(Stand {
                history: read_history(history)?,
                first: number(first)?,
                last: number(last)?,
            })),
            other => Err(strange(other)),
        }
    }

    /// Appends marks as they are stored.
    pub(super) async fn append(
        &self,
        marks: &[Vec<u8>],
        head: Option<Version>,
    ) -> Result<Appended, Error> {
        let head = head.map(|head| head.to_string()).unwrap_or_default();
        let arguments = [name()?.to_string(), self.keep.to_string(), head];
        let answer = self.run(&APPEND, None, &arguments, marks).await?;
        match &words(&answer)?[..] {
            ["none"] => Ok(Appended::NoLog),
            ["on"] => Ok(Appended::GoneOn),
            ["at", epoch, seq] => {
                Ok(Appended::At(Version { epoch: read_epoch(epoch)?, seq: number(seq)? }))
            }
            other => Err(strange(other)),
        }
    }

    /// Founds the log from a position on a history, unless it is there. Whether it was.
    pub(super) async fn found(&self, history: Option<&History>, at: u64) -> Result<bool, Error> {
        let known = history.map(|history| write_history(history, at)).unwrap_or_default();
        let arguments = [name()?.to_string(), known, at.to_string()];
        let answer = self.run(&FOUND, None, &arguments, &[]).await?;
        match &words(&answer)?[..] {
            ["founded"] => Ok(true),
            ["there"] => Ok(false),
            other => Err(strange(other)),
        }
    }

    /// Writes that a node lives, and for how long that is taken for granted. The head of the log; `None` if it is gone.
    pub(super) async fn renew(
        &self,
        node: &str,
        lives: Duration,
    ) -> Result<Option<Version>, Error> {
        let arguments = [name()?.to_string(), lives.as_millis().max(1).to_string()];
        let answer = self.run(&RENEW, Some(node), &arguments, &[]).await?;
        match &words(&answer)?[..] {
            ["none"] => Ok(None),
            ["at", epoch, seq] => {
                Ok(Some(Version { epoch: read_epoch(epoch)?, seq: number(seq)? }))
            }
            other => Err(strange(other)),
        }
    }

    async fn run(
        &self,
        script: &Script,
        node: Option<&str>,
        arguments: &[String],
        marks: &[Vec<u8>],
    ) -> Result<Value, Error> {
        let fill = |mut command: Cmd| {
            command.arg(2 + usize::from(node.is_some()));
            command.arg(&self.keys.stream).arg(&self.keys.meta).arg(node).arg(arguments).arg(marks);
            command
        };
        let by_name = || {
            let mut command = cmd("EVALSHA");
            command.arg(&script.hash);
            command
        };
        let answer = match self.confirmed(fill(by_name())).await? {
            // It has never run there, or that server is a new one.
            Value::ServerError(error) if error.code() == "NOSCRIPT" => {
                let mut command = cmd("EVAL");
                command.arg(&script.text);
                self.confirmed(fill(command)).await?
            }
            answer => answer,
        };
        match answer {
            Value::ServerError(error) if error.code() == "SAMOVAR" => {
                let said = error.details().unwrap_or_default().to_owned();
                Err(Error::new(ErrorKind::Format, format!("redis: {said}")))
            }
            answer => plain(answer),
        }
    }
}

impl Scripts {
    /// What somebody knew of the log, if it can be read.
    pub(super) async fn table(&self) -> Result<Option<Snapshot>, Error> {
        let mut get = cmd("GET");
        get.arg(&self.keys.table);
        match plain(self.connection.one(&get).await?)? {
            Value::BulkString(bytes) => Ok(saved::decode(&bytes)),
            _ => Ok(None),
        }
    }

    /// Puts what is known beside the log, unless somebody did within this time. Whether it was done.
    pub(super) async fn leave_table(
        &self,
        every: Duration,
        known: &(dyn Fn() -> Option<Snapshot> + Send + Sync),
    ) -> Result<bool, Error> {
        if !lead(&self.connection, &self.keys.turn, &self.keys.node, every).await? {
            return Ok(false);
        }
        let Some(known) = known() else { return Ok(false) };
        let mut set = cmd("SET");
        set.arg(&self.keys.table).arg(saved::encode(known)?);
        plain(self.connection.one(&set).await?).map(|_| true)
    }

    /// The policy by which a server that is full may give up the log, too, if one says so.
    pub(super) async fn evicts_all(&self) -> Result<Option<String>, Error> {
        let mut info = cmd("INFO");
        info.arg("memory");
        let mut policies = Vec::new();
        // Who may not ask is told nothing.
        read_policies(&self.connection.one(&info).await?, &mut policies);
        Ok(policies.into_iter().find(|policy| policy.starts_with("allkeys-")))
    }

    /// The answer to a command, once as many replicas have what it wrote as are to.
    async fn confirmed(&self, command: Cmd) -> Result<Value, Error> {
        if self.replicas == 0 {
            return self.connection.one(&command).await;
        }
        let mut wait = cmd("WAIT");
        wait.arg(self.replicas).arg(self.patience.as_millis().max(1) as u64);
        let answers = self.connection.ask(vec![vec![command, wait]]).await;
        let mut values = answers.into_iter().next().transpose()?.unwrap_or_default().into_iter();
        match (values.next(), values.next()) {
            (Some(refused @ Value::ServerError(_)), _) => Ok(refused),
            (Some(answer), Some(Value::Int(confirmed)))
                if confirmed >= i64::from(self.replicas) =>
            {
                Ok(answer)
            }
            _ => {
                let text = format!(
                    "redis: fewer than {} replicas have confirmed within {:?} what was written",
                    self.replicas, self.patience
                );
                Err(Error::new(ErrorKind::Storage, text))
            }
        }
    }
}

/// The policies in an answer to `INFO`, which a cluster gives by node.
fn read_policies(answer: &Value, policies: &mut Vec<String>) {
    match answer {
        Value::Map(nodes) => nodes.iter().for_each(|(_, told)| read_policies(told, policies)),
        told => {
            let text = ::redis::from_redis_value_ref::<String>(told).unwrap_or_default();
            let found = text.lines().filter_map(|line| line.strip_prefix("maxmemory_policy:"));
            policies.extend(found.map(|policy| policy.trim().to_owned()));
        }
    }
}

/// A name for an epoch: random, so that it means nothing else anywhere.
fn name() -> Result<Epoch, Error> {
    random::number().map(Epoch)
}

fn strange(answer: &[&str]) -> Error {
    Error::new(ErrorKind::Format, format!("redis: the log answered {answer:?}; this is a bug"))
}

fn words(answer: &Value) -> Result<Vec<&str>, Error> {
    let Value::Array(values) = answer else { return Err(strange(&[])) };
    values
        .iter()
        .map(|value| match value {
            Value::BulkString(bytes) => std::str::from_utf8(bytes).map_err(|_| strange(&["bytes"])),
            Value::SimpleString(text) => Ok(text.as_str()),
            _ => Err(strange(&["something else"])),
        })
        .collect()
}

pub(super) fn number(text: &str) -> Result<u64, Error> {
    text.parse().map_err(|_| strange(&[text]))
}

pub(super) fn read_epoch(text: &str) -> Result<Epoch, Error> {
    u64::from_str_radix(text, 16).map(Epoch).map_err(|_| strange(&[text]))
}

fn read_history(text: &str) -> Result<History, Error> {
    let epoch = |part: &str| {
        let (name, start) = part.split_once(':').ok_or_else(|| strange(&[part]))?;
        Ok((read_epoch(name)?, number(start)?))
    };
    text.split(',').map(epoch).collect::<Result<Vec<_>, Error>>().map(History)
}

/// A history as far as a position.
fn write_history(history: &History, at: u64) -> String {
    let epochs = history.0.iter().filter(|(_, start)| *start <= at);
    epochs.map(|(name, start)| format!("{name}:{start}")).collect::<Vec<_>>().join(",")
}
