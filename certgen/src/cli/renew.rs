//! `certgen renew`.

use std::path::PathBuf;
use std::process::ExitCode;

use certgen::{
    AuthorityDirectory, Certificate, Error, FileSet, LeafConfig, PemFile, PrivateKey, Validity, self_signed,
    self_signed_for,
};
use zeroize::Zeroizing;

use super::Outcome;
use super::arguments::RenewOptions;
use super::interrupt::uninterrupted;
use super::report::Report;

/// A file with its new content.
struct Renewed<'a> {
    file: &'a PathBuf,
    content: Zeroizing<String>,
    certificate: Certificate,
}

pub(crate) fn run(options: &RenewOptions) -> Outcome {
    let directory = options.authority.as_ref().map(AuthorityDirectory::open).transpose()?;
    let renew = |file| -> Result<Renewed<'_>, Error> {
        let old = PemFile::read(file)?;
        let in_file = |error| Error::File { path: PathBuf::clone(file), source: Box::new(error) };
        let (content, certificate) = renew(old, options, directory.as_ref()).map_err(in_file)?;
        Ok(Renewed { file, content, certificate })
    };
    let renewed = options.files.iter().map(renew).collect::<Result<Vec<_>, _>>()?;
    uninterrupted(|| {
        let mut files = FileSet::new();
        for renewed in &renewed {
            if let Some(directory) = &directory {
                directory.record(&renewed.certificate, &mut files)?;
            }
            files.add_in_place_of(renewed.file, renewed.content.as_bytes())?;
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
    old: PemFile,
    options: &RenewOptions,
    directory: Option<&AuthorityDirectory>,
) -> Result<(Zeroizing<String>, Certificate), Error> {
    let PemFile { mut keys, certificates, .. } = old;
    let problem = |text: &str| Error::Config(text.to_owned());
    let Some((old, chain)) = certificates.split_first() else {
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

    let (key, certificate) = match (directory, key) {
        (Some(directory), key) => {
            directory.check_in_force(old)?;
            let authority = directory.authority();
            match key {
                None => (None, authority.sign(old.public_key(), &config)?),
                Some(key) if options.keep_key => with_key(authority.issue_for(&config, key)?),
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
        (None, Some(key)) if options.keep_key => with_key(self_signed_for(&config, key)?),
        (None, Some(_)) => with_key(self_signed(&config)?),
    };
    Ok((content(key.as_ref(), &certificate, chain), certificate))
}

fn with_key(made: certgen::Credentials) -> (Option<PrivateKey>, Certificate) {
    let (key, certificate) = made.into_parts();
    (Some(key), certificate)
}

/// Key, empty line, certificate, and the chain as it was.
fn content(key: Option<&PrivateKey>, certificate: &Certificate, chain: &[Certificate]) -> Zeroizing<String> {
    let key = key.map_or_else(Default::default, PrivateKey::pem);
    let public: String = std::iter::once(certificate).chain(chain).map(Certificate::pem).collect();
    let mut text = Zeroizing::new(String::with_capacity(key.len() + 1 + public.len()));
    text.push_str(&key);
    if !key.is_empty() {
        text.push('\n');
    }
    text.push_str(&public);
    text
}
