//! What the tests need beside the toolchain; installed where we may.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::browser;
use crate::postgres;
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
    match browser::find().and_then(|program| runs(&program)) {
        Ok(program) => return Ok(program),
        // Named, but wrong: not ours to mend.
        Err(problem) if std::env::var_os(browser::CHROMIUM).is_some() => return Err(problem),
        Err(_) => {}
    }
    if apt_get(&["update"]) && apt_get(&["install", "--yes", "--no-install-recommends", "chromium"])
    {
        println!("installed Chromium from the distribution's packages");
    }
    browser::find().and_then(|program| runs(&program))
}

/// Finds the programs of a PostgreSQL server that run; else installs it from the distribution's packages, if it may.
pub(crate) fn postgres() -> Result<PathBuf, String> {
    match postgres::find().and_then(serves) {
        Ok(folder) => return Ok(folder),
        Err(problem) if std::env::var_os(postgres::BIN).is_some() => return Err(problem),
        Err(_) => {}
    }
    if apt_get(&["update"])
        && apt_get(&["install", "--yes", "--no-install-recommends", "postgresql"])
    {
        println!("installed PostgreSQL from the distribution's packages");
    }
    postgres::find().and_then(serves)
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

fn serves(folder: PathBuf) -> Result<PathBuf, String> {
    let initdb = folder.join("initdb");
    if succeeds(Command::new(&initdb).arg("--version").stdin(Stdio::null())) {
        return Ok(folder);
    }
    let initdb = initdb.display();
    Err(format!(
        "{initdb} does not run. Install another PostgreSQL and name its folder in {}",
        postgres::BIN
    ))
}

/// A program of this name may be a stub that only says where to get the real one.
fn runs(program: &Path) -> Result<PathBuf, String> {
    if succeeds(Command::new(program).arg("--version").stdin(Stdio::null())) {
        return Ok(program.to_owned());
    }
    let program = program.display();
    Err(format!(
        "{program} does not run. Install another Chromium or Chrome and name it in {}",
        browser::CHROMIUM
    ))
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
