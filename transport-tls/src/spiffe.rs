//! SPIFFE ids in certificates.
//!
//! ```text
//! spiffe://TRUST-DOMAIN/segment/segment
//! trust domain: 1 to 255 of a-z 0-9 . - _
//! segment:      one or more of a-z A-Z 0-9 . - _, but neither . nor ..
//! ```
//!
//! Source: the SPIFFE-ID standard, section 2, and the X509-SVID standard, section 2
//! (<https://github.com/spiffe/spiffe/tree/main/standards>).

/// What is wrong with the SPIFFE id of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpiffeError {
    /// A certificate with a SPIFFE id must have that URI and no other.
    #[error("there are {0} URIs, and a SPIFFE id must be the only one")]
    NotAlone(usize),
    /// Longer than 2,048 bytes.
    #[error("it is longer than 2048 bytes")]
    TooLong,
    /// The part between `spiffe://` and the next `/`.
    #[error("its trust domain must have 1 to 255 characters of a-z, 0-9, '.', '-' and '_'")]
    TrustDomain,
    /// What follows the trust domain.
    #[error(
        "its path must have segments of letters, digits, '.', '-' and '_', none of them empty, \".\" or \"..\""
    )]
    Path,
}

/// Checks the URIs of a certificate: if one is a SPIFFE id, it must be valid and alone.
pub(crate) fn check(uris: &[String]) -> Result<(), SpiffeError> {
    let Some(id) = uris.iter().find(|uri| is_spiffe(uri)) else { return Ok(()) };
    if uris.len() > 1 {
        return Err(SpiffeError::NotAlone(uris.len()));
    }
    check_id(id)
}

/// Schemes have no case (RFC 3986, section 3.1), so that `SPIFFE://` does not slip past the checks.
fn is_spiffe(uri: &str) -> bool {
    uri.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
}

fn check_id(id: &str) -> Result<(), SpiffeError> {
    const LONGEST: usize = 2048;
    const LONGEST_DOMAIN: usize = 255;
    if id.len() > LONGEST {
        return Err(SpiffeError::TooLong);
    }
    // As an id is compared byte by byte, its scheme must be the lower-case one.
    let rest = id.strip_prefix("spiffe://").ok_or(SpiffeError::TrustDomain)?;
    let (domain, path) = match rest.split_once('/') {
        Some((domain, path)) => (domain, Some(path)),
        None => (rest, None),
    };
    let in_domain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    if domain.is_empty() || domain.len() > LONGEST_DOMAIN || !domain.bytes().all(in_domain) {
        return Err(SpiffeError::TrustDomain);
    }
    let in_segment = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let good = |segment: &str| {
        !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(in_segment)
    };
    match path {
        Some(path) if !path.split('/').all(good) => Err(SpiffeError::Path),
        _ => Ok(()),
    }
}

const SCHEME: &str = "spiffe:";

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(uris: &[&str]) -> Result<(), SpiffeError> {
        check(&uris.iter().map(|uri| (*uri).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn valid_ids_pass_and_other_uris_are_left_alone() {
        for id in ["spiffe://example.org", "spiffe://example.org/db/1", "spiffe://a_b-c.1/X.y/..z"] {
            assert_eq!(checked(&[id]), Ok(()), "{id}");
        }
        assert_eq!(checked(&[]), Ok(()));
        assert_eq!(checked(&["https://a b", "urn:x"]), Ok(()));
    }

    #[test]
    fn a_spiffe_id_is_the_only_uri() {
        assert_eq!(checked(&["spiffe://a/b", "spiffe://a/c"]), Err(SpiffeError::NotAlone(2)));
        assert_eq!(checked(&["https://x", "SPIFFE://a/c"]), Err(SpiffeError::NotAlone(2)));
    }

    #[test]
    fn malformed_ids_are_refused() {
        use SpiffeError::*;
        for (id, error) in [
            ("spiffe:", TrustDomain),
            ("spiffe://", TrustDomain),
            ("spiffe:///a", TrustDomain),
            ("SPIFFE://a/b", TrustDomain),
            ("spiffe://Example/a", TrustDomain),
            ("spiffe://user@example/a", TrustDomain),
            ("spiffe://example:443/a", TrustDomain),
            ("spiffe://example?x", TrustDomain),
            ("spiffe://example/", Path),
            ("spiffe://example//a", Path),
            ("spiffe://example/a/", Path),
            ("spiffe://example/a/../b", Path),
            ("spiffe://example/./b", Path),
            ("spiffe://example/a?b", Path),
            ("spiffe://example/a#b", Path),
            ("spiffe://example/a%2fb", Path),
            ("spiffe://example/\u{e9}", Path),
        ] {
            assert_eq!(checked(&[id]), Err(error), "{id}");
        }
        assert_eq!(checked(&[&format!("spiffe://{}", "a".repeat(256))]), Err(TrustDomain));
        assert_eq!(checked(&[&format!("spiffe://a/{}", "b".repeat(2048))]), Err(TooLong));
    }
}
