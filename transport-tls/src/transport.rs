//! Connecting and listening.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use transport_core::tcp::TcpTransport;
use transport_core::{
    Address, BoxFuture, Established, Listener, Policy, Transport, TransportError, say_farewell,
};

use crate::config::TlsConfig;
use crate::error::{LoadError, TlsError};
use crate::establish::establish;
use crate::event::TlsEvents;
use crate::listener::TlsListener;
use crate::refusal::Refusal;
use crate::state::State;
use crate::verifier::PeerRole;

/// TLS over another transport: `tls://host:port` over TCP, and with [`over`](TlsTransport::over) over any.
///
/// Cloning is cheap: clones share certificates, trust and events. The files are watched for as long as one of them is there, or
/// a connection whose peer has a certificate.
///
/// # Security
///
/// A client compares the certificate with the host of the address, or with its parameter `name`, as in
/// `tls://10.0.0.7:7000?name=db.example`. The certificate of a client is compared with nothing: the listener's policy says
/// which names may in.
///
/// # Examples
///
/// ```no_run
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// use transport_core::{Listen, Policy, Transports};
/// use transport_tls::{TlsConfig, TlsTransport, Trust};
///
/// let config = TlsConfig::new().with_certificate("server.pem").with_trust(Trust::ca_file("ca.pem"));
/// let transports = Transports::new().with(TlsTransport::with_config(config)?);
/// let server = Listen::new(&transports, "tls://[::]:7000").policy(Policy::san_dns("*.clients.example")).start().await?;
/// # drop(server); Ok(()) }
/// ```
#[derive(Clone)]
pub struct TlsTransport {
    scheme: &'static str,
    inner: Arc<dyn Transport>,
    state: Arc<State>,
}

/// The scheme of TLS over TCP.
const SCHEME: &str = "tls";
/// The parameter of an address that says which name the server's certificate must have.
pub(crate) const NAME: &str = "name";

impl TlsTransport {
    /// Without a certificate and without trust: it says what is missing whenever it is used.
    pub fn new() -> TlsTransport {
        TlsTransport::with_config(TlsConfig::new()).expect("nothing is loaded that could fail")
    }

    /// Loads what the settings name.
    ///
    /// This reads files, and blocks for as long as that takes.
    ///
    /// # Errors
    ///
    /// When something cannot be loaded, or the key can be read by others: see [`LoadError`].
    pub fn with_config(config: TlsConfig) -> Result<TlsTransport, LoadError> {
        Ok(TlsTransport { scheme: SCHEME, inner: Arc::new(TcpTransport::new()), state: State::load(config)? })
    }

    /// The same over another transport and under another scheme, such as `tls+unix`; or under its own, over a
    /// [`TcpTransport`] with a proxy.
    ///
    /// # Examples
    ///
    /// ```
    /// # use transport_core::{Transports, mem::MemTransport};
    /// # use transport_tls::TlsTransport;
    /// let tls = TlsTransport::new();
    /// let transports = Transports::new().with(tls.over("tls+mem", MemTransport::new())).with(tls);
    /// ```
    #[must_use]
    pub fn over(&self, scheme: &'static str, inner: impl Transport + 'static) -> TlsTransport {
        TlsTransport { scheme, inner: Arc::new(inner), state: Arc::clone(&self.state) }
    }

    /// Goes on with a listener of the transport below, such as one on an inherited socket: for
    /// [`Listen::on`](transport_core::Listen::on).
    ///
    /// # Errors
    ///
    /// When there is no certificate, or nothing says whose client certificates to trust.
    pub fn listen_on(&self, below: Box<dyn Listener>) -> Result<Box<dyn Listener>, TransportError> {
        self.check_listening()?;
        let local = below.local_address().with_scheme(self.scheme).expect("a transport's scheme is one");
        Ok(Box::new(TlsListener::new(below, local, Arc::clone(&self.state))))
    }

    /// Loads everything again, whether or not the files are watched. True when something has changed.
    ///
    /// New connections use what was loaded, and sessions of before are not resumed. Open connections go on, but for those
    /// whose peers would not be accepted any more.
    ///
    /// This reads files, and blocks for as long as that takes.
    ///
    /// # Errors
    ///
    /// When something cannot be loaded. What was loaded of it before stays in use then, and all else is used as it is now.
    pub fn reload(&self) -> Result<bool, Arc<LoadError>> {
        self.state.reload()
    }

    /// The events of this transport and its clones, from now on. The first call gives those of before as well, the last 256 of
    /// them: that files cannot be watched, or that a certificate has expired, is told when the transport is made.
    pub fn events(&self) -> TlsEvents {
        self.state.events()
    }

    pub(crate) fn state(&self) -> &Arc<State> {
        &self.state
    }

    async fn connect_to(
        &self,
        address: &Address,
        policy: Option<&Policy>,
    ) -> Result<Established, TransportError> {
        let generation = self.state.generation();
        let client = match policy {
            Some(policy) => generation.client_for(policy),
            None => generation.client.clone(),
        };
        let client = client.map_err(|missing| refused(TlsError::NotSetUp(missing)))?;
        let name = self.server_name(address).map_err(refused)?;
        let inner = self.inner.connect(&self.inner_address(address)).await;
        let below = inner.map_err(|error| self.renamed(error, address, "connect to"))?;
        let connecting = TlsConnector::from(client).connect(name, below.stream).into_fallible();
        match connecting.await {
            Ok(stream) => {
                let around = (below.evidence, below.claims, below.source);
                establish(&self.state, &generation, PeerRole::Server, stream.into(), around).map_err(refused)
            }
            Err((error, stream)) => {
                say_farewell(stream, &[]).await;
                Err(refused(TlsError::of_io(error)))
            }
        }
    }

    async fn listen_at(&self, address: &Address) -> Result<Box<dyn Listener>, TransportError> {
        self.check_listening()?;
        let inner = self.inner.listen(&self.inner_address(address)).await;
        let below = inner.map_err(|error| self.renamed(error, address, "listen at"))?;
        let local = self.outer_address(below.local_address(), address);
        Ok(Box::new(TlsListener::new(below, local, Arc::clone(&self.state))))
    }

    fn check_listening(&self) -> Result<(), TransportError> {
        match &self.state.generation().server {
            Ok(_) => Ok(()),
            Err(missing) => Err(refused(TlsError::NotSetUp(*missing))),
        }
    }

    /// The name that the server's certificate must have.
    fn server_name(&self, address: &Address) -> Result<ServerName<'static>, TlsError> {
        let host = || address.host_port().map(|(host, _)| host.split('%').next().unwrap_or(host));
        match address.parameter(NAME).or_else(host) {
            Some(name) => {
                ServerName::try_from(name.to_owned()).map_err(|_| TlsError::BadName { name: name.to_owned() })
            }
            None if self.state.config.trust.needs_name() => Err(TlsError::NoName),
            // The key is what counts. An address that is none is not sent as a name.
            None => Ok(ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into())),
        }
    }

    fn inner_address(&self, address: &Address) -> Address {
        let inner = address.without_parameter(NAME).with_scheme(self.inner.scheme());
        inner.expect("a transport's scheme is one")
    }

    fn outer_address(&self, inner: &Address, asked: &Address) -> Address {
        let outer = inner.with_scheme(self.scheme).unwrap_or_else(|_| asked.clone());
        match asked.parameter(NAME) {
            Some(name) => outer.with_parameter(NAME, name),
            None => outer,
        }
    }

    /// An error of the transport below, about the address that the caller knows.
    fn renamed(&self, error: TransportError, address: &Address, action: &str) -> TransportError {
        match error {
            TransportError::Address { problem, .. } => TransportError::address(address, self.scheme, problem),
            TransportError::Io { source, .. } => TransportError::io(format!("{action} {address}"), source),
            other => other,
        }
    }
}

impl Transport for TlsTransport {
    fn scheme(&self) -> &'static str {
        self.scheme
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Result<Established, TransportError>> {
        Box::pin(self.connect_to(address, None))
    }

    fn connect_only_to<'a>(
        &'a self,
        address: &'a Address,
        policy: &'a Policy,
    ) -> BoxFuture<'a, Result<Established, TransportError>> {
        Box::pin(self.connect_to(address, Some(policy)))
    }

    fn listen<'a>(
        &'a self,
        address: &'a Address,
    ) -> BoxFuture<'a, Result<Box<dyn Listener>, TransportError>> {
        Box::pin(self.listen_at(address))
    }

    fn take_over(
        &self,
        address: &Address,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Box<dyn Listener>, TransportError> {
        self.check_listening()?;
        let below = self.inner.take_over(&self.inner_address(address), descriptors)?;
        let local = self.outer_address(below.local_address(), address);
        Ok(Box::new(TlsListener::new(below, local, Arc::clone(&self.state))))
    }
}

impl Default for TlsTransport {
    fn default() -> TlsTransport {
        TlsTransport::new()
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTransport")
            .field("scheme", &self.scheme)
            .field("config", &self.state.config)
            .finish()
    }
}

pub(crate) fn refused(error: TlsError) -> TransportError {
    match error {
        TlsError::Refused(Refusal::Denied(denied)) => TransportError::Denied(denied),
        error => TransportError::Handshake(Box::new(error)),
    }
}
