//! `certgen renew`.

use std::path::PathBuf;
use std::process::ExitCode;

use certgen::{
    AuthorityDirectory, Certificate, Error, FileSet, LeafConfig, PemFile, PemSection, PemText, PrivateKey,
    Validity, self_signed, self_signed_for,
};
use zeroize::Zeroizing;

use super::Outcome;
use super::arguments::RenewOptions;
use super::interrupt::uninterrupted;
use super::report::Report;

/// A file with its new content.
struct Renewed<'a> {
    file: &'a PathBuf,
    content: Zeroizing<Vec<u8>>,
    certificate: Certificate,
}

pub(crate) fn run(options: &RenewOptions) -> Outcome {
    let directory = options.authority.as_ref().map(AuthorityDirectory::open).transpose()?;
    let mut renewed = Vec::new();
    for file in &options.files {
        let text = PemText::read(file)?;
        let in_file = |error| Error::File { path: file.clone(), source: Box::new(error) };
        let (content, certificate) = renew(&text, options, directory.as_ref()).map_err(in_file)?;
        renewed.push(Renewed { file, content, certificate });
    }
    uninterrupted(|| {
        let mut files = FileSet::new();
        for renewed in &renewed {
            if let Some(directory) = &directory {
                directory.record(&renewed.certificate, &mut files)?;
            }
            files.add_in_place_of(renewed.file, &renewed.content)?;
        }
        files.commit()
    })?;
    let mut report = Report::new(options.quiet);
    for Renewed { file, certificate, .. } in &renewed {
        report.made(file, certificate);
    }
    Ok(ExitCode::SUCCESS)
}

/// The new content of a file, and the certificate in it.
fn renew(
    text: &PemText,
    options: &RenewOptions,
    directory: Option<&AuthorityDirectory>,
) -> Result<(Zeroizing<Vec<u8>>, Certificate), Error> {
    let PemFile { mut keys, certificates, .. } = text.parse()?;
    let problem = |text: &str| Error::Config(text.to_owned());
    let Some(old) = certificates.first() else {
        return Err(problem("it has no certificate to renew"));
    };
    if old.is_authority() {
        return Err(problem(
            "it is an authority's: make a new authority with `certgen ca`, and issue from that",
        ));
    }
    let mut config = match options.profile {
        Some(profile) => LeafConfig::like_with(old, profile)?,
        None => LeafConfig::like(old)?,
    };
    config.validity = options.days.map_or(config.validity, Validity::Days);
    let key = keys.iter().position(|key| key.public_key() == old.public_key()).map(|at| keys.swap_remove(at));
    if key.is_none() && !keys.is_empty() {
        return Err(problem("its private key is not its certificate's"));
    }

    let (new_key, certificate) = match (directory, key) {
        (Some(directory), key) => {
            directory.check_in_force(old)?;
            let authority = directory.authority();
            match key {
                None => (None, authority.sign(old.public_key(), &config)?),
                Some(key) if options.keep_key => (None, authority.issue_for(&config, key)?.into_parts().1),
                Some(_) => with_key(authority.issue(&config)?),
            }
        }
        (None, _) if !old.is_self_issued() => {
            let problem =
                format!("it was issued by {}: name that authority's folder with --ca", old.issuer());
            return Err(Error::Config(problem));
        }
        (None, None) => {
            return Err(problem("it has no private key, which a self-signed certificate is renewed with"));
        }
        (None, Some(key)) if options.keep_key => (None, self_signed_for(&config, key)?.into_parts().1),
        (None, Some(_)) => with_key(self_signed(&config)?),
    };
    let content = text.replaced(|section| match section {
        PemSection::Certificate(found) if found == old => Some(certificate.pem().into()),
        PemSection::Key(found) if found.public_key() == old.public_key() => {
            new_key.as_ref().map(PrivateKey::pem)
        }
        _ => None,
    })?;
    Ok((content, certificate))
}

fn with_key(made: certgen::Credentials) -> (Option<PrivateKey>, Certificate) {
    let (key, certificate) = made.into_parts();
    (Some(key), certificate)
}
