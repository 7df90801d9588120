//! `certgen mtls`: everything for mutual TLS in one go.

use std::process::ExitCode;

use certgen::{
    AuthorityConfig, AuthorityDirectory, CertificateAuthority, Credentials, Error, FileSet, LeafConfig,
    Profile, Validity,
};

use super::Outcome;
use super::arguments::MtlsOptions;
use super::interrupt::uninterrupted;
use super::leaf::file_name;
use super::report::Report;

pub(crate) fn run(options: &MtlsOptions) -> Outcome {
    let authority = CertificateAuthority::new(&AuthorityConfig::default().with_algorithm(options.algorithm))?;
    let issue = |config: LeafConfig, profile| -> Result<Credentials, Error> {
        let config = config.with_profile(profile).with_algorithm(options.algorithm);
        authority.issue(&config.with_validity(Validity::Days(options.days)))
    };
    let server = match options.server.as_slice() {
        [] => LeafConfig::default(),
        names => LeafConfig::new(names)?,
    };
    let mut made = vec![("server.pem".to_owned(), issue(server, Profile::Server)?)];
    for client in &options.clients {
        let config = LeafConfig::new([client])?;
        let file = file_name(&config.names[0].text());
        if file == "ca.pem" || made.iter().any(|(taken, _)| *taken == file) {
            let problem =
                format!("the client {client:?} would be in {file}, which is taken: use another name");
            return Err(Error::Config(problem));
        }
        made.push((file, issue(config, Profile::Client)?));
    }
    let folder = &options.folder;
    let directory = uninterrupted(|| {
        let mut files = FileSet::new();
        files.add_folder(folder)?;
        let directory = AuthorityDirectory::create(folder.join("ca"), authority, &mut files)?;
        files.add(folder.join("ca.pem"), directory.authority().certificate().pem().as_bytes(), 0o644)?;
        for (file, made) in &made {
            directory.record(made.certificate(), &mut files)?;
            files.add(folder.join(file), made.combined_pem().as_bytes(), 0o600)?;
        }
        files.commit().map(|()| directory)
    })?;
    let mut report = Report::new(options.quiet);
    report.made(&folder.join("ca.pem"), directory.authority().certificate());
    for (file, made) in &made {
        report.made(&folder.join(file), made.certificate());
    }
    report.note(&format!(
        "give ca.pem to both sides and each .pem file to its owner; keep {} to yourself",
        folder.join("ca").display()
    ));
    Ok(ExitCode::SUCCESS)
}
