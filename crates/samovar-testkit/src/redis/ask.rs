//! Commands, by `redis-cli`.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::{RedisError, Result, Server, wrong};

/// How long a command may take.
const ANSWERING: Duration = Duration::from_secs(20);

impl Server {
    /// Runs a command by `redis-cli` as the user that may do anything, and gives what it says: a line for each value,
    /// an empty one for none.
    ///
    /// # Errors
    /// If Redis refuses, with what it says, or does not answer for 20 s.
    ///
    /// ```
    /// # use samovar_testkit::redis::{RedisError, Server, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let server = Server::launch(&Setup::new())?;
    /// server.cli(&["SET", "tea", "green"])?;
    /// assert_eq!(server.cli(&["MGET", "tea", "cup", "tea"])?, "green\n\ngreen");
    /// let wrong = server.cli(&["INCR", "tea"]).expect_err("it is no number");
    /// assert!(wrong.to_string().contains("not an integer"), "{wrong}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn cli(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(self.programs.join("redis-cli"));
        // With `-e` an error is one for us, too.
        command.arg("-e").arg("-s").arg(self.socket()).env_remove("REDISCLI_AUTH");
        if let Some((name, password)) = &self.setup.user {
            command.args(["--user", name]).env("REDISCLI_AUTH", password);
        }
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut cli = command.spawn().map_err(wrong("cannot run redis-cli"))?;
        let (told, said) = (cli.stdout.take(), cli.stderr.take());
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let (mut answer, mut problem) = (Vec::new(), Vec::new());
            let read = told.map(|mut told| told.read_to_end(&mut answer));
            let also = said.map(|mut said| said.read_to_end(&mut problem));
            let whole = read.into_iter().chain(also).collect::<std::io::Result<Vec<_>>>();
            // Nobody listens if it took too long.
            let _ = sender.send(whole.map(|_| (answer, problem)));
        });
        let answer = receiver.recv_timeout(ANSWERING);
        if answer.is_err() {
            let _ = cli.kill();
        }
        let status = cli.wait().map_err(wrong("cannot wait for redis-cli"))?;
        let silent = |_| RedisError(format!("no answer to {words:?} within {ANSWERING:?}"));
        let (answer, problem) = answer.map_err(silent)?.map_err(wrong("cannot read redis-cli"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if status.success() {
            return Ok(text(answer.strip_suffix(b"\n").unwrap_or(&answer)));
        }
        Err(RedisError(format!("{words:?} failed: {}{}", text(&answer), text(&problem))))
    }

    /// Removes all keys.
    ///
    /// # Errors
    /// If Redis refuses.
    ///
    /// ```
    /// # use samovar_testkit::redis::{RedisError, Server, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let server = Server::launch(&Setup::new())?;
    /// server.cli(&["SET", "tea", "green"])?;
    /// server.flush()?;
    /// assert_eq!(server.cli(&["DBSIZE"])?, "0");
    /// # Ok(())
    /// # }
    /// ```
    pub fn flush(&self) -> Result<()> {
        self.cli(&["FLUSHALL"]).map(drop)
    }
}
