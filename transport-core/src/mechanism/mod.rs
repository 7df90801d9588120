//! Authentication exchanges: the mechanism trait and the mechanisms that core ships: NULL, PLAIN and SCRAM.

mod null;
mod plain;
pub mod properties;
pub mod scram;

use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use smallvec::SmallVec;

use crate::claims::Claims;
use crate::evidence::{Evidence, Proof};
use crate::framing::{Role, Seal, Token};

pub use null::Null;
pub use plain::{CredentialsTooLong, PasswordVerifier, Passwords, PlainClient, PlainServer, Verdict};

/// One side of an authentication exchange, one step at a time.
///
/// A mechanism is logic without I/O: core hands it the peer's tokens and sends the tokens that it answers with. It
/// never decides who may in: it ends with proofs, and the [`Policy`](crate::Policy) decides over them.
///
/// # Contract
///
/// Core calls [`step`](Mechanism::step) with `None` once at the start, and then with each token of the peer. The
/// answer says what to do next, see [`Step`]. After [`Step::Wait`], [`poll_wait`](Mechanism::poll_wait) is polled
/// until it is ready, and then `step` is called with `None` again. After [`Step::Done`] or a [`Refusal`] it is not
/// called any more.
///
/// The policy is checked before a server's last token is sent. So a server that puts its last token into
/// [`Step::Done`] lets core answer a peer whom the policy denies with a refusal instead.
pub trait Mechanism: Send {
    /// Takes the peer's token and says what is next.
    ///
    /// # Errors
    ///
    /// When the peer is refused, or broke the protocol.
    fn step(&mut self, token: Option<Token>, context: &Context<'_>) -> Result<Step, Refusal>;

    /// Waits for an account store after [`Step::Wait`]. The handshake's deadline goes on.
    fn poll_wait(&mut self, _cx: &mut std::task::Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// Makes a [`Mechanism`] for each new connection, and tells what kind it is.
pub trait MechanismFactory: Send + Sync {
    /// The name on the wire: at most 20 characters of `A-Z 0-9 - _ . +`.
    fn name(&self) -> &'static str;

    /// The side that this one is for; `None` when it serves both.
    fn role(&self) -> Option<Role> {
        None
    }

    /// What it means for security.
    fn properties(&self) -> MechanismProperties {
        MechanismProperties::default()
    }

    /// The mechanism for a new connection.
    fn mechanism(&self, role: Role) -> Box<dyn Mechanism>;
}

/// A shared [`MechanismFactory`].
pub type SharedMechanism = Arc<dyn MechanismFactory>;

/// A shared factory is a factory: one mechanism can serve several listeners.
impl<M: MechanismFactory + ?Sized> MechanismFactory for Arc<M> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn role(&self) -> Option<Role> {
        (**self).role()
    }

    fn properties(&self) -> MechanismProperties {
        (**self).properties()
    }

    fn mechanism(&self, role: Role) -> Box<dyn Mechanism> {
        (**self).mechanism(role)
    }
}

/// What a mechanism means for security; core refuses to use it where that would be unsafe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MechanismProperties {
    /// It hands back a seal, so that an unprotected stream will do.
    pub seals: bool,
    /// It sends a secret readable: not even loopback will do, since whoever takes the port first would receive it.
    pub reveals_secret: bool,
    /// The client learns who the server is. Without this, a client checks its policy on the transport's evidence
    /// alone, before it sends anything.
    pub proves_server: bool,
    /// Nothing about the client is proven besides what the transport proves.
    pub proves_nothing: bool,
    /// The client's first token depends on nothing of the server and has nothing secret in it: it may go out with the
    /// greeting, to a server that may turn out to want another mechanism.
    pub opens_unasked: bool,
}

impl MechanismProperties {
    /// Sets [`seals`](MechanismProperties::seals).
    #[must_use]
    pub fn with_seals(mut self, value: bool) -> MechanismProperties {
        self.seals = value;
        self
    }

    /// Sets [`reveals_secret`](MechanismProperties::reveals_secret).
    #[must_use]
    pub fn with_reveals_secret(mut self, value: bool) -> MechanismProperties {
        self.reveals_secret = value;
        self
    }

    /// Sets [`proves_server`](MechanismProperties::proves_server).
    #[must_use]
    pub fn with_proves_server(mut self, value: bool) -> MechanismProperties {
        self.proves_server = value;
        self
    }

    /// Sets [`proves_nothing`](MechanismProperties::proves_nothing).
    #[must_use]
    pub fn with_proves_nothing(mut self, value: bool) -> MechanismProperties {
        self.proves_nothing = value;
        self
    }

    /// Sets [`opens_unasked`](MechanismProperties::opens_unasked).
    #[must_use]
    pub fn with_opens_unasked(mut self, value: bool) -> MechanismProperties {
        self.opens_unasked = value;
        self
    }
}

/// What a mechanism knows besides the peer's tokens.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Context<'a> {
    /// Which side this is.
    pub role: Role,
    /// What the transport proved, with its channel binding.
    pub evidence: &'a Evidence,
    /// The properties that this side shall send.
    pub own_claims: &'a Claims,
    /// The time.
    pub now: Instant,
}

impl<'a> Context<'a> {
    /// A context: for tests of a mechanism.
    pub fn new(role: Role, evidence: &'a Evidence, own_claims: &'a Claims, now: Instant) -> Context<'a> {
        Context { role, evidence, own_claims, now }
    }
}

/// What a [`Mechanism`] wants next.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step {
    /// Send this token and wait for the peer's next one.
    Send(Token),
    /// Wait for the peer's next token.
    Expect,
    /// Wait until [`Mechanism::poll_wait`] is ready.
    Wait,
    /// The exchange is complete, apart from a last token of this side.
    Done {
        /// The last token, sent once the policy has passed.
        send: Option<Token>,
        /// What the exchange proved.
        outcome: Outcome,
    },
}

/// What an authentication exchange ended with.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was proven about the peer.
    pub proofs: SmallVec<[Proof; 1]>,
    /// What the peer says of itself.
    pub claims: Claims,
    /// Seals everything that follows.
    pub seal: Option<Seal>,
}

impl Outcome {
    /// An outcome that proves nothing.
    pub fn new() -> Outcome {
        Outcome::default()
    }

    /// Adds a proof.
    #[must_use]
    pub fn with_proof(mut self, proof: Proof) -> Outcome {
        self.proofs.push(proof);
        self
    }

    /// Sets what the peer says of itself.
    #[must_use]
    pub fn with_claims(mut self, claims: Claims) -> Outcome {
        self.claims = claims;
        self
    }

    /// Sets what seals everything that follows.
    #[must_use]
    pub fn with_seal(mut self, seal: Seal) -> Outcome {
        self.seal = Some(seal);
        self
    }
}

/// Why a mechanism ends without a proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The secret is wrong or there is no such user: deliberately not told apart.
    #[error("wrong password or unknown user {user:?}")]
    Credentials {
        /// The user that the peer claimed to be.
        user: String,
    },
    /// A token that does not belong here.
    #[error("the peer sent {found} where {expected} belongs")]
    Unexpected {
        /// The token's name.
        found: String,
        /// What belongs here.
        expected: &'static str,
    },
    /// A token that is not well formed.
    #[error("the peer sent a malformed {token}: {problem}")]
    Malformed {
        /// The token's name.
        token: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The account store could not answer; the peer may try again later.
    #[error("the account store failed: {problem}")]
    Unavailable {
        /// What went wrong.
        problem: String,
    },
    /// Another reason, of a mechanism made elsewhere.
    #[error("{reason}")]
    Other {
        /// The reason, for this side's log only.
        reason: String,
        /// Whether the peer is told that it is not let in; a ZeroMQ client then never comes again.
        tell: bool,
    },
}

impl Refusal {
    /// What the peer is told, if anything. Little: the reason is for this side's log.
    ///
    /// A libzmq client that is told never connects again; so it is told only what will not mend itself.
    pub(crate) fn reason_for_peer(&self) -> Option<&'static str> {
        match self {
            Refusal::Credentials { .. } | Refusal::Other { tell: true, .. } => Some(DENIED),
            Refusal::Other { tell: false, .. }
            | Refusal::Unexpected { .. }
            | Refusal::Malformed { .. }
            | Refusal::Unavailable { .. } => None,
        }
    }
}

/// The status code for "not you" (RFC 27/ZAP), which libzmq's clients understand.
pub(crate) const DENIED: &str = "400";

/// The token with this name, or the refusal that says what came instead.
///
/// # Errors
///
/// [`Refusal::Unexpected`].
pub fn expect(token: Option<Token>, expected: &'static str) -> Result<Token, Refusal> {
    match token {
        Some(token) if token.name == expected => Ok(token),
        Some(token) => Err(Refusal::Unexpected { found: token.name.escape_debug().to_string(), expected }),
        None => Err(Refusal::Unexpected { found: "nothing".to_owned(), expected }),
    }
}
