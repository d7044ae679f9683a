//! What the tests need beside the toolchain; installed where we may.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::browser;
use crate::postgres;
use crate::redis;
use crate::run::{cargo, show, succeeds};
use crate::schemathesis;

/// Whether `cargo nextest` is here. It is not installed: compiling it takes longer than all tests.
pub(crate) fn nextest() -> bool {
    succeeds(Command::new(cargo()).args(["nextest", "--version"]))
}

/// Whether `cargo deny` is here.
pub(crate) fn deny() -> bool {
    succeeds(Command::new(cargo()).args(["deny", "--version"]))
}

/// Sees to rustfmt and clippy, which a minimal toolchain lacks.
pub(crate) fn components() -> Result<(), String> {
    let has = |tool: &str| succeeds(Command::new(cargo()).args([tool, "--version"]));
    if has("fmt") && has("clippy") {
        return Ok(());
    }
    let add = ["component", "add", "rustfmt", "clippy"];
    if show(Command::new("rustup").args(add)).ok && has("fmt") && has("clippy") {
        return Ok(());
    }
    Err(format!("install rustfmt and clippy for this toolchain: `rustup {}`", add.join(" ")))
}

/// Finds a Chromium that runs; else installs it from the distribution's packages, if it may.
pub(crate) fn chromium() -> Result<PathBuf, String> {
    let find = || {
        let program = browser::find()?;
        // A program of this name may be a stub that only says where to get the real one.
        runs(&program, "another Chromium or Chrome and name it", browser::CHROMIUM)?;
        Ok(program)
    };
    installed(find, browser::CHROMIUM, "chromium")
}

/// Finds the programs of a PostgreSQL server that run; else installs it from the distribution's packages, if it may.
pub(crate) fn postgres() -> Result<PathBuf, String> {
    let find = || {
        let folder = postgres::find()?;
        let initdb = folder.join("initdb");
        runs(&initdb, "another PostgreSQL and name its folder", postgres::BIN)?;
        Ok(folder)
    };
    installed(find, postgres::BIN, "postgresql")
}

/// Finds the programs of a Redis server that run; else installs it from the distribution's packages, if it may.
pub(crate) fn redis() -> Result<PathBuf, String> {
    let find = || {
        let folder = redis::find()?;
        let server = folder.join("redis-server");
        runs(&server, "another Redis and name its folder", redis::BIN)?;
        let told = Command::new(&server).arg("--version").output();
        let told = told.map_err(|e| format!("cannot run {}: {e}", server.display()))?;
        let told = String::from_utf8_lossy(&told.stdout);
        if is_new_enough(&told) {
            return Ok(folder);
        }
        Err(format!(
            "{} is no Redis 7.0 or newer ({}). Install one and name its folder in {}",
            server.display(),
            told.trim_end(),
            redis::BIN
        ))
    };
    installed(find, redis::BIN, "redis-server")
}

/// Whether Redis is new enough, by what it tells of itself: `Redis server v=7.0.15 sha=…`.
fn is_new_enough(told: &str) -> bool {
    let version = told.split_once("v=").and_then(|(_, version)| version.split_once('.'));
    version.is_some_and(|(major, _)| major.parse().is_ok_and(|major: u32| major >= 7))
}

/// What is found; else it is looked for again after its package was installed, if `variable` does not name it.
fn installed(
    find: impl Fn() -> Result<PathBuf, String>,
    variable: &str,
    package: &str,
) -> Result<PathBuf, String> {
    match find() {
        Ok(found) => return Ok(found),
        // Named, but wrong: not ours to mend.
        Err(problem) if std::env::var_os(variable).is_some() => return Err(problem),
        Err(_) => {}
    }
    if apt_get(&["update"]) && apt_get(&["install", "--yes", "--no-install-recommends", package]) {
        println!("installed {package} from the distribution's packages");
    }
    find()
}

/// Finds the Schemathesis that the tests ask; else installs it into an environment of its own below `target`.
pub(crate) fn schemathesis(target: &Path) -> Result<PathBuf, String> {
    let found = schemathesis::find(target);
    if std::env::var_os(schemathesis::SCHEMATHESIS).is_some() {
        return found;
    }
    let version = |program: &Path| {
        let told = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        told.is_ok_and(|told| {
            String::from_utf8_lossy(&told.stdout).trim_end().ends_with(schemathesis::VERSION)
        })
    };
    if found.as_deref().is_ok_and(version) {
        return found;
    }
    let environment = schemathesis::environment(target);
    let package = format!("schemathesis=={}", schemathesis::VERSION);
    let words = ["install", "--quiet", "--disable-pip-version-check", &package];
    if show(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment)).ok
        && show(Command::new(environment.join("bin").join("pip")).args(words)).ok
    {
        println!("installed {package} below {}", target.display());
    }
    schemathesis::find(target).and_then(|program| match version(&program) {
        true => Ok(program),
        false => Err(format!(
            "{} is not {package}: remove {} and try again with a network, or name the program `st` in {}",
            program.display(),
            environment.display(),
            schemathesis::SCHEMATHESIS
        )),
    })
}

fn runs(program: &Path, instead: &str, variable: &str) -> Result<(), String> {
    if succeeds(Command::new(program).arg("--version").stdin(Stdio::null())) {
        return Ok(());
    }
    let program = program.display();
    Err(format!("{program} does not run. Install {instead} in {variable}"))
}

/// Runs `apt-get` if there is one, and if we are root or may become it without a password.
fn apt_get(words: &[&str]) -> bool {
    if !succeeds(Command::new("apt-get").arg("--version")) {
        return false;
    }
    let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0");
    let mut command = if root {
        Command::new("env")
    } else if succeeds(Command::new("sudo").args(["-n", "true"])) {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "env"]);
        sudo
    } else {
        return false;
    };
    show(command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]).args(words)).ok
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_redis_is_none() {
        assert!(is_new_enough(
            "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"
        ));
        assert!(is_new_enough("Redis server v=10.2.0 sha=00000000:0"));
        assert!(!is_new_enough("Redis server v=6.2.14 sha=00000000:0"));
        assert!(!is_new_enough(""));
    }

    #[test]
    fn what_is_named_is_not_mended() {
        let problem = || Err("wrong".to_owned());
        // Cargo sets this one, so nothing may be installed.
        assert_eq!(
            installed(problem, "CARGO_MANIFEST_DIR", "no-such-package"),
            Err("wrong".into())
        );
    }
}
