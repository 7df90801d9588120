//! How values from certificates are printed.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// A name that came from a peer, without its control characters: a line break must not forge a log line.
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if c.is_control() { write!(f, "{}", c.escape_default()) } else { write!(f, "{c}") }
        })
    }
}

/// The day of a moment, in UTC.
pub(crate) struct Day(pub(crate) SystemTime);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since_epoch = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        match x509_cert::der::DateTime::from_unix_duration(since_epoch) {
            Ok(date) => write!(f, "{:04}-{:02}-{:02}", date.year(), date.month(), date.day()),
            Err(_) => f.write_str("a day after the year 9999"),
        }
    }
}

/// The pin of a key, as a policy and a `Trust` take it.
pub(crate) fn pin(spki_sha256: &[u8; 32]) -> String {
    format!("sha256:{}", BASE64.encode(spki_sha256))
}
