//! `certgen ca`.

use std::process::ExitCode;

use certgen::{AuthorityConfig, AuthorityDirectory, FileSet, Validity};

use super::Outcome;
use super::arguments::CaOptions;
use super::interrupt::uninterrupted;
use super::report::Report;

pub(crate) fn run(options: &CaOptions) -> Outcome {
    let mut config = match options.profile {
        Some(_) => AuthorityConfig::cables(),
        None => AuthorityConfig::default(),
    };
    config.name.clone_from(&options.name);
    config.algorithm = options.algorithm;
    config.validity = options.days.map_or(config.validity, Validity::Days);
    let authority = certgen::CertificateAuthority::new(&config)?;
    let directory = uninterrupted(|| {
        let mut files = FileSet::new();
        let directory = AuthorityDirectory::create(&options.folder, authority, &mut files)?;
        files.commit().map(|()| directory)
    })?;
    let mut report = Report::new(options.quiet);
    report.made(&options.folder, directory.authority().certificate());
    report.note("keep ca.key to yourself; give ca.pem to every peer");
    Ok(ExitCode::SUCCESS)
}
