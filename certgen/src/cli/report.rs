//! What is said when all went well.

use std::io::{self, Write as _};
use std::path::Path;

use certgen::{Certificate, Name};

/// Lines to stdout, or none.
pub(crate) struct Report {
    quiet: bool,
}

impl Report {
    pub(crate) fn new(quiet: bool) -> Report {
        Report { quiet }
    }

    /// A file and the certificate in it.
    pub(crate) fn made(&mut self, file: &Path, certificate: &Certificate) {
        let names: Vec<_> = certificate.names().iter().map(Name::text).collect();
        let whose = match names.as_slice() {
            [] => certificate.subject().to_owned(),
            names => names.join(", "),
        };
        let until = certgen::display_day(certificate.not_after());
        self.note(&format!("{}: {whose}; until {until}; {}", file.display(), certificate.pin()));
    }

    pub(crate) fn note(&mut self, text: &str) {
        if !self.quiet {
            // The files are made: whether anybody reads this does not matter.
            let _ = writeln!(io::stdout(), "{text}");
        }
    }
}
