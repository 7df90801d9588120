//! `certgen revoke` and `certgen crl`.

use std::process::ExitCode;

use certgen::{
    AuthorityDirectory, Certificate, Error, FileSet, RevocationList, RevocationReason, SerialNumber,
    Validity, display_day,
};

use super::Outcome;
use super::arguments::{CrlOptions, RevokeOptions};
use super::interrupt::uninterrupted;
use super::report::Report;

pub(crate) fn run(options: &RevokeOptions) -> Outcome {
    let directory = AuthorityDirectory::open(&options.authority)?;
    let mut serials = Vec::new();
    for file in &options.files {
        let certificate = Certificate::read(file)?;
        certificate
            .is_issued_by(directory.authority().certificate())
            .map_err(|error| Error::File { path: file.clone(), source: Box::new(error) })?;
        serials.push(certificate.serial().clone());
    }
    for serial in &options.serials {
        // A mistyped number would revoke nothing, and look as if it did.
        serials.push(directory.issued(serial)?.serial().clone());
    }
    let list = sign(&directory, &serials, options.reason, options.days)?;
    report(options.quiet, &directory, &list);
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn refresh(options: &CrlOptions) -> Outcome {
    let directory = AuthorityDirectory::open(&options.authority)?;
    let list = sign(&directory, &[], RevocationReason::Unspecified, options.days)?;
    report(options.quiet, &directory, &list);
    Ok(ExitCode::SUCCESS)
}

fn sign(
    directory: &AuthorityDirectory,
    serials: &[SerialNumber],
    reason: RevocationReason,
    days: u32,
) -> Result<RevocationList, Error> {
    uninterrupted(|| {
        let mut files = FileSet::new();
        let list = directory.revoke(serials, reason, Validity::Days(days), &mut files)?;
        files.commit().map(|()| list)
    })
}

fn report(quiet: bool, directory: &AuthorityDirectory, list: &RevocationList) {
    let count = list.revoked().len();
    let file = directory.path().join("crl.pem");
    let due = display_day(list.next_update());
    Report::new(quiet).note(&format!(
        "{}: {count} revoked; give it to every peer; the next update is due by {due} (certgen crl)",
        file.display()
    ));
}
