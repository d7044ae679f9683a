//! Counting tests from what their runners print.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

/// How many tests, or other checks, ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Tally {
    /// One check.
    pub(crate) fn one(ok: bool) -> Self {
        Self { passed: usize::from(ok), failed: usize::from(!ok), skipped: 0 }
    }

    /// The tests of a run of `cargo nextest`, or of `cargo test`, by its output. A run that failed
    /// without a failed test, because it did not compile, say, counts as one failure.
    pub(crate) fn of_run(ok: bool, output: &str) -> Self {
        let lines = || output.lines().map(str::trim_start);
        let nextest = |line: &str| {
            let (_, counts) = line.strip_prefix("Summary [")?.split_once("run:")?;
            Some(Self::of_counts(counts))
        };
        let libtest = |line: &str| {
            let (_, counts) = line.strip_prefix("test result: ")?.split_once('.')?;
            Some(Self::of_counts(counts))
        };
        // Nextest shows what a test that failed has printed: libtest's counts of that one are counted already.
        let by_nextest: Vec<Self> = lines().filter_map(nextest).collect();
        let mut tally: Self = match by_nextest.is_empty() {
            true => lines().filter_map(libtest).sum(),
            false => by_nextest.into_iter().sum(),
        };
        tally.failed = tally.failed.max(usize::from(!ok));
        tally
    }

    /// Reads counts such as `3 passed (1 slow, 1 leaky), 1 failed, 2 timed out, 4 skipped` of
    /// nextest or `3 passed; 1 failed; 4 ignored; 0 measured; 0 filtered out` of libtest.
    fn of_counts(counts: &str) -> Self {
        let mut tally = Self::default();
        let mut rest = counts.to_owned();
        while let (Some(open), Some(close)) = (rest.find('('), rest.find(')')) {
            rest.replace_range(open.min(close)..=close, "");
        }
        for count in rest.split([',', ';']) {
            let Some((number, word)) = count.trim().split_once(' ') else { continue };
            let number = number.parse().unwrap_or(0);
            match word.trim() {
                "passed" => tally.passed += number,
                "skipped" | "ignored" => tally.skipped += number,
                "failed" | "timed out" | "exec failed" => tally.failed += number,
                _ => {}
            }
        }
        tally
    }

    /// Moves the tests that said of themselves that they skip from the passed to the skipped.
    pub(crate) fn skipping(self, skips: usize) -> Self {
        let passed = self.passed.saturating_sub(skips);
        Self { passed, skipped: self.skipped + skips, ..self }
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: usize, failed: usize, skipped: usize) -> Tally {
        Tally { passed, failed, skipped }
    }

    #[test]
    fn reads_nextest() {
        let run = "     Summary [   3.055s] 12 tests run: 8 passed (1 slow, 1 leaky), 2 failed, \
                   1 timed out, 1 exec failed, 3 skipped\n        FAIL [ 1.056s] (4/9) it a::b\n";
        assert_eq!(Tally::of_run(false, run), tally(8, 4, 3));
        let one = "     Summary [   0.010s] 1 test run: 1 passed, 0 skipped";
        assert_eq!(Tally::of_run(true, one), tally(1, 0, 0));
        // What the test that failed had printed.
        let failed = "    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 9 filtered out\n\
                      Summary [ 1.010s] 2 tests run: 1 passed, 1 failed, 0 skipped";
        assert_eq!(Tally::of_run(false, failed), tally(1, 1, 0));
    }

    #[test]
    fn reads_libtest_and_adds_its_binaries_up() {
        let run = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 8 filtered out; \
                   finished in 1.04s\nnoise\n\
                   test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(Tally::of_run(false, run), tally(4, 2, 1));
    }

    #[test]
    fn a_run_that_did_not_compile_is_a_failure() {
        assert_eq!(Tally::of_run(false, "error: could not compile"), tally(0, 1, 0));
        assert_eq!(Tally::of_run(true, ""), tally(0, 0, 0));
    }

    #[test]
    fn speaks_the_last_line() {
        let all = tally(5, 0, 1).skipping(2) + Tally::one(true) + Tally::one(false);
        assert_eq!(all.to_string(), "4 passed, 1 failed, 3 skipped");
    }
}
