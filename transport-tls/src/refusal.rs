//! Why a peer's certificate was refused.

use std::fmt;
use std::time::SystemTime;

use transport_core::Denied;

use crate::display::{Day, Printable};
use crate::spiffe::SpiffeError;

/// Why a peer's certificate was refused: for this side's log only.
///
/// The peer learns none of it: whatever the reason, it gets the alert `certificate_unknown`, so that nobody can find
/// out by trying what this side trusts or has revoked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It, or a certificate above it, is no longer valid.
    #[error("the certificate of {} expired on {}", Printable(.subject), Day(*.not_after))]
    Expired {
        /// Whose it is.
        subject: String,
        /// The end of its validity.
        not_after: SystemTime,
    },
    /// It is not valid yet; one of the two clocks may be wrong.
    #[error("the certificate is not valid before {}", Day(*.not_before))]
    NotYetValid {
        /// The start of its validity.
        not_before: SystemTime,
    },
    /// A server's certificate is for other names than the one that was asked for.
    #[error("the certificate is for {}, not for {expected}", Names(.presented))]
    WrongName {
        /// The name that was asked for.
        expected: String,
        /// The names in the certificate.
        presented: Vec<String>,
    },
    /// No authority that this side trusts has issued it.
    #[error("no trusted authority has issued the certificate; it names {} as its issuer", Printable(.issuer))]
    UnknownIssuer {
        /// The issuer that the certificate names.
        issuer: String,
    },
    /// It is signed with its own key, and is neither a trusted authority nor pinned.
    #[error("the certificate of {} is self-signed, and not trusted here", Printable(.subject))]
    SelfSigned {
        /// Whose it is.
        subject: String,
    },
    /// It is for another purpose (extended key usage).
    #[error("the certificate may not be used by a {role}: its extended key usage says otherwise")]
    WrongPurpose {
        /// What it was used as: `server` or `client`.
        role: &'static str,
    },
    /// It is an authority's own certificate, which nobody may present as theirs.
    #[error("the certificate is that of an authority, not of a peer")]
    IsAuthority,
    /// Its authority has revoked it, or one above it.
    #[error("the certificate of {} is revoked", Printable(.subject))]
    Revoked {
        /// Whose it is.
        subject: String,
    },
    /// None of the revocation lists covers it.
    #[error("no revocation list says whether the certificate, or one above it, is revoked")]
    RevocationUnknown,
    /// The revocation list that covers it should have been replaced by now.
    #[error("the revocation list expired on {}", Day(*.next_update))]
    RevocationListExpired {
        /// When the next list was due.
        next_update: SystemTime,
    },
    /// The policy does not allow whom it proves.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Its key is none of the pinned ones.
    #[error("the key of the certificate ({found}) is not pinned")]
    PinMismatch {
        /// The pin of the key that was presented.
        found: String,
    },
    /// Its key is too weak.
    #[error("the key of the certificate is too weak: RSA of {bits} bits, at least 2048 are needed")]
    WeakKey {
        /// The length of its RSA modulus.
        bits: usize,
    },
    /// It is signed with an algorithm that can be forged.
    #[error("the certificate is signed with {algorithm}, which can be forged")]
    WeakSignature {
        /// The algorithm.
        algorithm: &'static str,
    },
    /// It has a SPIFFE id that is none, or more than one name where only that id may be.
    #[error("the SPIFFE id of the certificate is not valid")]
    Spiffe(#[source] SpiffeError),
    /// The signature by which the peer would prove that it has the certificate's key does not fit.
    #[error("the peer does not prove that it has the key of its certificate: its signature does not fit")]
    BadSignature,
    /// It cannot be read.
    #[error("the certificate cannot be read: {problem}")]
    Malformed {
        /// Where reading it failed.
        problem: String,
    },
    /// Some other rule of RFC 5280.
    #[error("the certificate is not valid: {problem}")]
    Invalid {
        /// The rule.
        problem: String,
    },
}

/// Names that a peer wrote, a few of them.
struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        for (i, name) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, Printable(name))?;
        }
        match self.0.len() {
            0 => f.write_str("no name at all"),
            more if more > SHOWN => write!(f, " and {} more", more - SHOWN),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn reasons_read_as_sentences_and_cannot_forge_a_log_line() {
        let day = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * 365);
        let expired = Refusal::Expired { subject: "CN=a\nb".into(), not_after: day };
        assert_eq!(expired.to_string(), "the certificate of CN=a\\nb expired on 1971-01-01");
        let presented = (0..10).map(|i| format!("n{i}")).collect();
        let wrong = Refusal::WrongName { expected: "db".into(), presented };
        assert_eq!(
            wrong.to_string(),
            "the certificate is for n0, n1, n2, n3, n4, n5, n6, n7 and 2 more, not for db"
        );
        let wrong = Refusal::WrongName { expected: "db".into(), presented: Vec::new() };
        assert_eq!(wrong.to_string(), "the certificate is for no name at all, not for db");
    }
}
