//! `certgen check`.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::SystemTime;

use certgen::check::{CheckConfig, Severity, check};
use certgen::{Certificate, display_day};

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
    let mut text = match (&report.findings[..], &report.first_to_expire) {
        ([], Some((path, time))) => {
            let left =
                time.duration_since(SystemTime::now()).map_or(0, |left| left.as_secs() / (24 * 60 * 60));
            format!(
                "{word}: {} files are well; the first to expire is {} on {}, in {left} days\n",
                report.files,
                path.display(),
                display_day(*time)
            )
        }
        ([], None) => format!("{word}: {} files are well\n", report.files),
        ([_], _) => format!("{word}: 1 problem in {} files\n", report.files),
        (findings, _) => format!("{word}: {} problems in {} files\n", findings.len(), report.files),
    };
    for finding in &report.findings {
        text.push_str(&format!("{}: {}: {}\n", finding.severity, finding.path.display(), finding.problem));
    }
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::from(code))
}
