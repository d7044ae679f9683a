//! Product health: a word for every product, by a rule that stands beside it.

use serde::Serialize;

/// The thresholds of the rule, shown with every answer.
///
/// A product is, by the first that holds: **dead** if it sold in the previous period and not in this one;
/// **low margin** below `low_margin.max_margin`; **declining** if its sales changed by `declining.max_growth` or
/// less; **star** if they grew by `star.min_growth` or more at a margin of `star.min_margin` or more; else **steady**.
/// Where the dataset has no profit, margins are not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HealthRules {
    /// What makes a star.
    pub star: StarRule,
    /// What counts as declining.
    pub declining: DecliningRule,
    /// What counts as a low margin.
    pub low_margin: MarginRule,
}

/// Growth and margin that make a star.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StarRule {
    /// Least growth of sales over the previous period: 0.1 is 10 %.
    pub min_growth: f64,
    /// Least margin: profit over sales.
    pub min_margin: f64,
}

/// Loss of sales that counts as decline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DecliningRule {
    /// Greatest growth, negative: −0.2 is a loss of 20 %.
    pub max_growth: f64,
}

/// Margin that counts as low.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MarginRule {
    /// Margins below this are low.
    pub max_margin: f64,
}

impl Default for HealthRules {
    fn default() -> Self {
        HealthRules {
            star: StarRule { min_growth: 0.1, min_margin: 0.2 },
            declining: DecliningRule { max_growth: -0.2 },
            low_margin: MarginRule { max_margin: 0.05 },
        }
    }
}

/// The words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Growing at a good margin.
    Star,
    /// None of the others.
    Steady,
    /// Losing sales.
    Declining,
    /// Sells at little or no profit.
    LowMargin,
    /// Sold before, not any more.
    Dead,
}

impl Health {
    /// All words, in the order they are shown.
    pub const ALL: [Health; 5] =
        [Health::Star, Health::Steady, Health::Declining, Health::LowMargin, Health::Dead];
}

impl HealthRules {
    /// The word for a product with these sales now and before, and this profit now.
    ///
    /// ```
    /// # use samovar_levels::{Health, HealthRules};
    /// let rules = HealthRules::default();
    /// assert_eq!(rules.judge(130.0, 100.0, Some(40.0)), Health::Star);
    /// assert_eq!(rules.judge(0.0, 100.0, None), Health::Dead);
    /// assert_eq!(rules.judge(50.0, 0.0, None), Health::Steady, "new: nothing to compare with");
    /// ```
    pub fn judge(&self, sales: f64, previous: f64, profit: Option<f64>) -> Health {
        if sales <= 0.0 {
            return if previous > 0.0 { Health::Dead } else { Health::Steady };
        }
        let margin = profit.map(|profit| profit / sales);
        let growth = (previous > 0.0).then(|| sales / previous - 1.0);
        if margin.is_some_and(|margin| margin < self.low_margin.max_margin) {
            Health::LowMargin
        } else if growth.is_some_and(|growth| growth <= self.declining.max_growth) {
            Health::Declining
        } else if growth.is_some_and(|growth| growth >= self.star.min_growth)
            && margin.is_none_or(|margin| margin >= self.star.min_margin)
        {
            Health::Star
        } else {
            Health::Steady
        }
    }
}
