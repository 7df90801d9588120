//! The transports that this crate was compiled with, found by URL.

use std::sync::LazyLock;

use transport_core::mem::MemTransport;
use transport_core::tcp::TcpTransport;
use transport_core::{Address, AddressError, Connect, Listen, Transports};
#[cfg(feature = "zmq")]
use transport_zmq::ZmqTransport;

/// Connects to `address`: settings first, then `.await`.
///
/// # Examples
///
/// See the [crate's page](crate).
pub fn connect<A>(address: A) -> Connect
where
    A: TryInto<Address>,
    AddressError: From<A::Error>,
{
    Connect::new(&TRANSPORTS, address)
}

/// Listens at `address`: settings first, then [`start`](Listen::start).
///
/// # Examples
///
/// See the [crate's page](crate).
pub fn listen<A>(address: A) -> Listen
where
    A: TryInto<Address>,
    AddressError: From<A::Error>,
{
    Listen::new(&TRANSPORTS, address)
}

/// The table that [`connect`] and [`listen`] use: to add a transport of your own to a copy.
///
/// The names of `mem://` in it are this process's.
pub fn transports() -> Transports {
    TRANSPORTS.clone()
}

static TRANSPORTS: LazyLock<Transports> = LazyLock::new(|| {
    let transports = Transports::new().with(TcpTransport::new()).with(MemTransport::new());
    #[cfg(feature = "unix")]
    let transports = transports.with(transport_unix::UnixTransport::new());
    #[cfg(not(feature = "unix"))]
    let transports = transports.with_hint("unix", "enable the feature `unix` of the crate `transport`");
    #[cfg(feature = "tls")]
    let transports = with_tls(transports, &transport_tls::TlsTransport::new());
    #[cfg(not(feature = "tls"))]
    let transports = transports.with_hint("tls", "enable the feature `tls` of the crate `transport`");
    #[cfg(feature = "zmq")]
    let transports = with_zmq(transports);
    #[cfg(not(feature = "zmq"))]
    let transports = transports.with_hint("zmq+tcp", "enable the feature `zmq` of the crate `transport`");
    transports
});

/// `zmq+tls` comes with [`with_tls`].
#[cfg(feature = "zmq")]
fn with_zmq(transports: Transports) -> Transports {
    #[cfg(feature = "unix")]
    let transports = transports.with(ZmqTransport::new("zmq+unix", transport_unix::UnixTransport::new()));
    transports.with(ZmqTransport::new("zmq+tcp", TcpTransport::new()))
}

/// Puts `tls` into a table for all the schemes that it can serve: `tls://`, and `tls+unix://` and `zmq+tls://` where these
/// are built in.
///
/// For one address, [`Connect::transport`] and [`Listen::transport`] are shorter.
///
/// # Examples
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use transport::tls::{TlsConfig, TlsTransport, Trust};
/// let tls = TlsTransport::with_config(TlsConfig::new().with_trust(Trust::ca_file("ca.pem")))?;
/// let transports = transport::with_tls(transport::transports(), &tls);
/// let connect = transport::Connect::new(&transports, "tls+unix:///run/app.sock?name=app.example");
/// # drop(connect); Ok(()) }
/// ```
#[cfg(feature = "tls")]
pub fn with_tls(transports: Transports, tls: &transport_tls::TlsTransport) -> Transports {
    #[cfg(feature = "unix")]
    let transports = transports.with(tls.over("tls+unix", transport_unix::UnixTransport::new()));
    #[cfg(feature = "zmq")]
    let transports = transports.with(ZmqTransport::new("zmq+tls", tls.clone()));
    transports.with(tls.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(scheme: &str) -> String {
        TRANSPORTS.lookup(scheme).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn an_unknown_scheme_names_the_known_ones() {
        assert!(problem("quic").contains("known are mem, tcp"));
    }

    #[test]
    #[cfg(not(feature = "unix"))]
    fn a_scheme_whose_feature_is_off_names_the_feature() {
        assert_eq!(
            problem("unix"),
            "the scheme \"unix\" is not in this build: enable the feature `unix` of the crate `transport`"
        );
    }

    #[test]
    #[cfg(not(feature = "zmq"))]
    fn zmq_names_its_feature() {
        assert_eq!(
            problem("zmq+tcp"),
            "the scheme \"zmq+tcp\" is not in this build: enable the feature `zmq` of the crate `transport`"
        );
    }

    #[test]
    #[cfg(all(feature = "tls", feature = "unix", feature = "zmq"))]
    fn zmq_is_found_over_each_transport() {
        for scheme in ["zmq+tcp", "zmq+unix", "zmq+tls"] {
            assert_eq!(problem(scheme), "");
        }
    }

    #[test]
    #[cfg(feature = "unix")]
    fn a_scheme_whose_feature_is_on_is_found() {
        assert_eq!(problem("unix"), "");
    }
}
