//! `certgen csr`.

use std::path::PathBuf;
use std::process::ExitCode;

use certgen::{Error, FileSet, LeafConfig, Name, PemFile, PrivateKey, Request};

use super::Outcome;
use super::arguments::CsrOptions;
use super::interrupt::uninterrupted;
use super::leaf::file_name;
use super::report::Report;

pub(crate) fn run(options: &CsrOptions) -> Outcome {
    let config = match options.names.as_slice() {
        [] => LeafConfig::for_profile(options.profile)?,
        names => LeafConfig::new(names)?.with_profile(options.profile),
    };
    let first = config.names.first().map_or_else(|| "request".to_owned(), Name::text);
    let out = options.out.clone().unwrap_or_else(|| PathBuf::from(file_name(&first)).with_extension("csr"));
    let mut files = FileSet::new().with_replacing(options.output.force);
    files.check(&out)?;
    let (key, key_out) = match &options.key {
        Some(file) => (read_key(file)?, None),
        None => {
            let key_out = options.key_out.clone().unwrap_or_else(|| out.with_extension("key"));
            files.check(&key_out)?;
            let algorithm = options.algorithm.unwrap_or(options.profile.default_algorithm());
            (PrivateKey::generate(algorithm)?, Some(key_out))
        }
    };
    let request = Request::new(&config, &key)?;
    uninterrupted(|| {
        if let Some(key_out) = &key_out {
            files.add(key_out, key.pem().as_bytes(), 0o600)?;
        }
        files.add(&out, request.pem().as_bytes(), 0o644)?;
        files.commit()
    })?;
    let mut report = Report::new(options.output.quiet);
    let names: Vec<_> = request.names().iter().map(Name::text).collect();
    report.note(&format!("{}: asks for {}; give it to the authority", out.display(), names.join(", ")));
    if let Some(key_out) = &key_out {
        report.note(&format!("{}: its private key; keep it to yourself", key_out.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn read_key(file: &PathBuf) -> Result<PrivateKey, Error> {
    let mut keys = PemFile::read(file)?.keys;
    match keys.len() {
        0 => Err(Error::Config(format!("{} has no private key", file.display()))),
        1 => Ok(keys.remove(0)),
        count => Err(Error::Config(format!("{} has {count} private keys, not one", file.display()))),
    }
}
