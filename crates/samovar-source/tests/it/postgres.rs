//! PostgreSQL keeps the contract of a source, and what is its own.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use samovar_source::{Dataset, Limits, PostgresOptions, PostgresSource};
use samovar_testkit::postgres::{Database, Server, Types};
use samovar_testkit::source::{Fixture, suite};

/// A database of one's own with the tables that a script makes.
fn database(script: &str) -> Database<'static> {
    let database = Server::shared().unwrap().database().unwrap();
    database.run(script).unwrap();
    database
}

fn connect(database: &Database<'_>, dataset: Dataset, limits: Limits) -> PostgresSource {
    PostgresSource::connect(&PostgresOptions::new(database.url()), dataset, limits).unwrap()
}

fn make(fixture: &Fixture, types: Types) -> PostgresSource {
    let database = database("");
    database.fill(fixture, types).unwrap();
    connect(&database, fixture.dataset.clone(), fixture.limits)
}

#[test]
fn postgres_keeps_the_contract() {
    suite(|fixture| make(fixture, Types::Plain));
}

#[test]
fn postgres_keeps_the_contract_with_types_of_its_own() {
    suite(|fixture| make(fixture, Types::Native));
}
