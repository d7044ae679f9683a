//! A server that ends with the test that started it, in whatever way that ends.
//!
//! A shell watches over it that waits for its standard input to close, which it does with whoever holds the other end;
//! so nothing is left behind.

use std::hash::{BuildHasher, RandomState};
use std::io::{ErrorKind, Result, Write};
use std::net::{TcpListener, UdpSocket};
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::{fs, thread, time::Duration};

/// Between two looks at what is waited for.
pub(crate) const PAUSE: Duration = Duration::from_millis(5);

/// Tries to remove a folder: a child of the server may write its last file into it meanwhile.
const TRIES: usize = 20;

/// Starts what its arguments are and ends it by a signal when standard input closes. The folder is removed then,
/// unless that end says to keep it. It ignores the hang-up that the kernel sends to a group which loses its parent while
/// one of its processes, the server, is stopped.
const WATCH: &str = r#"
    exec 3<&0
    folder=$1; signal=$2; shift 2
    "$@" </dev/null >>"$folder/log" 2>&1 &
    server=$!
    trap '' HUP
    {
        read -r word <&3
        kill -s "$signal" $server
        while kill -0 $server; do sleep 0.02; done
        [ "$word" = keep ] || for try in 1 2 3 4 5; do rm -rf "$folder" && break; sleep 0.1; done
    } >/dev/null 2>&1 &
    exec 3<&-
    wait $server
"#;

/// A running program. It is ended when this is dropped, its folder kept, or when the process ends, its folder removed.
#[derive(Debug)]
pub(crate) struct Watched(Child);

impl Watched {
    /// Starts a program in its folder as `user`, if that is not us; `signal` is what ends it.
    pub(crate) fn start(
        program: &Path,
        folder: &Path,
        user: Option<&str>,
        signal: &str,
        with: impl FnOnce(&mut Command),
    ) -> Result<Watched> {
        let mut command = match user {
            Some(user) => {
                let mut as_user = Command::new("setpriv");
                as_user.arg(format!("--reuid={user}")).arg(format!("--regid={user}"));
                as_user.args(["--init-groups", "--", "sh"]);
                as_user
            }
            None => Command::new("sh"),
        };
        command.args(["-c", WATCH, "watch"]).arg(folder).arg(signal).arg(program);
        with(&mut command);
        // A folder where that user may be, and a group of its own: what ends the test's group leaves time to clean up.
        command
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map(Watched)
    }

    /// How the program ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.0.try_wait()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.0.stdin.take() {
            // If nobody reads it, the server has ended already.
            let _ = stdin.write_all(b"keep\n");
        }
        let _ = self.0.wait();
    }
}

/// What the programs of a folder said so far.
pub(crate) fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// Removes the folder of what has ended.
pub(crate) fn remove(folder: &Path) {
    for _ in 0..TRIES {
        if fs::remove_dir_all(folder).is_ok() || !folder.exists() {
            return;
        }
        thread::sleep(PAUSE);
    }
}

/// Below those that systems give to who asks for any, for its server or for a connection that it makes: a server that is
/// down for a while must find its port again, and nobody else in its place.
const PORTS: Range<u16> = 20_000..32_000;

/// A port of 127.0.0.1 that is free, and is given to nobody else here for as long as this process lives.
pub(crate) fn free_port() -> Result<u16> {
    // The same port of UDP stands for it: the system frees it, whatever the process ends by.
    static GIVEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let count = u64::from(PORTS.end - PORTS.start);
    let first = RandomState::new().hash_one(process::id()) % count;
    let ports = (0..count).map(|more| PORTS.start + ((first + more) % count) as u16);
    for port in ports {
        let Ok(own) = UdpSocket::bind(("127.0.0.1", port)) else { continue };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            GIVEN.lock().unwrap_or_else(PoisonError::into_inner).push(own);
            return Ok(port);
        }
    }
    Err(ErrorKind::AddrInUse.into())
}
