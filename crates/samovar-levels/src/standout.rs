//! Days that stand out: against the same weekday, robustly, a few of them, each with its reason.
//!
//! A shop's Saturday is not its Tuesday, so a day is compared with the same weekday alone, within the period and the one
//! before it. The middle is the median, the spread the median absolute deviation (MAD); neither is moved by the very
//! days that stand out. The score is the *modified z-score* 0.6745 × (value − median) ÷ MAD, and a day stands out
//! from 3.5 on: B. Iglewicz and D. C. Hoaglin, *How to Detect and Handle Outliers*, ASQC Basic References in
//! Quality Control 16, 1993. Where more than half of the days are equal the MAD is zero; then the mean absolute
//! deviation takes its place, as (value − median) ÷ (1.2533 × mean deviation).

use samovar_core::Day;
use serde::Serialize;

/// When a day stands out, shown with every answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StandoutRules {
    /// Names of the measures that are looked at: sums and numbers of lines. Empty: the dataset's first, if it is one.
    pub measures: Vec<String>,
    /// Least modified z-score, up or down.
    pub min_score: f64,
    /// Least change against the median: 0.1 is 10 %. A shop that is always the same has no spread to speak of.
    pub min_change: f64,
    /// A day is judged if there are so many days of its weekday, itself included.
    pub min_days: usize,
    /// No more are shown: those with the greatest scores.
    pub max_shown: usize,
}

impl Default for StandoutRules {
    fn default() -> Self {
        StandoutRules {
            measures: Vec::new(),
            min_score: 3.5,
            min_change: 0.1,
            min_days: 4,
            max_shown: 5,
        }
    }
}

/// A day, and how far it is from what its weekday is like.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standout {
    pub(crate) day: Day,
    pub(crate) value: f64,
    /// The median of its weekday.
    pub(crate) expected: f64,
    /// Signed as the change is.
    pub(crate) score: f64,
    /// Days of its weekday that it was compared with, itself included.
    pub(crate) compared: usize,
}

/// What came of looking at a measure's days.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// How many had enough of their weekday to be compared with.
    pub(crate) days: usize,
    /// Those of them that stand out.
    pub(crate) found: Vec<Standout>,
}

/// The scale at which the MAD of a normal distribution is its standard deviation: its 75th percentile.
const MAD_SCALE: f64 = 0.674_5;
/// The same for the mean absolute deviation: the root of π ÷ 2.
const MEAN_SCALE: f64 = 1.253_314;

/// Judges the days from `from` on by their values among `days`, which ascend without gaps.
pub(crate) fn judge(rules: &StandoutRules, days: &[(Day, f64)], from: Day) -> Judged {
    let mut judged = Judged::default();
    for weekday in 0..7 {
        let same: Vec<&(Day, f64)> =
            days.iter().filter(|(day, _)| day.0.rem_euclid(7) == weekday).collect();
        if same.len() < rules.min_days.max(2) {
            continue;
        }
        let expected = median(same.iter().map(|(_, value)| *value));
        let away = || same.iter().map(|(_, value)| (value - expected).abs());
        let spread = match median(away()) / MAD_SCALE {
            0.0 => MEAN_SCALE * away().sum::<f64>() / same.len() as f64,
            spread => spread,
        };
        for (day, value) in same.iter().filter(|(day, _)| *day >= from) {
            judged.days += 1;
            let change = value - expected;
            let score = if spread > 0.0 { change / spread } else { 0.0 };
            if score.abs() >= rules.min_score && change.abs() >= rules.min_change * expected.abs() {
                let (day, value, compared) = (*day, *value, same.len());
                judged.found.push(Standout { day, value, expected, score, compared });
            }
        }
    }
    judged
}

/// The middle value; of an even number the mean of the two in the middle. 0 of nothing.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (Some(upper), 0) => f64::midpoint(sorted[middle - 1], *upper),
        (Some(middle), _) => *middle,
        (None, _) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: Day = Day(20_454);

    fn standouts(rules: &StandoutRules, days: &[(Day, f64)], from: Day) -> Vec<Standout> {
        judge(rules, days, from).found
    }

    /// Eight weeks with a strong weekly rhythm and a little noise.
    fn weeks() -> Vec<(Day, f64)> {
        let rhythm = [100.0, 110.0, 105.0, 120.0, 180.0, 260.0, 60.0];
        let noise = |n: i32| f64::from((n * 37) % 11 - 5) / 100.0;
        (0..56).map(|n| (FIRST.plus(n), rhythm[(n % 7) as usize] * (1.0 + noise(n)))).collect()
    }

    #[test]
    fn a_weekly_rhythm_does_not_stand_out() {
        assert_eq!(standouts(&StandoutRules::default(), &weeks(), FIRST.plus(28)), []);
    }

    #[test]
    fn a_strange_day_does_with_its_reason() {
        let mut days = weeks();
        days[40].1 = 20.0;
        days[47].1 *= 3.0;
        // As strange, but before the period that is looked at.
        days[3].1 = 0.0;
        let mut found = standouts(&StandoutRules::default(), &days, FIRST.plus(28));
        found.sort_by_key(|standout| standout.day);
        let told: Vec<_> = found.iter().map(|s| (s.day, s.value, s.compared)).collect();
        assert_eq!(told, [(days[40].0, 20.0, 8), (days[47].0, days[47].1, 8)]);
        assert!(found[0].score < -3.5 && found[1].score > 3.5);
        assert!((250.0..270.0).contains(&found[0].expected), "what its weekday is like");
    }

    #[test]
    fn where_all_are_equal_the_one_that_is_not_stands_out() {
        let mut days: Vec<_> = (0..56).map(|n| (FIRST.plus(n), 100.0)).collect();
        assert_eq!(standouts(&StandoutRules::default(), &days, FIRST), []);
        days[50].1 = 150.0;
        let found = standouts(&StandoutRules::default(), &days, FIRST);
        assert_eq!(found.iter().map(|s| s.day).collect::<Vec<_>>(), [days[50].0]);
        // Five per cent is no news, however even the shop is otherwise.
        days[50].1 = 105.0;
        assert_eq!(standouts(&StandoutRules::default(), &days, FIRST), []);
    }

    #[test]
    fn too_few_of_a_weekday_are_not_judged() {
        let mut days = weeks();
        days.truncate(21);
        days[20].1 = 0.0;
        let judged = judge(&StandoutRules::default(), &days, FIRST);
        assert_eq!((judged.days, judged.found), (0, Vec::new()));
        // A day more, and its weekday has four: those of the period looked at are judged.
        days.push((FIRST.plus(21), 100.0));
        assert_eq!(judge(&StandoutRules::default(), &days, FIRST).days, 4);
        assert_eq!(judge(&StandoutRules::default(), &days, FIRST.plus(14)).days, 2);
    }

    proptest! {
        /// Whatever the unit: a score depends on neither scale nor (but for the least change) on the level.
        #[test]
        fn scores_do_not_depend_on_the_unit(
            values in proptest::collection::vec(0i32..1_000, 28..70),
            scale in 1i32..50,
        ) {
            let rules = StandoutRules { min_change: 0.0, ..StandoutRules::default() };
            let days = |by: f64| -> Vec<(Day, f64)> {
                let value = |(n, value): (usize, &i32)| (FIRST.plus(n as i32), f64::from(*value) * by);
                values.iter().enumerate().map(value).collect()
            };
            let one = standouts(&rules, &days(1.0), FIRST);
            let other = standouts(&rules, &days(f64::from(scale)), FIRST);
            prop_assert_eq!(one.len(), other.len());
            for (a, b) in one.iter().zip(&other) {
                prop_assert!(a.day == b.day && (a.score - b.score).abs() < 1e-6 * a.score.abs());
            }
        }

        /// Fewer than half of a weekday's days, however wild, do not move what is expected of it.
        #[test]
        fn the_middle_is_not_moved_by_what_stands_out(wild in proptest::collection::vec(-1e6..1e6f64, 3)) {
            let mut days: Vec<_> = (0..56).map(|n| (FIRST.plus(n), 100.0 + f64::from(n / 7))).collect();
            for (week, value) in wild.iter().enumerate() {
                days[week * 7].1 = *value;
            }
            for standout in standouts(&StandoutRules::default(), &days, FIRST) {
                prop_assert!((100.0..=108.0).contains(&standout.expected));
                prop_assert!(standout.day.0.rem_euclid(7) == FIRST.0.rem_euclid(7));
            }
        }
    }
}
