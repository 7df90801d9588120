//! Reaching a target through a proxy: SOCKS5 and HTTP CONNECT.

mod error;
mod handshake;
mod http;
mod socks5;
mod target;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use crate::address::Address;

use http::HttpConnect;
use socks5::Socks5;
use target::Target;

pub use error::{ProxyAddressError, ProxyAnswer, ProxyError};

/// A proxy that connects to targets on this side's behalf: `socks5://host:port` or `http://host:port`.
///
/// `socks5://user:password@host:port` sends a user and a password; what has a meaning in a URL is percent-encoded in them.
/// Hosts are named to the proxy as they are written, so names are resolved where the proxy is.
///
/// # Security
///
/// A proxy sees and can change all that passes, can connect to somewhere else than it was told, and receives its own
/// password readable for everyone on the way to it. So a stream through a proxy counts as unprotected, whatever its target
/// is called: `127.0.0.1` is the proxy's own host. The mechanism, or TLS over this transport, has to prove the server.
///
/// # Examples
///
/// ```
/// use transport_core::tcp::{Proxy, TcpTransport};
/// let proxy: Proxy = "socks5://user:pass%40word@proxy.example:1080".parse()?;
/// assert_eq!(proxy.to_string(), "socks5://proxy.example:1080");
/// let tcp = TcpTransport::new().with_proxy(proxy);
/// # let _ = tcp;
/// # Ok::<(), transport_core::tcp::ProxyAddressError>(())
/// ```
#[derive(Clone)]
pub struct Proxy {
    protocol: Protocol,
    host: String,
    port: u16,
    credentials: Option<Arc<Credentials>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Socks5,
    Http,
}

struct Credentials {
    user: String,
    password: Zeroizing<String>,
}

impl Proxy {
    pub(super) fn host_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_deref()
    }

    /// Makes of a stream to the proxy one to the target.
    pub(super) async fn connect(
        &self,
        stream: &mut TcpStream,
        host: &str,
        port: u16,
    ) -> Result<(), ProxyError> {
        let target = Target::new(host, port)?;
        match self.protocol {
            Protocol::Socks5 => handshake::run(stream, &mut Socks5::new(target, self.credentials())).await,
            Protocol::Http => handshake::run(stream, &mut HttpConnect::new(target, self.credentials())).await,
        }
    }
}

impl FromStr for Proxy {
    type Err = ProxyAddressError;

    fn from_str(text: &str) -> Result<Proxy, ProxyAddressError> {
        let (scheme, rest) = text.split_once("://").ok_or(ProxyAddressError::Scheme)?;
        let protocol = match scheme {
            "socks5" => Protocol::Socks5,
            "http" => Protocol::Http,
            _ => return Err(ProxyAddressError::Scheme),
        };
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (Some(Credentials::parse(protocol, credentials)?), place),
            None => (None, rest),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        let address: Address = format!("{scheme}://{place}").parse().map_err(|_| ProxyAddressError::Place)?;
        let no_parameters = address.parameters().next().is_none();
        let host_port = address.host_port().filter(|(_, port)| *port != 0 && no_parameters);
        let (host, port) = host_port.ok_or(ProxyAddressError::Place)?;
        Ok(Proxy { protocol, host: host.to_owned(), port, credentials: credentials.map(Arc::new) })
    }
}

impl Credentials {
    fn parse(protocol: Protocol, text: &str) -> Result<Credentials, ProxyAddressError> {
        let problem = ProxyAddressError::Credentials;
        let (user, password) = text.split_once(':').ok_or(problem("are written as user:password"))?;
        let decode = |text| {
            let decoded = percent_decode_str(text).decode_utf8();
            decoded.map(|decoded| Zeroizing::new(decoded.into_owned()))
        };
        let not_text = problem("are not UTF-8 after percent-decoding");
        let (Ok(user), Ok(password)) = (decode(user), decode(password)) else { return Err(not_text) };
        match protocol {
            // RFC 1929: each has a length of one byte, and is not empty.
            Protocol::Socks5 if [&user, &password].iter().any(|text| !(1..=255).contains(&text.len())) => {
                Err(problem("have 1 to 255 bytes each for SOCKS5"))
            }
            // RFC 7617: a colon would end the user.
            Protocol::Http
                if user.contains(':')
                    || [&user, &password].iter().any(|text| text.contains(char::is_control)) =>
            {
                Err(problem("have no control characters, and the user no colon, for HTTP"))
            }
            _ => Ok(Credentials { user: user.to_string(), password }),
        }
    }
}

/// Without user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Socks5 => "socks5",
            Protocol::Http => "http",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxy").field(&format_args!("{self}")).finish()
    }
}

/// What the fuzz target checks: no answer of a proxy panics or makes this side hold more than its bound, and it does not
/// matter how the bytes are cut.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzz(protocol_is_http: bool, answers: &[u8]) {
    let credentials = Credentials { user: "user".into(), password: Zeroizing::new("password".into()) };
    let Ok(target) = Target::new("example", 5555) else { return };
    let (sent, taken) = if protocol_is_http {
        handshake::scripted(|| HttpConnect::new(target.clone(), Some(&credentials)), answers)
    } else {
        handshake::scripted(|| Socks5::new(target.clone(), Some(&credentials)), answers)
    };
    assert!(sent.len() < 512, "a proxy gets little");
    assert!(taken.is_err() || taken.is_ok_and(|taken| taken <= answers.len().min(8 << 10)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What is likely to get far, with anything in it.
        #[test]
        fn whatever_a_proxy_answers_is_bounded_and_may_be_cut_anywhere(
            head in proptest::sample::select(vec![
                &b""[..], b"\x05\x00", b"\x05\x02\x01\x00\x05\x00\x00", b"HTTP/1.1 ", b"HTTP/1.1 200 \r\n",
                b"HTTP/1.1 100\n\n",
            ]),
            rest in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'\r'), Just(0)], 0..400),
        ) {
            let answers = [head, &rest].concat();
            fuzz(false, &answers);
            fuzz(true, &answers);
        }
    }

    #[test]
    fn a_proxy_is_read_and_printed_without_its_password() {
        for (text, printed) in [
            ("socks5://proxy:1080", "socks5://proxy:1080"),
            ("http://user:secret@[::1]:8080/", "http://[::1]:8080"),
            ("socks5://a%40b:sec%3Aret@127.0.0.1:1", "socks5://127.0.0.1:1"),
            ("http://user:sec@ret@proxy:1", "http://proxy:1"),
        ] {
            let proxy: Proxy = text.parse().unwrap();
            assert_eq!(proxy.to_string(), printed);
            assert_eq!(format!("{proxy:?}"), format!("Proxy({printed})"));
        }
        let proxy: Proxy = "socks5://a%40b:sec%3Aret@127.0.0.1:1".parse().unwrap();
        let Credentials { user, password } = proxy.credentials().unwrap();
        assert_eq!((user.as_str(), password.as_str()), ("a@b", "sec:ret"));
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_repeating_it() {
        use ProxyAddressError as E;
        let long = "a".repeat(256);
        for (text, expected) in [
            ("proxy:1080".to_owned(), E::Scheme),
            ("https://proxy:1080".to_owned(), E::Scheme),
            ("socks5://proxy".to_owned(), E::Place),
            ("socks5://proxy:0".to_owned(), E::Place),
            ("http://proxy:80/path".to_owned(), E::Place),
            ("http://proxy:80?a=b".to_owned(), E::Place),
            ("socks5://secret@proxy:1".to_owned(), E::Credentials("are written as user:password")),
            ("socks5://:secret@proxy:1".to_owned(), E::Credentials("have 1 to 255 bytes each for SOCKS5")),
            (
                format!("socks5://{long}:secret@proxy:1"),
                E::Credentials("have 1 to 255 bytes each for SOCKS5"),
            ),
            ("http://a:sec%ffret@proxy:1".to_owned(), E::Credentials("are not UTF-8 after percent-decoding")),
            (
                "http://a%3Ab:secret@proxy:1".to_owned(),
                E::Credentials("have no control characters, and the user no colon, for HTTP"),
            ),
            (
                "http://a:secret%0d%0ax@proxy:1".to_owned(),
                E::Credentials("have no control characters, and the user no colon, for HTTP"),
            ),
        ] {
            let error = text.parse::<Proxy>().unwrap_err();
            assert_eq!(error, expected, "{text:?}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
