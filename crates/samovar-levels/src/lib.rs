//! Levels: raw rows of a store → metrics of a store-day → the diagnosis of any stores and days.
//!
//! A *level* says how far a value is derived, as a *tier* says where it is kept. Combinations of stores
//! are not warmed, there are too many; store-days are, and any combination is merged from them on
//! demand. What changed upstream recomputes only what depends on it: a change marks its store-day, that day
//! alone is read again, and where its state comes out equal nothing above it is computed anew.
//!
//! * [`Schema`]: the measures of a dataset, as states that merge.
//! * [`Engine`]: answers a [`Selection`] with an [`Answer`]: a body that is equal for equal data, and a [`Proof`].
//! * [`Query`]: any measures by any dimensions, answered with a [`Page`] of rows.
//! * [`HealthRules`]: what makes a product a star, and what a dead one.
//! * [`StandoutRules`]: when a day stands out against its weekday.
//!
//! Nothing here is stored but through the named caches of `samovar`: `members`, `raw`, `metrics`, `products`,
//! `results` and `heat`.

mod background;
mod derive;
mod diagnosis;
mod distinct;
mod engine;
mod health;
mod ints;
mod metrics;
mod names;
mod products;
mod proof;
mod query;
mod raw;
mod schema;
mod selection;
mod sketch;
mod standout;
mod store;
mod variance;

pub use distinct::STANDARD_ERROR as DISTINCT_ERROR;
pub use engine::{
    Answer, BLOCK_ROWS, Body, Dataset, Encoded, Encoding, Engine, EngineCounters, LEVELS,
    Lifetimes, Member, Members, Missing, PAYS, Phase, ProductMetrics, Queried, WarmReport, Warmth,
};
pub use health::{DecliningRule, Health, HealthRules, MarginRule, StarRule};
pub use proof::{Level, Proof, State};
pub use query::{
    By, Condition, Cursor, Dimension, Format, Is, NoPage, Order, Page, Query, id_order,
};
pub use schema::{Aggregate, Better, Column, Measure, Schema, Unit, fingerprint};
pub use selection::{Selection, Stores};
pub use sketch::RELATIVE_ERROR;
pub use standout::StandoutRules;
