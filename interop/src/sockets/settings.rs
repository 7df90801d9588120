//! The settings of a socket, in words that both sides understand.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use transport::{Passwords, PlainClient, PlainServer, Policy};
use transport_zmq::curve::{CurveClient, CurvePublicKey, CurveSecretKey, CurveServer};
use transport_zmq::{HighWaterMark, Security, SocketConfig};

use super::to_bytes;

/// The settings of a socket; what is not set is as the library has it.
#[allow(missing_docs, reason = "named as the options of ZeroMQ")]
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing_id: Option<String>,
    pub subscribe: Vec<String>,
    /// In messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_mark: Option<usize>,
    /// In messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive_mark: Option<usize>,
    /// The interval of PINGs in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<u64>,
    /// How long silence lasts before a peer counts as dead, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_after: Option<u64>,
    /// How long a handshake may take, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake: Option<u64>,
    /// In milliseconds.
    pub linger: u64,
    pub handover: bool,
    pub mandatory: bool,
    pub immediate: bool,
    pub correlate: bool,
    pub relaxed: bool,
    pub verbose: bool,
    pub verboser: bool,
    /// A publisher waits for who has no room.
    pub no_drop: bool,
    /// Only the newest message is kept.
    pub conflate: bool,
    /// Publishers send what was not subscribed to, and subscribers want that.
    pub inverted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub welcome: Option<String>,
    /// The largest message; libzmq has no limit unless one is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest: Option<usize>,
    pub security: Mechanism,
    /// Over Unix sockets the kernel says who the peer is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wire: Option<String>,
}

/// The mechanism of a socket, and its role. At most one is set; none is NULL.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Mechanism {
    /// The users and their passwords.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plain_server: Option<BTreeMap<String, String>>,
    /// User and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plain_client: Option<(String, String)>,
    /// Its key, and those that it lets in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curve_server: Option<CurveKeys>,
    /// Its key, and the server's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curve_client: Option<CurveKeys>,
}

/// The keys of one side, as ZeroMQ writes them.
#[allow(missing_docs, reason = "the names say it")]
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CurveKeys {
    pub secret: String,
    pub public: String,
    /// Whom a server lets in.
    #[serde(default)]
    pub known: Vec<String>,
    /// The server's key, for a client.
    #[serde(default)]
    pub server: String,
}

impl Mechanism {
    /// Whether this side is the server of one of them.
    pub fn is_some_server(&self) -> bool {
        self.plain_server.is_some() || self.curve_server.is_some()
    }
}

impl CurveKeys {
    /// New ones.
    pub fn generate() -> CurveKeys {
        let secret = CurveSecretKey::generate();
        let (public, secret) = (secret.public_key().to_string(), secret.to_z85().to_string());
        CurveKeys { secret, public, ..CurveKeys::default() }
    }
}

impl Settings {
    /// Those of ZeroMQ, but that a ROUTER tells when it cannot send.
    pub fn new() -> Settings {
        Settings { mandatory: true, ..Settings::default() }
    }

    /// As this library has them.
    pub(super) fn config(&self) -> Result<SocketConfig, String> {
        let mut config = SocketConfig::new(self.security()?);
        if let Some(id) = &self.routing_id {
            config = config.with_routing_id(to_bytes(id)).map_err(|error| error.to_string())?;
        }
        if let Some(messages) = self.send_mark {
            config = config.with_send_mark(HighWaterMark::new(messages, HighWaterMark::default().bytes));
        }
        if let Some(messages) = self.receive_mark {
            config = config.with_receive_mark(HighWaterMark::new(messages, HighWaterMark::default().bytes));
        }
        let mut limits = config.limits.clone();
        if let Some(interval) = self.heartbeat {
            limits = limits.with_ping_after(Duration::from_millis(interval)).with_dead_after(PATIENCE);
        }
        if let Some(silence) = self.dead_after {
            limits = limits.with_dead_after(Duration::from_millis(silence));
        }
        if let Some(bytes) = self.largest {
            limits = limits.with_message(bytes);
        }
        // A busy machine may take its time over what usually takes a moment.
        let handshake = self.handshake.map_or(PATIENCE, Duration::from_millis);
        limits = limits.with_handshake_time(handshake).with_pending_handshakes(4096);
        let soon = config.reconnect.clone().with_first(SOON).with_longest(5 * SOON);
        Ok(config
            .with_limits(limits)
            .with_reconnect(soon)
            .with_linger(Duration::from_millis(self.linger))
            .with_immediate(self.immediate)
            .with_conflate(self.conflate))
    }

    fn security(&self) -> Result<Security, String> {
        let wire = match self.wire.as_deref() {
            Some("ipc") => Policy::same_user(),
            _ => Policy::danger_anyone(),
        };
        let Mechanism { plain_server, plain_client, curve_server, curve_client } = &self.security;
        // Over TCP a password can be read on the way. Here that is this machine.
        if let Some(users) = plain_server {
            let mut passwords = Passwords::new();
            let mut policy = Policy::nobody();
            for (user, password) in users {
                passwords = passwords.with_user(user, password);
                policy = policy.or(Policy::user(user));
            }
            return Ok(Security::new(policy).with_mechanism(PlainServer::new(passwords)).danger_plaintext());
        }
        if let Some((user, password)) = plain_client {
            let client = PlainClient::new(user, password).map_err(|error| error.to_string())?;
            return Ok(Security::new(wire).with_mechanism(client).danger_plaintext());
        }
        if let Some(keys) = curve_server {
            let policies = keys.known.iter().map(|key| Ok(public(key)?.policy()));
            let policy = policies.collect::<Result<Vec<_>, String>>()?.into_iter();
            let policy = policy.fold(Policy::nobody(), Policy::or);
            return Ok(Security::new(policy).with_mechanism(CurveServer::new(secret(&keys.secret)?)));
        }
        if let Some(keys) = curve_client {
            let server = public(&keys.server)?;
            let client = CurveClient::new(secret(&keys.secret)?, server);
            return Ok(Security::new(server.policy()).with_mechanism(client));
        }
        Ok(Security::new(wire))
    }
}

fn public(key: &str) -> Result<CurvePublicKey, String> {
    key.parse::<CurvePublicKey>().map_err(|error| error.to_string())
}

fn secret(key: &str) -> Result<CurveSecretKey, String> {
    CurveSecretKey::from_z85(key).map_err(|error| error.to_string())
}

const PATIENCE: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_millis(20);
