//! Parsed URLs of places to connect to or listen at.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// The URL of a place to connect to or listen at, parsed and checked.
///
/// ```text
/// address  = scheme "://" location [ "?" key "=" value *( "&" key "=" value ) ]
/// location = host ":" port      tcp://127.0.0.1:5555   tcp://[::1]:5555
///          | "/" path           unix:///run/app.sock   (percent-decoded, absolute)
///          | "@" name           unix:@app  or  unix://@app   (Linux abstract socket)
///          | name               mem://app
/// ```
///
/// Which locations make sense is for the [`Transport`](crate::Transport) to say; an address knows only its shape,
/// so that transports made elsewhere can bring their own schemes.
///
/// # Examples
///
/// ```
/// use transport_core::Address;
/// let address: Address = "tcp://[::1]:5555".parse()?;
/// assert_eq!(address.scheme(), "tcp");
/// assert_eq!(address.host_port(), Some(("::1", 5555)));
/// assert_eq!(address.to_string(), "tcp://[::1]:5555");
/// # Ok::<(), transport_core::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    scheme: String,
    location: Location,
    parameters: Vec<(String, String)>,
}

/// The part of an [`Address`] that says where, after the scheme.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Location {
    /// A host name or IP address (without brackets) and a port.
    HostPort {
        /// The host, IPv6 addresses without their brackets.
        host: String,
        /// The port; 0 asks a listener to choose one.
        port: u16,
    },
    /// An absolute path in the file system.
    Path(PathBuf),
    /// A name in Linux's abstract socket namespace, without the `@`.
    Abstract(String),
    /// A bare name.
    Name(String),
}

/// Why a text is not an [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an address: {problem}")]
pub struct AddressError {
    text: String,
    problem: AddressProblem,
}

impl AddressError {
    /// What is wrong with the text.
    pub fn problem(&self) -> &AddressProblem {
        &self.problem
    }
}

/// What is wrong with the text of an [`AddressError`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressProblem {
    /// Longer than 4,096 bytes, as it is or as it prints.
    #[error("it is longer than {} bytes", MAX_LENGTH)]
    TooLong,
    /// There is no `scheme://` in front.
    #[error("it does not start with a scheme such as tcp:// or unix://")]
    NoScheme,
    /// The scheme has characters outside `a-z 0-9 + - .`, or starts with none of `a-z`.
    #[error("its scheme may have only the characters a-z, 0-9, '+', '-' and '.'")]
    BadScheme,
    /// Nothing follows the scheme.
    #[error("it names no place after the scheme")]
    NoLocation,
    /// The host is empty or has characters that no host has.
    #[error("its host is empty or has a character that no host name has")]
    BadHost,
    /// The port is missing or not a number from 0 to 65535.
    #[error("its port is not a number from 0 to 65535")]
    BadPort,
    /// A name or path with a NUL or other control character, or not UTF-8 after percent-decoding.
    #[error("its name or path has a control character or is not UTF-8")]
    BadName,
    /// A parameter without `=`, with an empty key, or given twice.
    #[error("its parameters must be key=value, joined by '&', each key once")]
    BadParameter,
}

impl Address {
    /// The address of a socket file, as [`Location::Path`] under the scheme `unix`; what the text of an address would have
    /// to encode is taken as it is.
    pub fn unix(path: impl Into<PathBuf>) -> Address {
        Address { scheme: "unix".to_owned(), location: Location::Path(path.into()), parameters: Vec::new() }
    }

    /// The scheme, which chooses the transport.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Where to connect or listen.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Host and port, if the address has them.
    pub fn host_port(&self) -> Option<(&str, u16)> {
        match &self.location {
            Location::HostPort { host, port } => Some((host, *port)),
            _ => None,
        }
    }

    /// The file system path, if the address has one.
    pub fn path(&self) -> Option<&Path> {
        match &self.location {
            Location::Path(path) => Some(path),
            _ => None,
        }
    }

    /// The value of a parameter after `?`.
    pub fn parameter(&self, key: &str) -> Option<&str> {
        self.parameters.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// All parameters, in the order in which they were written.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The same place under another scheme: how a transport that wraps another one names its inner address.
    ///
    /// # Errors
    ///
    /// When `scheme` is not one.
    pub fn with_scheme(&self, scheme: &str) -> Result<Address, AddressError> {
        check_scheme(scheme).map_err(|problem| AddressError { text: scheme.to_owned(), problem })?;
        Ok(Address { scheme: scheme.to_owned(), ..self.clone() })
    }

    /// The same address without a parameter: for a transport that wraps another one and has parameters of its own.
    #[must_use]
    pub fn without_parameter(&self, key: &str) -> Address {
        let mut address = self.clone();
        address.parameters.retain(|(k, _)| k != key);
        address
    }

    /// The same address with a parameter, in the place of one with the same key if there is one.
    #[must_use]
    pub fn with_parameter(&self, key: &str, value: &str) -> Address {
        let mut address = self.without_parameter(key);
        address.parameters.push((key.to_owned(), value.to_owned()));
        address
    }

    /// The same address with another port: how a listener that was asked for port 0 tells which one it got.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Address {
        let mut address = self.clone();
        if let Location::HostPort { port: old, .. } = &mut address.location {
            *old = port;
        }
        address
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        parse(text).map_err(|problem| AddressError { text: shorten(text), problem })
    }
}

macro_rules! try_from_text {
    ($($text:ty),*) => {$(
        impl TryFrom<$text> for Address {
            type Error = AddressError;

            fn try_from(text: $text) -> Result<Address, AddressError> {
                text.parse()
            }
        }
    )*};
}
try_from_text!(&str, &String, String);

impl From<&Address> for Address {
    fn from(address: &Address) -> Address {
        address.clone()
    }
}

/// An address that is one already cannot fail to be one.
impl From<std::convert::Infallible> for AddressError {
    fn from(never: std::convert::Infallible) -> AddressError {
        match never {}
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        match &self.location {
            Location::HostPort { host, port } if host.contains(':') => write!(f, "//[{host}]:{port}")?,
            Location::HostPort { host, port } => write!(f, "//{host}:{port}")?,
            Location::Path(path) => write!(f, "//{}", encode_path(&path.to_string_lossy()))?,
            Location::Abstract(name) => write!(f, "@{}", encode_name(name))?,
            Location::Name(name) => write!(f, "//{}", encode_name(name))?,
        }
        for (i, (key, value)) in self.parameters.iter().enumerate() {
            let mark = if i == 0 { '?' } else { '&' };
            write!(f, "{mark}{}={}", encode_parameter(key), encode_parameter(value))?;
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Address, AddressProblem> {
    if text.len() > MAX_LENGTH {
        return Err(AddressProblem::TooLong);
    }
    let (scheme, rest) = text.split_once(':').ok_or(AddressProblem::NoScheme)?;
    check_scheme(scheme)?;
    // `unix:@name` is the one form without slashes.
    let rest = match rest.strip_prefix("//") {
        Some(rest) => rest,
        None if rest.starts_with('@') => rest,
        None => return Err(AddressProblem::NoScheme),
    };
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (rest, None),
    };
    let address = Address {
        scheme: scheme.to_owned(),
        location: parse_location(place)?,
        parameters: query.map(parse_parameters).transpose()?.unwrap_or_default(),
    };
    // Printed, it may need more percent-encoding than it had, and must still be an address then.
    if address.to_string().len() > MAX_LENGTH {
        return Err(AddressProblem::TooLong);
    }
    Ok(address)
}

fn check_scheme(scheme: &str) -> Result<(), AddressProblem> {
    let first = scheme.bytes().next().ok_or(AddressProblem::NoScheme)?;
    let ok = first.is_ascii_lowercase()
        && scheme
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.'));
    if ok { Ok(()) } else { Err(AddressProblem::BadScheme) }
}

fn parse_location(place: &str) -> Result<Location, AddressProblem> {
    if place.is_empty() {
        return Err(AddressProblem::NoLocation);
    }
    if place.starts_with('/') {
        return Ok(Location::Path(PathBuf::from(decode(place)?)));
    }
    if let Some(name) = place.strip_prefix('@') {
        let name = decode(name)?;
        return if name.is_empty() { Err(AddressProblem::NoLocation) } else { Ok(Location::Abstract(name)) };
    }
    if let Some(rest) = place.strip_prefix('[') {
        let (host, port) = rest.split_once("]:").ok_or(AddressProblem::BadPort)?;
        let number = host.split_once('%').map_or(host, |(number, _zone)| number);
        number.parse::<std::net::Ipv6Addr>().map_err(|_| AddressProblem::BadHost)?;
        check_host(host)?;
        return Ok(Location::HostPort { host: host.to_owned(), port: parse_port(port)? });
    }
    if let Some((host, port)) = place.rsplit_once(':') {
        if host.contains(':') {
            return Err(AddressProblem::BadHost); // an IPv6 address without brackets is ambiguous
        }
        check_host(host)?;
        return Ok(Location::HostPort { host: host.to_owned(), port: parse_port(port)? });
    }
    Ok(Location::Name(decode(place)?))
}

fn check_host(host: &str) -> Result<(), AddressProblem> {
    let ok = !host.is_empty()
        && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%'));
    if ok { Ok(()) } else { Err(AddressProblem::BadHost) }
}

fn parse_port(port: &str) -> Result<u16, AddressProblem> {
    // `parse` alone would take "+80".
    if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AddressProblem::BadPort);
    }
    port.parse().map_err(|_| AddressProblem::BadPort)
}

fn parse_parameters(query: &str) -> Result<Vec<(String, String)>, AddressProblem> {
    let mut parameters: Vec<(String, String)> = Vec::new();
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').ok_or(AddressProblem::BadParameter)?;
        let (key, value) = (decode(key)?, decode(value)?);
        if key.is_empty() || parameters.iter().any(|(k, _)| *k == key) {
            return Err(AddressProblem::BadParameter);
        }
        parameters.push((key, value));
    }
    Ok(parameters)
}

fn decode(text: &str) -> Result<String, AddressProblem> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| AddressProblem::BadName)?;
    if decoded.chars().any(char::is_control) {
        return Err(AddressProblem::BadName);
    }
    Ok(decoded.into_owned())
}

fn encode_path(text: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(text, PATH)
}

/// A name that starts with `/`, `@` or `[`, or has a colon, would read as another kind of place.
fn encode_name(text: &str) -> impl fmt::Display + '_ {
    const NAME: &AsciiSet = &PATH.add(b':').add(b'@').add(b'/').add(b'[');
    utf8_percent_encode(text, NAME)
}

fn encode_parameter(text: &str) -> impl fmt::Display + '_ {
    const PARAMETER: &AsciiSet = &CONTROLS.add(b'%').add(b'&').add(b'=');
    utf8_percent_encode(text, PARAMETER)
}

/// Keeps a hostile text from filling a log line.
fn shorten(text: &str) -> String {
    const SHOWN: usize = 200;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

const MAX_LENGTH: usize = 4096;
const PATH: &AsciiSet = &CONTROLS.add(b'%').add(b'?');

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn problem(text: &str) -> AddressProblem {
        text.parse::<Address>().expect_err(text).problem
    }

    #[test]
    fn each_kind_of_place_is_told_apart() {
        let location = |text: &str| text.parse::<Address>().unwrap().location;
        assert_eq!(location("tcp://localhost:80"), Location::HostPort { host: "localhost".into(), port: 80 });
        assert_eq!(location("tcp://[::1]:0"), Location::HostPort { host: "::1".into(), port: 0 });
        assert_eq!(location("unix:///run/a%3Fb.sock"), Location::Path("/run/a?b.sock".into()));
        assert_eq!(location("unix:@app"), Location::Abstract("app".into()));
        assert_eq!(location("unix://@app"), Location::Abstract("app".into()));
        assert_eq!(location("mem://app"), Location::Name("app".into()));
    }

    #[test]
    fn malformed_addresses_say_what_is_wrong() {
        use AddressProblem::*;
        for (text, expected) in [
            ("", NoScheme),
            ("localhost:80", NoScheme),
            ("://x", NoScheme),
            ("TCP://x:1", BadScheme),
            ("9p://x:1", BadScheme),
            ("tcp://", NoLocation),
            ("unix:@", NoLocation),
            ("tcp://:80", BadHost),
            ("tcp://::1:80", BadHost),
            ("tcp://[nope]:80", BadHost),
            ("tcp://a b:80", BadHost),
            ("tcp://*:80", BadHost),
            ("tcp://a:", BadPort),
            ("tcp://a:+80", BadPort),
            ("tcp://a:65536", BadPort),
            ("tcp://[::1]", BadPort),
            ("unix:///a%00b", BadName),
            ("unix:///a%ff", BadName),
            ("mem://a?b", BadParameter),
            ("mem://a?b=1&b=2", BadParameter),
            ("mem://a?=1", BadParameter),
        ] {
            assert_eq!(problem(text), expected, "{text:?}");
        }
        assert_eq!(problem(&format!("mem://{}", "a".repeat(5000))), TooLong);
        assert_eq!(problem(&format!("mem://{}", "\u{e9}".repeat(1000))), TooLong, "as it prints");
    }

    #[test]
    fn parameters_are_found_by_key() {
        let address: Address = "tls+unix:///run/a?name=b%26c&x=".parse().unwrap();
        assert_eq!(address.parameter("name"), Some("b&c"));
        assert_eq!(address.parameter("x"), Some(""));
        assert_eq!(address.parameter("y"), None);
        assert_eq!(address.with_scheme("unix").unwrap().scheme(), "unix");
        assert_eq!(address.without_parameter("x").to_string(), "tls+unix:///run/a?name=b%26c");
        assert_eq!(address.with_parameter("x", "1").to_string(), "tls+unix:///run/a?name=b%26c&x=1");
    }

    #[test]
    fn a_name_that_looks_like_another_place_stays_a_name() {
        for text in ["mem://%2Fx", "mem://%40x", "mem://%5Bx", "mem://a%3A1", "unix:@a%3Fb"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn what_parses_prints_and_parses_to_the_same(text in "[a-z]{1,4}(:|://)[@/\\[\\]:%a-f0-9?&=.]{0,24}") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<Address>();
        }
    }
}
