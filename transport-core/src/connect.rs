//! Connecting to an address.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use crate::address::{Address, AddressError};
use crate::client::{Client, ClientConfig};
use crate::connection::{Connection, Life, after, open};
use crate::framing::zmtp::Zmtp;
use crate::framing::{FramingFactory, Role};
use crate::handshake::{HandshakeConfig, HandshakeError};
use crate::limits::Limits;
use crate::mechanism::{MechanismFactory, Null, SharedMechanism};
use crate::policy::Policy;
use crate::transport::{BoxFuture, Transport, TransportError, Transports, UnknownScheme};

/// Connects to an address: settings first, then `.await`.
///
/// # Security
///
/// A client has a policy for the server too, and it denies everyone until [`server`](Connect::server) says who may be
/// at the other end. Over `unix` that is typically [`Policy::same_user`] or the uid of the service; over loopback TCP
/// nothing is proven, and only [`Policy::danger_anyone`] or a mechanism that proves the server will do.
///
/// # Examples
///
/// See [`Connection`].
#[must_use = "nothing happens until it is awaited"]
pub struct Connect {
    transports: Transports,
    address: Result<Address, AddressError>,
    policy: Policy,
    mechanism: SharedMechanism,
    framing: Arc<dyn FramingFactory>,
    limits: Limits,
    danger_plaintext: bool,
    spin: Duration,
}

impl Connect {
    /// To `address`, over one of `transports`.
    pub fn new<A>(transports: &Transports, address: A) -> Connect
    where
        A: TryInto<Address>,
        AddressError: From<A::Error>,
    {
        Connect {
            transports: transports.clone(),
            address: address.try_into().map_err(AddressError::from),
            policy: Policy::nobody(),
            mechanism: Arc::new(Null),
            framing: Arc::new(Zmtp::new()),
            limits: Limits::default(),
            danger_plaintext: false,
            spin: Duration::ZERO,
        }
    }

    /// Uses this transport for addresses of its scheme, in the place of the table's: one with settings of its own, such as
    /// certificates.
    pub fn transport(mut self, transport: impl Transport + 'static) -> Connect {
        self.transports = self.transports.with(transport);
        self
    }

    /// Who the server may be. Default: nobody.
    pub fn server(mut self, policy: Policy) -> Connect {
        self.policy = policy;
        self
    }

    /// How this side authenticates itself. Default: [`Null`].
    pub fn mechanism(mut self, mechanism: impl MechanismFactory + 'static) -> Connect {
        self.mechanism = Arc::new(mechanism);
        self
    }

    /// The framing. Default: [`Zmtp`].
    pub fn framing(mut self, framing: impl FramingFactory + 'static) -> Connect {
        self.framing = Arc::new(framing);
        self
    }

    /// The bounds. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Connect {
        self.limits = limits;
        self
    }

    /// Spins for up to this long on the socket before the task waits, whenever it receives. Default: not at all.
    ///
    /// It halves the round trip on a machine with a core to spare, and holds up the other tasks of the thread. Only for
    /// plain sockets, and not after [`Connection::split`] or with [`keep`](Connect::keep).
    pub fn spin(mut self, time: Duration) -> Connect {
        self.spin = time;
        self
    }

    /// Allows what anyone on the way can read and change: see [`UnprotectedError`](crate::UnprotectedError).
    pub fn danger_plaintext(mut self) -> Connect {
        self.danger_plaintext = true;
        self
    }

    /// A [`Client`] with the default settings: a connection that comes back by itself. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// When the address, its scheme or the settings are wrong. A server that cannot be reached is no error here.
    pub fn keep(self) -> Result<Client, ConnectError> {
        self.keep_with(ClientConfig::default())
    }

    /// As [`keep`](Connect::keep), with settings.
    ///
    /// # Errors
    ///
    /// As [`keep`](Connect::keep); the fallback addresses are checked too.
    pub fn keep_with(self, config: ClientConfig) -> Result<Client, ConnectError> {
        let (address, connector) = self.prepare()?;
        Client::start(address, connector, config)
    }

    async fn connect(self) -> Result<Connection, ConnectError> {
        let (address, connector) = self.prepare()?;
        connector.connect(&address).await
    }

    fn prepare(self) -> Result<(Address, Connector), ConnectError> {
        let address = self.address?;
        check_role(&*self.mechanism, Role::Client)?;
        let handshake = HandshakeConfig {
            role: Role::Client,
            mechanisms: vec![self.mechanism],
            framing: self.framing,
            policy: self.policy,
            admission: None,
            limits: self.limits,
            danger_plaintext: self.danger_plaintext,
            spin: self.spin,
        };
        let connector = Connector { transports: self.transports, handshake: Arc::new(handshake) };
        connector.check(&address)?;
        Ok((address, connector))
    }
}

/// What stays the same from one attempt to connect to the next.
pub(crate) struct Connector {
    transports: Transports,
    handshake: Arc<HandshakeConfig>,
}

impl Connector {
    /// Whether there is a transport for the address.
    pub(crate) fn check(&self, address: &Address) -> Result<(), UnknownScheme> {
        self.transports.lookup(address.scheme()).map(drop)
    }

    /// Connects and authenticates once. Dropping the future closes what it had opened.
    pub(crate) async fn connect(&self, address: &Address) -> Result<Connection, ConnectError> {
        let transport = self.transports.lookup(address.scheme())?;
        let HandshakeConfig { limits, policy, mechanisms, .. } = &*self.handshake;
        let connecting = match mechanisms[0].properties().proves_server {
            true => transport.connect(address),
            false => transport.connect_only_to(address, policy),
        };
        let connecting = tokio::time::timeout(limits.connect_time, connecting);
        let connected = connecting.await.map_err(|_| ConnectError::Deadline(limits.connect_time))?;
        let deadline = after(limits.handshake_time);
        let opened = open(connected?, &self.handshake, deadline, std::future::ready(Life::default()))
            .await
            .map_err(|unopened| unopened.error)?;
        Ok(Connection::new(opened, &self.handshake))
    }
}

impl IntoFuture for Connect {
    type Output = Result<Connection, ConnectError>;
    type IntoFuture = BoxFuture<'static, Result<Connection, ConnectError>>;

    /// Connects and authenticates.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what it had opened.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}

impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address cannot be read.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// There is no transport for its scheme.
    #[error(transparent)]
    Scheme(#[from] UnknownScheme),
    /// The settings contradict each other.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The transport could not connect.
    #[error(transparent)]
    Transport(TransportError),
    /// The transport did not connect in time.
    #[error("no connection within {0:?}")]
    Deadline(Duration),
    /// The two sides did not agree on who they are.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

impl ConnectError {
    /// Whether another attempt at the same address could succeed without anyone changing this program's settings: the table
    /// in the docs of [`Client`].
    pub fn mends_itself(&self) -> bool {
        crate::client::mends_itself(self)
    }
}

/// A server is denied by the policy wherever it was asked.
impl From<TransportError> for ConnectError {
    fn from(error: TransportError) -> ConnectError {
        match error {
            TransportError::Denied(denied) => HandshakeError::Denied(denied).into(),
            error => ConnectError::Transport(error),
        }
    }
}

/// The settings contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The mechanism is for the other side.
    #[error("this {name} mechanism is for the {} side", if *.role == Role::Client { "connecting" } else { "accepting" })]
    MechanismRole {
        /// The mechanism.
        name: &'static str,
        /// The side that it is for.
        role: Role,
    },
    /// Two mechanisms of one listener have the same name.
    #[error("the mechanism {name} was given twice")]
    MechanismTwice {
        /// The name.
        name: &'static str,
    },
}

pub(crate) fn check_role(mechanism: &dyn MechanismFactory, role: Role) -> Result<(), ConfigError> {
    match mechanism.role() {
        Some(other) if other != role => {
            Err(ConfigError::MechanismRole { name: mechanism.name(), role: other })
        }
        _ => Ok(()),
    }
}
