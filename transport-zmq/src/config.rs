//! The settings of a socket.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use transport_core::framing::Role;
use transport_core::framing::zmtp::{PropertyError, Zmtp};
use transport_core::mechanism::{MechanismFactory, Null, SharedMechanism};
use transport_core::{BackoffConfig, Limits, Policy};

/// Who may be at the other end, and how both sides prove who they are.
///
/// A socket has one for all its endpoints, and each endpoint may have its own.
///
/// # Examples
///
/// ```
/// use transport_core::Policy;
/// use transport_zmq::Security;
/// use transport_zmq::curve::{CurveSecretKey, CurveServer};
///
/// let kernel_knows = Security::new(Policy::same_user());
/// let server = CurveServer::new(CurveSecretKey::generate());
/// let alice = CurveSecretKey::generate().public_key();
/// let curve = Security::new(alice.policy()).with_mechanism(server);
/// # let _ = (kernel_knows, curve);
/// ```
#[derive(Clone)]
pub struct Security {
    pub(crate) policy: Policy,
    pub(crate) accepting: Vec<SharedMechanism>,
    pub(crate) connecting: SharedMechanism,
    pub(crate) danger_plaintext: bool,
}

impl Security {
    /// Peers whom this policy allows, known by what the transport proves (the mechanism NULL).
    pub fn new(policy: Policy) -> Security {
        Security { policy, accepting: Vec::new(), connecting: Arc::new(Null), danger_plaintext: false }
    }

    /// Adds a mechanism for the side that it is for. Of several for the accepting side the peer chooses; without any it
    /// is NULL.
    #[must_use]
    pub fn with_mechanism(mut self, mechanism: impl MechanismFactory + 'static) -> Security {
        let mechanism: SharedMechanism = Arc::new(mechanism);
        if mechanism.role() != Some(Role::Server) {
            self.connecting = Arc::clone(&mechanism);
        }
        if mechanism.role() != Some(Role::Client) {
            self.accepting.push(mechanism);
        }
        self
    }

    /// Allows what anyone on the way can read and change: see [`UnprotectedError`](transport_core::UnprotectedError).
    #[must_use]
    pub fn danger_plaintext(mut self) -> Security {
        self.danger_plaintext = true;
        self
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// How much may wait for one peer, or from one peer, before its sender has to wait or messages are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HighWaterMark {
    /// Messages.
    pub messages: usize,
    /// Bytes; one message may go beyond.
    pub bytes: usize,
}

impl HighWaterMark {
    /// A mark by messages and bytes, whichever comes first; at least one message is always let through.
    pub fn new(messages: usize, bytes: usize) -> HighWaterMark {
        HighWaterMark { messages, bytes }
    }
}

impl Default for HighWaterMark {
    /// 1,000 messages, as in libzmq, and 4 MiB.
    fn default() -> HighWaterMark {
        HighWaterMark { messages: 1000, bytes: 4 << 20 }
    }
}

/// The settings of a socket. The default is secure and works, once a [`Security`] says who may be at the other end.
///
/// `docs/libzmq-options.md` has a table of all options of libzmq and what they are here.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use transport_core::Policy;
/// use transport_zmq::{HighWaterMark, SocketConfig};
/// let config = SocketConfig::new(Policy::same_user())
///     .with_send_mark(HighWaterMark::new(10_000, 1 << 20))
///     .with_linger(Duration::from_secs(5));
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SocketConfig {
    /// Who may be at the other end.
    pub security: Security,
    /// How much may wait to be sent to one peer; as much again can be on its way to the kernel.
    pub send_mark: HighWaterMark,
    /// How much of one peer may wait to be received. From there on nothing more is read from it.
    pub receive_mark: HighWaterMark,
    /// How long closing waits for what has not been sent. Default 30 s; zero drops it.
    pub linger: Duration,
    /// How long to wait between attempts to connect. Default 200 ms at first, at most 5 s.
    pub reconnect: BackoffConfig,
    /// All other bounds. The default is core's: 16 MiB a message, 5 s for a handshake, PING after 30 s of silence. From
    /// `unread_per_listener` on, over all peers of the socket together, nothing more is read from any of them.
    ///
    /// `write_time` is for ROUTER, REP, SUB and XSUB. At the others a peer may take nothing for as long as it shows that it is
    /// alive, which this library does when an application is busy. A peer that does not (libzmq reads no PING while its
    /// application is busy) needs a longer `dead_after`.
    pub limits: Limits,
    /// The name under which a ROUTER that this socket connects to shall know it. Default: none.
    ///
    /// While another connection has it (one of this socket's, too, whose end the ROUTER has not noticed) a ROUTER of this
    /// library refuses this one and messages wait; a ROUTER of libzmq takes them and drops them.
    pub routing_id: Bytes,
    /// Whether messages wait only for peers that are connected, rather than for every endpoint that is connected to.
    /// Default: false, as in libzmq.
    pub immediate: bool,
    /// Whether only the newest message is kept for a peer and from a peer: of PUSH, PULL, PUB, SUB, DEALER and PAIR. One
    /// that is being written goes out as a whole, and sending never waits for room. Default: false.
    pub conflate: bool,
    /// For how long a task that receives looks again and again before it sleeps. Default: not at all.
    ///
    /// It takes the waking of a core out of each round trip, and keeps a core busy for that time. Other tasks of the thread
    /// go on.
    pub spin: Duration,
    /// For how long at most a REQ or REP socket looks again before it sleeps *while that is seen to pay*: while its waits are as
    /// short as this, and shorter with it than without. Zero for never. Default 75 us.
    ///
    /// Two ends that answer each other at once on a core each take their turns several times as fast, and use less of their
    /// cores, since waking one takes longer. Whoever waits for longer than four times this sleeps at once the next time; where
    /// both ends share a core or a runtime's thread, or the thread has other work, it is tried a few times in 16,000 waits. `spin`
    /// overrides it. It goes by the real clock: a test whose runs shall be alike, in virtual time, sets it to zero.
    pub adaptive_spin: Duration,
}

impl SocketConfig {
    /// The defaults, for peers that `security` allows.
    pub fn new(security: impl Into<Security>) -> SocketConfig {
        SocketConfig {
            security: security.into(),
            send_mark: HighWaterMark::default(),
            receive_mark: HighWaterMark::default(),
            linger: Duration::from_secs(30),
            reconnect: BackoffConfig::default().with_longest(Duration::from_secs(5)),
            limits: Limits::default(),
            routing_id: Bytes::new(),
            immediate: false,
            conflate: false,
            spin: Duration::ZERO,
            adaptive_spin: Duration::from_micros(75),
        }
    }

    /// Sets [`routing_id`](SocketConfig::routing_id).
    ///
    /// # Errors
    ///
    /// When it has more than 255 bytes or starts with a zero byte (RFC 37/ZMTP).
    pub fn with_routing_id(mut self, id: impl Into<Bytes>) -> Result<SocketConfig, PropertyError> {
        self.routing_id = id.into();
        Zmtp::new().with_routing_id(self.routing_id.clone())?;
        Ok(self)
    }
}

impl From<Policy> for Security {
    fn from(policy: Policy) -> Security {
        Security::new(policy)
    }
}

macro_rules! setters {
    ($($setter:ident sets $field:ident: $type:ty;)*) => {
        impl SocketConfig {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](SocketConfig::", stringify!($field), ").")]
                #[must_use]
                pub fn $setter(mut self, value: $type) -> SocketConfig {
                    self.$field = value;
                    self
                }
            )*
        }
    };
}
setters! {
    with_send_mark sets send_mark: HighWaterMark;
    with_receive_mark sets receive_mark: HighWaterMark;
    with_linger sets linger: Duration;
    with_reconnect sets reconnect: BackoffConfig;
    with_limits sets limits: Limits;
    with_immediate sets immediate: bool;
    with_conflate sets conflate: bool;
    with_spin sets spin: Duration;
    with_adaptive_spin sets adaptive_spin: Duration;
}
