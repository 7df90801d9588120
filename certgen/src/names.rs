//! The names in a certificate (subjectAltName, RFC 5280 Section 4.2.1.6).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::error::Error;

/// One name in a certificate, sorted into its kind by how it looks.
///
/// ```
/// # use certgen::Name;
/// # fn main() -> Result<(), certgen::Error> {
/// assert!(matches!("example.org".parse()?, Name::Dns(_)));
/// assert!(matches!("::1".parse()?, Name::Ip(_)));
/// assert!(matches!("spiffe://example.org/worker".parse()?, Name::Uri(_)));
/// assert!(matches!("alice@example.org".parse()?, Name::Email(_)));
/// // or by its kind in front, as OpenSSL writes it
/// assert!(matches!("URI:tag:example.org,2026:worker".parse()?, Name::Uri(_)));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Name {
    /// A host name, or any single word; `*.` may stand for one label in front.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A URI; a SPIFFE id is one.
    Uri(String),
    /// A mail address.
    Email(String),
}

impl Name {
    /// The name without its kind.
    pub fn text(&self) -> String {
        match self {
            Name::Ip(address) => address.to_string(),
            Name::Dns(text) | Name::Uri(text) | Name::Email(text) => text.clone(),
        }
    }

    fn of_kind(kind: &str, text: &str) -> Option<Result<Name, String>> {
        Some(match kind.to_ascii_lowercase().as_str() {
            "dns" => dns(text),
            "ip" => ip(text),
            "uri" => uri(text),
            "email" => email(text),
            _ => return None,
        })
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Name, Error> {
        let spelled = text.split_once(':').and_then(|(kind, rest)| Name::of_kind(kind, rest));
        let name = spelled.unwrap_or_else(|| {
            if text.contains("://") || text.starts_with("urn:") {
                uri(text)
            } else if text.contains('@') {
                email(text)
            } else if text.contains(':') || looks_like_ipv4(text) {
                ip(text)
            } else {
                dns(text)
            }
        });
        name.map_err(|problem| Error::Name { name: text.to_owned(), problem })
    }
}

/// The kind in front, as OpenSSL writes it: `DNS:localhost`.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Dns(text) => write!(f, "DNS:{text}"),
            Name::Ip(address) => write!(f, "IP:{address}"),
            Name::Uri(text) => write!(f, "URI:{text}"),
            Name::Email(text) => write!(f, "email:{text}"),
        }
    }
}

/// The names of this host: `localhost`, 127.0.0.1, ::1, and its host name if it is fit for a certificate.
pub fn host_names() -> Vec<Name> {
    let mut names = vec![
        Name::Dns("localhost".into()),
        Name::Ip(IpAddr::from([127, 0, 0, 1])),
        Name::Ip(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])),
    ];
    let host = rustix::system::uname().nodename().to_str().ok().and_then(|name| dns(name).ok());
    names.extend(host.filter(|host| *host != names[0]));
    names
}

/// Reads names, leaves out repetitions, and checks what holds for all of them together.
pub(crate) fn parse_all<I>(names: I) -> Result<Vec<Name>, Error>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let mut parsed: Vec<Name> = Vec::new();
    for name in names {
        let name = name.as_ref().parse()?;
        if !parsed.contains(&name) {
            parsed.push(name);
        }
    }
    check_spiffe_is_alone(&parsed)?;
    Ok(parsed)
}

/// A certificate with a SPIFFE id has no other URI (X509-SVID Section 2).
pub(crate) fn check_spiffe_is_alone(names: &[Name]) -> Result<(), Error> {
    let uris = || names.iter().filter_map(|name| if let Name::Uri(uri) = name { Some(uri) } else { None });
    match uris().find(|uri| uri.starts_with(SPIFFE)) {
        Some(id) if uris().count() > 1 => Err(Error::Name {
            name: id.clone(),
            problem: "a certificate with a SPIFFE id has no other URI: make one for each".into(),
        }),
        _ => Ok(()),
    }
}

/// Letters, digits, `-` and `_` in labels of at most 63 characters (RFC 1035 Section 2.3.1, and `_` as it is in use).
fn dns(text: &str) -> Result<Name, String> {
    if text.is_empty() {
        return Err("it is empty".into());
    }
    if !text.is_ascii() {
        return Err("write it in its ASCII form, which begins with xn--".into());
    }
    if text.contains('/') {
        return Err("it has a slash: a name is not a path; a URI has its scheme in front".into());
    }
    if text.len() > 253 {
        return Err("a host name has at most 253 characters".into());
    }
    if looks_like_ipv4(text) {
        return Err("it is neither an IPv4 address nor a host name".into());
    }
    let labels = text.strip_prefix("*.").unwrap_or(text);
    for label in labels.split('.') {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if label.is_empty() {
            return Err("there is nothing between two dots, or before or after one".into());
        }
        if label.contains('*') {
            return Err("a * stands alone as the first label: *.example.org".into());
        }
        if !label.bytes().all(allowed) {
            return Err("a host name has letters, digits, - and _ between its dots".into());
        }
        if label.len() > 63 || label.starts_with('-') || label.ends_with('-') {
            return Err("a label has at most 63 characters, and no - at its ends".into());
        }
    }
    Ok(Name::Dns(text.to_ascii_lowercase()))
}

fn ip(text: &str) -> Result<Name, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().map(Name::Ip).map_err(|_| {
        "it is not an IP address; a name has no port, and a URI has its scheme in front (URI:...)".into()
    })
}

fn uri(text: &str) -> Result<Name, String> {
    let (scheme, rest) = text.split_once(':').ok_or("a URI has a scheme: https://example.org")?;
    let mut characters = scheme.bytes();
    let begins = characters.next().is_some_and(|byte| byte.is_ascii_alphabetic());
    if !begins || !characters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
        return Err("its scheme has letters, digits, + - and . only".into());
    }
    if rest.trim_start_matches('/').is_empty() {
        return Err("there is nothing after its scheme".into());
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("write what is not ASCII, and spaces, as %XX".into());
    }
    if let Some(id) = text.strip_prefix(SPIFFE) {
        spiffe(id)?;
    } else if scheme.eq_ignore_ascii_case("spiffe") {
        return Err("a SPIFFE id begins with spiffe:// in small letters".into());
    }
    Ok(Name::Uri(text.to_owned()))
}

/// What follows `spiffe://` (SPIFFE-ID Section 2).
fn spiffe(id: &str) -> Result<(), String> {
    let (domain, path) = id.split_once('/').map_or((id, None), |(domain, path)| (domain, Some(path)));
    let in_domain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    if domain.is_empty() || !domain.bytes().all(in_domain) {
        return Err("the trust domain of a SPIFFE id has small letters, digits, - . and _ only".into());
    }
    let in_path = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_segment = |segment: &str| {
        !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(in_path)
    };
    if path.is_some_and(|path| !path.split('/').all(is_segment)) {
        return Err("the path of a SPIFFE id has segments of letters, digits, - . and _".into());
    }
    if SPIFFE.len() + id.len() > 2048 {
        return Err("a SPIFFE id has at most 2048 characters".into());
    }
    Ok(())
}

fn email(text: &str) -> Result<Name, String> {
    let (local, host) = text.rsplit_once('@').ok_or("a mail address has an @")?;
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"@,;:<>()[]\\\"".contains(&byte);
    if local.is_empty() || local.len() > 64 || !local.bytes().all(allowed) {
        return Err("what is before the @ is empty, too long, or has characters of no mail address".into());
    }
    match dns(host)? {
        Name::Dns(host) if !host.starts_with('*') => Ok(Name::Email(format!("{local}@{host}"))),
        _ => Err("what is after the @ is no host name".into()),
    }
}

/// Nothing but digits and dots, or a last label of digits: no host name ends so, and a mistyped address does.
fn looks_like_ipv4(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or(text);
    text.contains('.') && !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
}

const SPIFFE: &str = "spiffe://";

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> String {
        text.parse::<Name>().map_or_else(|error| error.to_string(), |name| name.to_string())
    }

    #[test]
    fn names_are_sorted_into_their_kinds() {
        for (text, printed) in [
            ("localhost", "DNS:localhost"),
            ("Example.ORG", "DNS:example.org"),
            ("*.example.org", "DNS:*.example.org"),
            ("_service.example.org", "DNS:_service.example.org"),
            ("alice", "DNS:alice"),
            ("127.0.0.1", "IP:127.0.0.1"),
            ("::1", "IP:::1"),
            ("[2001:db8::1]", "IP:2001:db8::1"),
            ("https://example.org/a?b", "URI:https://example.org/a?b"),
            (
                "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
                "URI:urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
            ),
            ("spiffe://example.org/web/1", "URI:spiffe://example.org/web/1"),
            ("alice@Example.org", "email:alice@example.org"),
            ("DNS:localhost", "DNS:localhost"),
            ("ip:10.0.0.1", "IP:10.0.0.1"),
            ("email:a@b", "email:a@b"),
        ] {
            assert_eq!(kind(text), printed);
        }
    }

    #[test]
    fn a_name_that_is_none_is_refused_with_what_to_write() {
        for (text, hint) in [
            ("", "empty"),
            ("a b", "letters, digits"),
            ("bücher.example", "xn--"),
            ("1.2.3.400", "not an IP address"),
            ("10.0.0.0/8", "slash"),
            ("localhost:443", "no port"),
            ("a..b", "between two dots"),
            ("example.org.", "between two dots"),
            ("www.*.org", "a * stands alone"),
            ("-a", "no - at its ends"),
            ("a@b@c", "before the @"),
            ("@b", "before the @"),
            ("a@*.b", "no host name"),
            ("https://", "nothing after"),
            ("https://a b", "%XX"),
            ("spiffe://Example.org/a", "trust domain"),
            ("spiffe://example.org:80/a", "trust domain"),
            ("spiffe://example.org/a/", "segments"),
            ("spiffe://example.org/a/../b", "segments"),
            ("SPIFFE://example.org", "small letters"),
            ("a\nb", "letters, digits"),
        ] {
            assert!(kind(text).contains(hint), "{text:?}: {}", kind(text));
        }
    }

    #[test]
    fn a_spiffe_id_is_the_only_uri() {
        assert!(parse_all(["spiffe://a/b", "localhost"]).is_ok());
        assert!(parse_all(["spiffe://a/b", "https://a"]).is_err());
        assert_eq!(parse_all(["a", "A", "dns:a"]).unwrap().len(), 1);
    }

    #[test]
    fn this_host_has_its_names() {
        let names = host_names();
        assert_eq!(names[0].to_string(), "DNS:localhost");
        assert_eq!(names[2].to_string(), "IP:::1");
    }
}
