//! Turns the rounds of a case into JSON lines and the table for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::cases::Case;
use crate::job::Outcome;
use crate::statistics::{median, percentile, spread};

/// What is reported of one subject in one case.
#[derive(Serialize)]
pub(crate) struct Line {
    case: String,
    subject: &'static str,
    unit: &'static str,
    /// The median of the rounds.
    median: f64,
    /// Only of round trips: the median of the rounds' 99th percentiles, in the unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    p99: Option<f64>,
    /// (largest - smallest round) / median.
    spread: f64,
    /// This median over that of `raw` in the same case; null if `raw` was not run.
    ratio_to_raw: Option<f64>,
    ratio_to_libzmq: Option<f64>,
    /// This median over that of each other subject of the case.
    ratios: BTreeMap<&'static str, f64>,
    rounds: usize,
    /// The rounds themselves, in their order: a spread does not tell an outlier from two modes.
    values: Vec<f64>,
    /// Only of what is measured in parts: the last round's parts, to see whether they are alike.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<f64>,
    /// How many cores other processes kept busy during the case: well above 0, the numbers are worthless.
    other_load: Option<f64>,
}

/// The number of one round, and its p99 if it has one.
fn score(outcome: &mut Outcome) -> Option<(f64, Option<f64>)> {
    match outcome {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        Outcome::Flow { elapsed, received } => Some((*received as f64 / elapsed.as_secs_f64(), None)),
        Outcome::Trips(trips) => {
            trips.sort_unstable();
            let micros = |percent| Some(percentile(trips, percent)?.as_secs_f64() * 1e6);
            Some((micros(50)?, Some(micros(99)?)))
        }
        Outcome::Each { amount, .. } => Some((*amount, None)),
    }
}

/// A line for each subject, in the order of the case.
pub(crate) fn lines(
    case: &Case,
    measured: Vec<(&'static str, Vec<Outcome>)>,
    other_load: Option<f64>,
) -> Vec<Line> {
    let mut lines = Vec::new();
    for (subject, mut outcomes) in measured {
        let scores: Vec<_> = outcomes.iter_mut().filter_map(score).collect();
        let values: Vec<_> = scores.iter().map(|(value, _)| *value).collect();
        let tails: Vec<_> = scores.iter().filter_map(|(_, tail)| *tail).collect();
        if let (Some(median_value), Some(spread)) = (median(&values), spread(&values)) {
            lines.push(Line {
                case: case.name.clone(),
                subject,
                unit: case.unit,
                median: median_value,
                p99: median(&tails),
                spread,
                ratio_to_raw: None,
                ratio_to_libzmq: None,
                ratios: BTreeMap::new(),
                rounds: values.len(),
                values,
                parts: match outcomes.pop() {
                    Some(Outcome::Each { parts, .. }) => parts,
                    _ => Vec::new(),
                },
                other_load,
            });
        }
    }
    let medians: Vec<_> = lines.iter().map(|line| (line.subject, line.median)).collect();
    for line in &mut lines {
        let others = medians.iter().filter(|(subject, _)| *subject != line.subject);
        line.ratios = others.map(|(subject, median)| (*subject, line.median / median)).collect();
        let to = |subject| {
            medians.iter().find(|(name, _)| *name == subject).map(|(_, median)| line.median / median)
        };
        (line.ratio_to_raw, line.ratio_to_libzmq) = (to("raw"), to("libzmq"));
    }
    lines
}

/// The table for people, a block a case, with the ratio of the case's first subject to each.
pub(crate) fn table(lines: &[Line]) -> String {
    let mut text = String::new();
    let mut case = "";
    for line in lines {
        let first = lines.iter().find(|first| first.case == line.case).unwrap_or(line);
        if line.case != case {
            case = &line.case;
            let over = format!("{}/this", first.subject);
            let _ = writeln!(text, "\n{case:<24} {:>14} {:>10} {:>7} {over:>10}", line.unit, "p99", "spread");
        }
        let _ = writeln!(
            text,
            "  {:<22} {:>14} {:>10} {:>6.1}% {:>10}",
            line.subject,
            number(line.median),
            line.p99.map_or_else(|| "-".into(), number),
            line.spread * 100.0,
            first.ratios.get(line.subject).map_or_else(|| "-".into(), |ratio| format!("{ratio:.3}")),
        );
        if !line.parts.is_empty() {
            let parts: Vec<_> = line.parts.iter().copied().map(number).collect();
            let _ = writeln!(text, "    parts: {}", parts.join(" "));
        }
    }
    text
}

/// Small numbers with a decimal, large ones whole and with their thousands apart.
fn number(value: f64) -> String {
    if value < 10_000.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_have_their_thousands_apart() {
        assert_eq!(number(1_234_567.4), "1_234_567");
        assert_eq!(number(123_456.0), "123_456");
        assert_eq!(number(31.25), "31.2");
    }
}
