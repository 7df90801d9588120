//! `certgen leaf`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use certgen::{AuthorityDirectory, Credentials, Error, FileSet};

use super::Outcome;
use super::arguments::LeafOptions;
use super::interrupt::uninterrupted;
use super::report::Report;

pub(crate) fn run(options: &LeafOptions) -> Outcome {
    let config = options.kind.config(&options.names)?;
    let out = match (&options.out, config.names.first()) {
        (Some(file), _) => file.clone(),
        (None, Some(name)) => PathBuf::from(file_name(&name.text())),
        (None, None) => PathBuf::from("cables.pem"),
    };
    let mut files = FileSet::new().with_replacing(options.output.force);
    files.check(&out)?;
    options.key_out.iter().try_for_each(|file| files.check(file))?;
    let directory = AuthorityDirectory::open(&options.authority)?;
    let made = directory.authority().issue(&config)?;
    uninterrupted(|| {
        directory.record(made.certificate(), &mut files)?;
        add(&mut files, &made, &out, options.key_out.as_deref())?;
        files.commit()
    })?;
    let mut report = Report::new(options.output.quiet);
    report.made(&out, made.certificate());
    Ok(ExitCode::SUCCESS)
}

/// Key and certificate in one file, or each in its own.
fn add(files: &mut FileSet, made: &Credentials, out: &Path, key_out: Option<&Path>) -> Result<(), Error> {
    match key_out {
        None => files.add(out, made.combined_pem().as_bytes(), 0o600),
        Some(key_out) => {
            files.add(key_out, made.key().pem().as_bytes(), 0o600)?;
            files.add(out, made.certificate().pem().as_bytes(), 0o644)
        }
    }
}

/// A file name made of a name: without the scheme of a URI, and without what means something to a shell or a path.
pub(crate) fn file_name(name: &str) -> String {
    let name = name.split_once("://").map_or(name, |(_, rest)| rest);
    let safe = |character: char| character.is_ascii_alphanumeric() || "._@-".contains(character);
    let plain: String = name.chars().map(|character| if safe(character) { character } else { '-' }).collect();
    let plain = plain.trim_matches(|character| character == '.' || character == '-');
    // Room for the ending below the 255 bytes that a file name can have.
    format!("{}.pem", &plain[..plain.len().min(200)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_after_the_first_name() {
        assert_eq!(file_name("www.example.org"), "www.example.org.pem");
        assert_eq!(file_name("spiffe://example.org/web/1"), "example.org-web-1.pem");
        assert_eq!(file_name("alice@example.org"), "alice@example.org.pem");
        assert_eq!(file_name("::1"), "1.pem");
        assert_eq!(file_name("*.example.org"), "example.org.pem");
    }
}
