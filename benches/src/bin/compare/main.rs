//! `compare`: measures the same work on the library and its peers, side by side in one run.
//!
//! - `cases`: the table of what is measured, and by which subjects
//! - `subjects`: one file a subject, one function a kind of work
//! - `job`: what a subject is asked to do and what it answers
//! - `rounds`: sizing a run, and interleaving the subjects
//! - `report`, `statistics`: turning the rounds into JSON lines and a table
//! - `load`: noticing other programs at work meanwhile
//! - `network`: a loopback without TCP pacing, where the machine's would pace
//! - `pair`, `pin`, `sockets`: the two pinned threads that most subjects run on, and std sockets between them
//! - `process`: the processes that other subjects run in
//! - `patterns`: ZeroMQ's patterns between two of them

mod cases;
mod job;
mod load;
mod network;
mod pair;
mod patterns;
mod pin;
mod process;
mod report;
mod rounds;
mod sockets;
mod statistics;
mod subjects;

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use regex::Regex;

use crate::job::Result;
use crate::load::Load;
use crate::report::Line;
use crate::rounds::Plan;

/// The share of a core that other processes may take before a case is called disturbed.
const TOLERABLE_LOAD: f64 = 0.1;

/// Measures the same work on several message libraries, side by side in one run.
///
/// For each case every subject is run once a round, in an order that rotates, and the median of the rounds
/// is reported. Sender and receiver are threads of this process pinned to cores 0 and 1; leave both cores
/// idle. A subject which lost or damaged a message is reported as an error and has no number; the exit code
/// is then 1.
#[derive(Parser)]
#[command(name = "compare")]
struct Args {
    /// Run 5 rounds of about 0.15 s a subject instead of 7 of about 1 s.
    #[arg(long)]
    quick: bool,

    /// Run only the cases whose name matches, e.g. '^rtt/tcp' or '/64$'.
    #[arg(long, value_name = "REGEX")]
    only: Option<Regex>,

    /// Write the JSON lines to FILE instead of stdout. The table goes to stdout either way.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// List the names of the cases with their subjects, and measure nothing.
    #[arg(long)]
    list: bool,

    /// Stay in the machine's own network namespace, even if its TCP congestion control paces (bbr) and TCP
    /// throughput then varies severalfold from connection to connection.
    #[arg(long)]
    host_network: bool,
}

fn main() -> ExitCode {
    if let Some(played) = process::play(subjects::ROLES) {
        return if played.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    match run(&Args::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failures) => {
            eprintln!("compare: {failures} measurement(s) failed, see above");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the chosen cases and answers how many measurements failed.
fn run(args: &Args) -> Result<usize> {
    let mut cases = cases::all();
    if let Some(only) = &args.only {
        cases.retain(|case| only.is_match(&case.name));
    }
    if cases.is_empty() {
        return Err("no case has a name which matches --only (see --list)".into());
    }
    if args.list {
        for case in &cases {
            let subjects: Vec<_> = case.subjects.iter().map(|(name, _)| *name).collect();
            println!("{}: {}", case.name, subjects.join(" "));
        }
        return Ok(0);
    }
    if !args.host_network {
        network::avoid_pacing();
    }

    let plan = if args.quick {
        Plan { rounds: 5, target: Duration::from_millis(150) }
    } else {
        Plan { rounds: 7, target: Duration::from_secs(1) }
    };
    let mut json: Box<dyn Write> = match &args.json {
        Some(path) => {
            Box::new(File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()))?)
        }
        None => Box::new(io::stdout()),
    };

    let mut lines: Vec<Line> = Vec::new();
    let mut failures = 0;
    for case in &cases {
        let before = Load::now();
        let measured = rounds::measure(case, &plan);
        let other_load = before.and_then(|before| Some(Load::now()?.of_others_since(&before)));
        if let Some(load) = other_load.filter(|load| *load > TOLERABLE_LOAD) {
            eprintln!("compare: {}: other processes took {load:.2} of a core, measure it again", case.name);
        }
        for (subject, error) in &measured.failures {
            eprintln!("compare: {} {subject}: {error}", case.name);
        }
        failures += measured.failures.len();
        for line in report::lines(case, measured.rounds, other_load) {
            // Line by line, so that a long run can be watched and an interrupted one keeps what it has.
            writeln!(json, "{}", serde_json::to_string(&line)?)?;
            json.flush()?;
            lines.push(line);
        }
    }
    print!("{}", report::table(&lines));
    Ok(failures)
}
