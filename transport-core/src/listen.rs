//! Listening at an address.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use crate::address::{Address, AddressError};
use crate::claims::Claims;
use crate::connect::{ConfigError, check_role};
use crate::framing::zmtp::Zmtp;
use crate::framing::{FramingFactory, Role};
use crate::handshake::{Admission, HandshakeConfig, UnprotectedError, check_protection};
use crate::identity::Identity;
use crate::limits::Limits;
use crate::mechanism::{MechanismFactory, Null, SharedMechanism};
use crate::policy::Policy;
use crate::server::{RawServer, Server};
use crate::transport::{Listener, Transport, TransportError, Transports, UnknownScheme};

/// Listens at an address: settings first, then [`start`](Listen::start).
///
/// # Security
///
/// The policy denies everyone until [`policy`](Listen::policy) says who may in.
///
/// # Examples
///
/// See [`Connection`](crate::Connection).
#[must_use = "nothing happens until it is started"]
pub struct Listen {
    transports: Transports,
    address: Result<Address, AddressError>,
    policy: Policy,
    admission: Option<Box<Admission>>,
    mechanisms: Vec<SharedMechanism>,
    framing: Arc<dyn FramingFactory>,
    limits: Limits,
    danger_plaintext: bool,
    spin: Duration,
    /// Listens already.
    listener: Option<Box<dyn Listener>>,
}

impl Listen {
    /// At `address`, over one of `transports`.
    pub fn new<A>(transports: &Transports, address: A) -> Listen
    where
        A: TryInto<Address>,
        AddressError: From<A::Error>,
    {
        Listen {
            transports: transports.clone(),
            address: address.try_into().map_err(AddressError::from),
            policy: Policy::nobody(),
            admission: None,
            mechanisms: Vec::new(),
            framing: Arc::new(Zmtp::new()),
            limits: Limits::default(),
            danger_plaintext: false,
            spin: Duration::ZERO,
            listener: None,
        }
    }

    /// With a listener that there is already: one that a service manager made, or another process has handed over.
    pub fn on(listener: Box<dyn Listener>) -> Listen {
        let address = listener.local_address().clone();
        Listen { listener: Some(listener), ..Listen::new(&Transports::new(), address) }
    }

    /// Uses this transport for addresses of its scheme, in the place of the table's: one with settings of its own, such as
    /// certificates.
    pub fn transport(mut self, transport: impl Transport + 'static) -> Listen {
        self.transports = self.transports.with(transport);
        self
    }

    /// Who may in. Default: nobody.
    pub fn policy(mut self, policy: Policy) -> Listen {
        self.policy = policy;
        self
    }

    /// Asks `place_for` of each peer that the policy allows, before the peer is told that it is in: whether there is a place
    /// for it now, by who it is and what it says of itself.
    ///
    /// For one that is refused the stream ends without a reason, as it does where there are too many: it keeps what it has to
    /// send, and may come again. [`HandshakeError::NoPlace`](crate::HandshakeError::NoPlace) tells this side. Not asked by
    /// [`start_raw`](Listen::start_raw).
    pub fn admission(
        mut self,
        place_for: impl Fn(&Identity, &Claims) -> Result<(), Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
    ) -> Listen {
        self.admission = Some(Box::new(place_for));
        self
    }

    /// Adds a mechanism that peers may use, the preferred one first. Without any: [`Null`].
    pub fn mechanism(mut self, mechanism: impl MechanismFactory + 'static) -> Listen {
        self.mechanisms.push(Arc::new(mechanism));
        self
    }

    /// The framing. Default: [`Zmtp`].
    pub fn framing(mut self, framing: impl FramingFactory + 'static) -> Listen {
        self.framing = Arc::new(framing);
        self
    }

    /// The bounds. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Listen {
        self.limits = limits;
        self
    }

    /// As [`Connect::spin`](crate::Connect::spin), for the connections accepted.
    pub fn spin(mut self, time: Duration) -> Listen {
        self.spin = time;
        self
    }

    /// Allows what anyone on the way can read and change: see [`UnprotectedError`].
    pub fn danger_plaintext(mut self) -> Listen {
        self.danger_plaintext = true;
        self
    }

    /// Starts to listen and to accept. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// See [`ListenError`].
    pub async fn start(self) -> Result<Server, ListenError> {
        let (listener, config) = self.prepare().await?;
        Ok(Server::start(listener, config))
    }

    /// As [`start`](Listen::start), but hands over the byte streams below messages.
    ///
    /// There is no authentication exchange: mechanisms and framing are not used, and peers are known by what the
    /// transport proved.
    ///
    /// # Errors
    ///
    /// See [`ListenError`].
    pub async fn start_raw(self) -> Result<RawServer, ListenError> {
        let mut settings = self;
        // Nothing will seal these streams, whatever mechanisms were given.
        settings.mechanisms.clear();
        let (listener, config) = settings.prepare().await?;
        Ok(RawServer::start(listener, config))
    }

    async fn prepare(mut self) -> Result<(Box<dyn Listener>, HandshakeConfig), ListenError> {
        let address = self.address?;
        if self.mechanisms.is_empty() {
            self.mechanisms.push(Arc::new(Null));
        }
        for (i, mechanism) in self.mechanisms.iter().enumerate() {
            check_role(&**mechanism, Role::Server)?;
            if self.mechanisms[..i].iter().any(|earlier| earlier.name() == mechanism.name()) {
                return Err(ConfigError::MechanismTwice { name: mechanism.name() }.into());
            }
        }
        let mut listener = match self.listener {
            Some(listener) => listener,
            None => {
                let transport = Arc::clone(self.transports.lookup(address.scheme())?);
                transport.listen(&address).await?
            }
        };
        for mechanism in &self.mechanisms {
            check_protection(&**mechanism, listener.protection(), self.danger_plaintext)?;
        }
        if self.mechanisms.iter().all(|mechanism| mechanism.properties().proves_nothing) {
            listener.let_in_only(&self.policy);
        }
        if self.policy.is_nobody() {
            tracing::warn!(%address, "the policy allows nobody: every peer will be refused");
        }
        let config = HandshakeConfig {
            role: Role::Server,
            mechanisms: self.mechanisms,
            framing: self.framing,
            policy: self.policy,
            admission: self.admission,
            limits: self.limits,
            danger_plaintext: self.danger_plaintext,
            spin: self.spin,
        };
        Ok((listener, config))
    }
}

impl std::fmt::Debug for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listen")
            .field("address", &self.address)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The address cannot be read.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// There is no transport for its scheme.
    #[error(transparent)]
    Scheme(#[from] UnknownScheme),
    /// The settings contradict each other.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The transport could not listen.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The stream would be too weakly protected for a mechanism.
    #[error(transparent)]
    Unprotected(#[from] UnprotectedError),
}
