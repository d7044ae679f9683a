//! `samovar init`: what it proposes is served as it is, and its figures are those of SQL.

mod doors;
mod journey;
mod shops;

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use samovar_server::Settings;
use samovar_testkit::postgres;
use serde_json::Value;

use crate::server::{Ended, Server, open, samovar};

/// A database in a folder of its own, where the configuration goes.
struct Shop {
    folder: tempfile::TempDir,
    database: Database,
}

enum Database {
    Sqlite(PathBuf),
    Postgres(postgres::Database<'static>),
}

impl Shop {
    fn sqlite(script: &str) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        let shop = Shop { folder, database: Database::Sqlite(path) };
        shop.run(script);
        shop
    }

    fn postgres(script: &str) -> Shop {
        let database = postgres::Server::shared().unwrap().database().unwrap();
        let shop =
            Shop { folder: tempfile::tempdir().unwrap(), database: Database::Postgres(database) };
        shop.run(script);
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The address, or the path as it is typed in the folder.
    fn address(&self) -> String {
        match &self.database {
            Database::Sqlite(_) => "shop.db".into(),
            Database::Postgres(database) => database.url(),
        }
    }

    fn run(&self, script: &str) {
        match &self.database {
            Database::Sqlite(path) => open(path).execute_batch(script).unwrap(),
            Database::Postgres(database) => drop(database.run(script).unwrap()),
        }
    }

    /// The rows of a query, values with bars between, in order.
    fn rows(&self, query: &str) -> Vec<String> {
        let mut rows: Vec<String> = match &self.database {
            Database::Sqlite(path) => {
                let database = open(path);
                let mut statement = database.prepare(query).unwrap();
                let width = statement.column_count();
                let text = |value: ValueRef<'_>| match value {
                    ValueRef::Null => String::new(),
                    ValueRef::Integer(number) => number.to_string(),
                    ValueRef::Real(number) => number.to_string(),
                    ValueRef::Text(text) | ValueRef::Blob(text) => {
                        String::from_utf8_lossy(text).into_owned()
                    }
                };
                let rows = statement.query_map([], |row| {
                    let cells: Vec<String> =
                        (0..width).map(|at| text(row.get_ref(at).unwrap())).collect();
                    Ok(cells.join("|"))
                });
                rows.unwrap().map(Result::unwrap).collect()
            }
            Database::Postgres(database) => {
                database.run(query).unwrap().lines().map(str::to_owned).collect()
            }
        };
        rows.sort();
        rows
    }

    /// `samovar init` in the folder.
    fn init(&self, more: &[&str]) -> Ended {
        let mut command = samovar(&[&["init", "--database", &self.address()], more].concat());
        Ended::of(command.current_dir(self.folder.path()))
    }

    /// What was proposed; it must have been.
    fn proposed(&self, more: &[&str]) -> Proposed {
        let ended = self.init(more);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        Proposed { text: fs::read_to_string(self.path("samovar.toml")).unwrap(), told: ended.out }
    }

    fn serve(&self) -> Server {
        let config = self.path("samovar.toml");
        let config = config.to_str().unwrap();
        Server::start(samovar(&["serve", "--config", config, "--port", "0"])).warm()
    }
}

/// A configuration that was written, and what was told.
struct Proposed {
    text: String,
    told: String,
}

impl Proposed {
    fn settings(&self, folder: &Path) -> Settings {
        Settings::parse(&self.text, folder).unwrap()
    }

    /// Whether all of this stands in the file, be it on several lines of a comment.
    fn says(&self, words: &[&str]) {
        let text = self.text.replace("\n# ", " ").replace("\n#   ", " ");
        for word in words {
            assert!(text.contains(word), "{word:?} is not in\n{}", self.text);
        }
    }

    fn lacks(&self, words: &[&str]) {
        for word in words {
            assert!(!self.text.contains(word), "{word:?} is in\n{}", self.text);
        }
    }

    /// The statements that would help, as they were printed.
    fn advice(&self) -> &str {
        let (_, advice) = self.told.split_once("nothing was changed there:\n").unwrap_or_default();
        advice.split("\nLook it over").next().unwrap_or_default()
    }
}

/// Whether one store's days can be sought.
fn seeks(shop: &Shop, proposed: &Proposed) -> bool {
    let source = proposed.settings(shop.folder.path()).open_source().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(source.describe()).unwrap().seeks
}

/// A measure, and by what it is multiplied to be a whole number.
type Scaled<'a> = (&'a str, f64);

/// The groups of an answer: dimensions and whole numbers with bars between, in order.
fn groups(server: &Server, selected: &str, by: &str, measures: &[Scaled<'_>]) -> Vec<String> {
    let names: Vec<&str> = measures.iter().map(|(name, _)| *name).collect();
    let names = names.join(",");
    let mut found = Vec::new();
    let mut path = format!("/api/query?{selected}&by={by}&measures={names}&limit=10000");
    loop {
        let answer = server.json(&path);
        for row in answer["rows"].as_array().unwrap() {
            let dimensions = by.split(',').map(|name| row[name].as_str().unwrap_or("").to_owned());
            let numbers = measures.iter().map(|(name, scale)| match row[*name].as_f64() {
                Some(number) => format!("{:.0}", (number * scale).round() + 0.0),
                None => String::new(),
            });
            found.push(dimensions.chain(numbers).collect::<Vec<_>>().join("|"));
        }
        let Some(next) = answer["next"].as_str() else { break };
        path = format!("/api/query?{selected}&by={by}&measures={names}&limit=10000&cursor={next}");
    }
    found.sort();
    found
}

/// The totals of a diagnosis.
fn totals(server: &Server, selected: &str, measures: &[Scaled<'_>]) -> Vec<i64> {
    let answer = server.json(&format!("/api/diagnosis?{selected}"));
    let value = |name: &str| match &answer["totals"][name]["value"] {
        Value::Null => 0.0,
        value => value.as_f64().unwrap(),
    };
    measures.iter().map(|(name, scale)| (value(name) * scale).round() as i64).collect()
}
