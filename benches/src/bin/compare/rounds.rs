//! Sizes the runs of a case and interleaves its subjects over the rounds.

use std::time::Duration;

use crate::cases::{Amount, Case};
use crate::job::{Job, Outcome, Result, Work};

/// How much to measure.
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// How long one run of one subject should take.
    pub(crate) target: Duration,
}

/// What came out of a case.
pub(crate) struct Measured {
    /// The subjects that did every round, with an outcome a round.
    pub(crate) rounds: Vec<(&'static str, Vec<Outcome>)>,
    /// The subjects that failed, with why. They have no numbers: a partial median would hide the failure.
    pub(crate) failures: Vec<(&'static str, String)>,
}

/// A subject in the race, with the size of its runs.
struct Entrant {
    name: &'static str,
    work: Work,
    job: Job,
    outcomes: Vec<Outcome>,
    failure: Option<String>,
}

/// Runs every subject of the case once a round.
///
/// The machine's mood (frequency, neighbours, caches) drifts over seconds: interleaving spreads a drift over
/// all subjects, and rotating the order keeps one from always following the same other.
pub(crate) fn measure(case: &Case, plan: &Plan) -> Measured {
    let mut failures = Vec::new();
    let mut entrants = Vec::new();
    for &(name, work) in case.subjects {
        match calibrate(case, work, plan.target) {
            Ok(job) => entrants.push(Entrant { name, work, job, outcomes: Vec::new(), failure: None }),
            Err(error) => failures.push((name, error.to_string())),
        }
    }
    for round in 0..plan.rounds {
        for turn in 0..entrants.len() {
            let next = (round + turn) % entrants.len();
            let entrant = &mut entrants[next];
            if entrant.failure.is_some() {
                continue;
            }
            match run_checked(entrant.work, &entrant.job) {
                Ok(outcome) => entrant.outcomes.push(outcome),
                Err(error) => entrant.failure = Some(error.to_string()),
            }
        }
    }
    let mut rounds = Vec::new();
    for entrant in entrants {
        match entrant.failure {
            Some(failure) => failures.push((entrant.name, failure)),
            None => rounds.push((entrant.name, entrant.outcomes)),
        }
    }
    Measured { rounds, failures }
}

/// Finds the count of messages that takes about `target`, which also warms the subject up; a fixed count is taken as it is.
fn calibrate(case: &Case, work: Work, target: Duration) -> Result<Job> {
    const FIRST: u64 = 64;
    const LARGEST_STEP: f64 = 16.0;
    let mut job = Job { wire: case.wire, size: case.size, count: FIRST };
    if let Amount::Fixed(count) = case.amount {
        return Ok(Job { count, ..job });
    }
    loop {
        let elapsed = run_checked(work, &job)?.elapsed().ok_or("it is not timed")?;
        let missing = target.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
        job.count = scale(job.count, missing.min(LARGEST_STEP)).max(FIRST);
        // From a quarter of the target the rate is steady enough to extrapolate.
        if missing < 4.0 {
            return Ok(job);
        }
    }
}

/// `count * factor`, whole.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn scale(count: u64, factor: f64) -> u64 {
    // Counts stay far below 2^53, where this would lose anything but the fraction.
    (count as f64 * factor) as u64
}

/// One run. Losing messages is an error, not a number.
fn run_checked(work: Work, job: &Job) -> Result<Outcome> {
    let outcome = work(job)?;
    if outcome.completed() != job.count {
        return Err(format!("{} of {} messages arrived", outcome.completed(), job.count).into());
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Wire;

    fn complete(job: &Job) -> Result<Outcome> {
        Ok(Outcome::Flow { elapsed: Duration::from_micros(job.count), received: job.count })
    }

    fn lossy(job: &Job) -> Result<Outcome> {
        Ok(Outcome::Flow { elapsed: Duration::from_micros(job.count), received: job.count - 1 })
    }

    #[test]
    fn a_subject_that_loses_a_message_has_no_number() {
        let case = Case {
            name: "throughput/tcp/64".into(),
            unit: "messages/s",
            wire: Wire::Tcp,
            size: 64,
            amount: Amount::Timed,
            subjects: &[("lossy", lossy), ("complete", complete)],
        };
        let measured = measure(&case, &Plan { rounds: 3, target: Duration::from_millis(1) });
        assert_eq!(measured.failures, [("lossy", "63 of 64 messages arrived".into())]);
        let [(name, outcomes)] = measured.rounds.as_slice() else { panic!("one subject is left") };
        assert_eq!((*name, outcomes.len()), ("complete", 3));
    }
}
