//! `certgen FILE...`: self-signed certificates, as `make-dummy-cert` makes them.

use std::process::ExitCode;

use certgen::{FileSet, self_signed};

use super::Outcome;
use super::arguments::PlainOptions;
use super::interrupt::uninterrupted;
use super::report::Report;

pub(crate) fn run(options: &PlainOptions) -> Outcome {
    let config = options.kind.config(&options.names)?;
    let mut files = FileSet::new().with_replacing(options.output.force);
    options.files.iter().try_for_each(|file| files.check(file))?;
    // Keys may take seconds to make; from here on it takes milliseconds.
    let made = options.files.iter().map(|_| self_signed(&config)).collect::<Result<Vec<_>, _>>()?;
    uninterrupted(|| {
        for (file, made) in options.files.iter().zip(&made) {
            files.add(file, made.combined_pem().as_bytes(), 0o600)?;
        }
        files.commit()
    })?;
    let mut report = Report::new(options.output.quiet);
    for (file, made) in options.files.iter().zip(&made) {
        report.made(file, made.certificate());
    }
    Ok(ExitCode::SUCCESS)
}
