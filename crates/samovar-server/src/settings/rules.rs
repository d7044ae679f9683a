//! The rules by which products and days are judged.

use samovar_levels::{DecliningRule, HealthRules, MarginRule, Schema, StandoutRules, StarRule};

use super::raw::{Reader, Table};

/// `[health]`: what makes a product a star, declining, or low in margin.
pub(super) fn health(reader: &mut Reader, mut table: Table) -> HealthRules {
    let HealthRules { star, declining, low_margin } = HealthRules::default();
    let rules = HealthRules {
        star: StarRule {
            min_growth: table.share(reader, "star_min_growth", star.min_growth, 0.0..=100.0),
            min_margin: table.share(reader, "star_min_margin", star.min_margin, -1.0..=1.0),
        },
        declining: DecliningRule {
            max_growth: table.share(
                reader,
                "declining_max_growth",
                declining.max_growth,
                -1.0..=0.0,
            ),
        },
        low_margin: MarginRule {
            max_margin: table.share(reader, "low_margin", low_margin.max_margin, -1.0..=1.0),
        },
    };
    table.finish(reader);
    rules
}

/// `[standouts]`: when a day stands out against its weekday.
pub(super) fn standouts(reader: &mut Reader, mut table: Table, schema: &Schema) -> StandoutRules {
    let default = StandoutRules::default();
    let measures = table.any_words(reader, "measures", "a list of names of measures");
    for name in &measures {
        let adds_up = schema.measure(name).is_some_and(|at| schema.measures[at].adds_up());
        if !adds_up {
            let known: Vec<&str> =
                schema.measures.iter().filter(|m| m.adds_up()).map(|m| &*m.name).collect();
            let allowed = format!("a measure that is a sum or a count: {}", known.join(", "));
            reader.problem(&table.path("measures"), &format!("{name:?}"), &allowed);
        }
    }
    let rules = StandoutRules {
        measures,
        min_score: table.share(reader, "min_score", default.min_score, 0.5..=1_000.0),
        min_change: table.share(reader, "min_change", default.min_change, 0.0..=1_000.0),
        min_days: table.number(reader, "min_days", default.min_days as i64, 3..=1_000) as usize,
        max_shown: table.number(reader, "max_shown", default.max_shown as i64, 0..=100) as usize,
    };
    table.finish(reader);
    rules
}
