//! `certgen sign`.

use std::process::ExitCode;

use certgen::{AuthorityDirectory, FileSet, LeafConfig, Request, Validity};

use super::Outcome;
use super::arguments::SignOptions;
use super::interrupt::uninterrupted;
use super::report::Report;

pub(crate) fn run(options: &SignOptions) -> Outcome {
    let request = Request::read(&options.request)?;
    let config = match options.names.as_slice() {
        [] => request.config()?,
        names => LeafConfig::new(names)?.with_profile(request.profile()),
    };
    let profile = options.profile.unwrap_or(config.profile);
    let config = config.with_profile(profile).with_validity(Validity::Days(options.days));
    let out = options.out.clone().unwrap_or_else(|| options.request.with_extension("pem"));
    let mut files = FileSet::new().with_replacing(options.output.force);
    files.check(&out)?;
    let directory = AuthorityDirectory::open(&options.authority)?;
    let certificate = directory.authority().sign(request.public_key(), &config)?;
    uninterrupted(|| {
        directory.record(&certificate, &mut files)?;
        files.add(&out, certificate.pem().as_bytes(), 0o644)?;
        files.commit()
    })?;
    Report::new(options.output.quiet).made(&out, &certificate);
    Ok(ExitCode::SUCCESS)
}
