//! `certgen check`.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::SystemTime;

use certgen::check::{CheckConfig, Severity, check};
use certgen::{Certificate, display_day, display_days};

use super::arguments::CheckOptions;
use super::{Outcome, chain};

/// The exit code if nothing can be said.
pub(crate) const UNKNOWN: i32 = 3;

pub(crate) fn run(options: &CheckOptions) -> Outcome {
    let authorities: Result<Vec<_>, _> = options.authorities.iter().map(Certificate::read).collect();
    let checked = authorities.and_then(|authorities| {
        let config = CheckConfig { within_days: options.within, authorities, ..CheckConfig::default() };
        check(&options.paths, &config)
    });
    let report = match checked {
        Ok(report) => report,
        Err(error) => {
            let _ = writeln!(io::stdout(), "UNKNOWN: {}", chain(&error));
            return Ok(ExitCode::from(3));
        }
    };
    let (word, code) = match report.severity() {
        None => ("OK", 0),
        Some(Severity::Warning) => ("WARNING", 1),
        Some(Severity::Critical) => ("CRITICAL", 2),
    };
    let (files, well) = match report.files {
        1 => ("1 file".to_owned(), "1 file is well".to_owned()),
        files => (format!("{files} files"), format!("{files} files are well")),
    };
    let mut text = match (&report.findings[..], &report.first_to_expire) {
        ([], Some((path, time))) => {
            let left = display_days(time.duration_since(SystemTime::now()).unwrap_or_default());
            let (path, day) = (path.display(), display_day(*time));
            format!("{word}: {well}; the first to expire is {path} on {day}, in {left}\n")
        }
        ([], None) => format!("{word}: {well}\n"),
        ([_], _) => format!("{word}: 1 problem in {files}\n"),
        (findings, _) => format!("{word}: {} problems in {files}\n", findings.len()),
    };
    for finding in &report.findings {
        text.push_str(&format!("{}: {}: {}\n", finding.severity, finding.path.display(), finding.problem));
    }
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::from(code))
}
