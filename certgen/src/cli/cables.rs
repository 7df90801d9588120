//! `certgen cables`.

use std::process::ExitCode;

use certgen::{CablesConfig, CablesIdentity, FileSet};

use super::Outcome;
use super::arguments::CablesOptions;
use super::interrupt::uninterrupted;
use super::report::Report;

pub(crate) fn run(options: &CablesOptions) -> Outcome {
    let mut config = if options.classic { CablesConfig::classic() } else { CablesConfig::default() };
    config.algorithm = options.algorithm.unwrap_or(config.algorithm);
    let identity = CablesIdentity::new(&config)?;
    uninterrupted(|| {
        let mut files = FileSet::new();
        identity.add_to(&mut files, &options.folder)?;
        files.commit()
    })?;
    let mut report = Report::new(options.quiet);
    report.made(&options.folder.join("certs/verify.pem"), identity.signer().certificate());
    report.note(&format!("user name {}", identity.user_name()));
    Ok(ExitCode::SUCCESS)
}
