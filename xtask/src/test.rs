//! `cargo xtask test`: every check, one after the other, and one line at the end that says how it
//! went.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use std::{env, fs, process};

use crate::browser::CHROMIUM;
use crate::count::Tally;
use crate::run::{cargo, show};
use crate::schemathesis::SCHEMATHESIS;
use crate::{house, postgres, redis, tools};

/// The file to which tests append why they skip; `samovar_testkit::skip` writes it.
const SKIPS: &str = "SAMOVAR_SKIPS";

/// Runs everything and goes on after a failure. `fast` leaves out the documentation.
pub(crate) fn run(root: &Path, fast: bool) -> ExitCode {
    let mut run = Run {
        root,
        chromium: None,
        postgres: None,
        redis: None,
        schemathesis: None,
        steps: Vec::new(),
    };
    run.step("tools", |run| {
        let components = tools::components().map(|()| println!("rustfmt, clippy: found"));
        let chromium = tools::chromium().map(|program| {
            println!("browser: {}", program.display());
            run.chromium = Some(program);
        });
        let postgres = tools::postgres().map(|folder| {
            println!("database: {}", folder.display());
            run.postgres = Some(folder);
        });
        let redis = tools::redis().map(|folder| {
            println!("redis: {}", folder.display());
            run.redis = Some(folder);
        });
        let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        // Tests run in other folders.
        let target = std::path::absolute(run.root.join(&target)).unwrap_or(target.into());
        let schemathesis = tools::schemathesis(&target).map(|program| {
            println!("client of the doors: {}", program.display());
            run.schemathesis = Some(program);
        });
        Tally::one(
            [components, chromium, postgres, redis, schemathesis]
                .into_iter()
                .filter_map(Result::err)
                .map(|e| println!("{e}"))
                .count()
                == 0,
        )
    });
    // What takes a second comes before what takes minutes.
    run.step("format", |run| run.check(&["fmt", "--all", "--check", "--", "--color", "never"]));
    run.step("house rules", |run| {
        let broken = house::check(run.root);
        broken.iter().for_each(|broken| println!("{broken}"));
        Tally::one(broken.is_empty())
    });
    if tools::deny() {
        // Without its advisories, which would need the network.
        run.step("licences and sources", |run| {
            run.check(&["deny", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"])
        });
    }
    run.step("lints", |run| {
        run.check(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])
    });
    // The workspace is built with the features that any of it asks for: a library's users may ask for none.
    run.step("lints without features", |run| {
        run.check(&["clippy", "--package", "samovar", "--lib", "--", "--deny", "warnings"])
    });
    run.step("tests", Run::tests);
    if !fast {
        run.step("documentation's examples", |run| {
            let outcome = show(&mut run.cargo(&["test", "--doc", "--workspace", "--no-fail-fast"]));
            Tally::of_run(outcome.ok, &outcome.output)
        });
        run.step("documentation", |run| {
            let doc = &mut run.cargo(&["doc", "--no-deps", "--workspace"]);
            Tally::one(show(doc.env("RUSTDOCFLAGS", "--deny warnings")).ok)
        });
    }
    run.summary()
}

struct Run<'a> {
    root: &'a Path,
    chromium: Option<PathBuf>,
    postgres: Option<PathBuf>,
    redis: Option<PathBuf>,
    schemathesis: Option<PathBuf>,
    steps: Vec<Step>,
}

struct Step {
    name: &'static str,
    took: Duration,
    tally: Tally,
}

impl Run<'_> {
    fn step(&mut self, name: &'static str, work: impl FnOnce(&mut Self) -> Tally) {
        println!("\n== {name}");
        let started = Instant::now();
        let tally = work(self);
        let took = started.elapsed();
        println!("== {name}: {tally}, {:.1} s", took.as_secs_f32());
        self.steps.push(Step { name, took, tally });
    }

    fn cargo(&self, words: &[&str]) -> Command {
        let mut command = Command::new(cargo());
        // The reader's own token would lock the tests out of their servers.
        command.args(words).current_dir(self.root).env_remove("SAMOVAR_TOKEN");
        if let Some(chromium) = &self.chromium {
            command.env(CHROMIUM, chromium);
        }
        if let Some(folder) = &self.postgres {
            command.env(postgres::BIN, folder);
        }
        if let Some(folder) = &self.redis {
            command.env(redis::BIN, folder);
        }
        if let Some(schemathesis) = &self.schemathesis {
            command.env(SCHEMATHESIS, schemathesis);
        }
        command
    }

    fn check(&self, words: &[&str]) -> Tally {
        Tally::one(show(&mut self.cargo(words)).ok)
    }

    /// The unit, property, integration and browser tests.
    fn tests(&mut self) -> Tally {
        let skips = env::temp_dir().join(format!("samovar-skips-{}", process::id()));
        let nextest = tools::nextest();
        let mut command = if nextest {
            self.cargo(&[
                "nextest",
                "run",
                "--workspace",
                "--no-fail-fast",
                "--no-tests=pass",
                "--config-file",
                "xtask/nextest.toml",
            ])
        } else {
            println!(
                "no cargo-nextest here (`cargo install cargo-nextest --locked`): plain cargo test does"
            );
            self.cargo(&["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"])
        };
        let outcome = show(command.env(SKIPS, &skips));
        // No file: no skips.
        let skipped = fs::read_to_string(&skips).unwrap_or_default();
        let _ = fs::remove_file(&skips);
        print!("{skipped}");
        let tally = Tally::of_run(outcome.ok, &outcome.output);
        if nextest && tally.skipped > 0 {
            self.name_ignored();
        }
        tally.skipping(skipped.lines().count())
    }

    /// Names the tests marked `#[ignore]`: nextest only counts them.
    fn name_ignored(&self) {
        let words = ["nextest", "list", "--workspace", "--run-ignored", "only"];
        let list = self.cargo(&words).args(["--message-format", "oneline"]).output();
        let names = list.map(|list| String::from_utf8_lossy(&list.stdout).into_owned());
        names.unwrap_or_default().lines().for_each(|name| println!("SKIPPED {name}: ignored"));
    }

    fn summary(&self) -> ExitCode {
        println!("\n== summary");
        for step in &self.steps {
            let word = if step.tally.failed == 0 { "ok" } else { "FAILED" };
            println!("{:<6} {:>7.1} s  {}", word, step.took.as_secs_f32(), step.name);
        }
        let tally: Tally = self.steps.iter().map(|step| step.tally).sum();
        println!("{tally}");
        ExitCode::from(u8::from(tally.failed > 0))
    }
}
