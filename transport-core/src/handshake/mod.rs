//! From an open stream to an authenticated peer: the logic, without I/O.
//!
//! ```text
//!          start                 Offer                  Token ...                  Done
//! client  --------> greeting  ----------> exchange  ----------------> policy  ----------> complete
//!         policy, if the mechanism        |      ^
//!         will not prove the server;      v      | resume
//!         an opening token goes along
//! server  --------> greeting              waiting for an account store
//! ```

#[cfg(test)]
mod replay;

use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::claims::Claims;
use crate::descriptors;
use crate::evidence::{Evidence, Protection};
use crate::framing::{self, Event, Framing, FramingError, FramingFactory, Halves, Role, Token};
use crate::identity::Identity;
use crate::limits::Limits;
use crate::mechanism::{self, DENIED, Mechanism, MechanismFactory, Outcome, Refusal, SharedMechanism, Step};
use crate::policy::{Denied, Policy};
use crate::transport::TransportError;
use crate::write_buffer::WriteBuffer;

/// What all handshakes of one listener, or of one connecting side, have in common.
pub(crate) struct HandshakeConfig {
    pub(crate) role: Role,
    /// At least one; a client has exactly one.
    pub(crate) mechanisms: Vec<SharedMechanism>,
    pub(crate) framing: Arc<dyn FramingFactory>,
    pub(crate) policy: Policy,
    /// Asked of whom the policy allows.
    pub(crate) admission: Option<Box<Admission>>,
    pub(crate) limits: Limits,
    pub(crate) danger_plaintext: bool,
    /// For the connections that come of them: how long a receiver asks the socket before it waits.
    pub(crate) spin: Duration,
}

/// Says whether there is a place for a peer: see [`Listen::admission`](crate::Listen::admission).
pub(crate) type Admission = dyn Fn(&Identity, &Claims) -> Result<(), BoxError> + Send + Sync;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a peer did not become a [`Connection`](crate::Connection).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer is not whom the policy allows.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The policy allows the peer, and there is no place for it now: see [`Listen::admission`](crate::Listen::admission).
    #[error("there is no place for the peer")]
    NoPlace(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The peer failed the mechanism.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// The peer refused this side.
    #[error("the peer refused this side: {}{}", crate::identity::Printable(.reason), explain(.reason))]
    RefusedByPeer {
        /// The reason that it gave, often only a status code such as 400.
        reason: String,
    },
    /// The peer wants a mechanism that this side does not have.
    #[error("the peer wants the mechanism {}, this side has {allowed}", crate::identity::Printable(.offered))]
    Mechanism {
        /// What the peer named.
        offered: String,
        /// What this side has.
        allowed: String,
    },
    /// The stream is too weakly protected for the mechanism.
    #[error(transparent)]
    Unprotected(#[from] UnprotectedError),
    /// The peer broke the framing's protocol or a limit.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// The peer sent more frames than the limit before it was authenticated.
    #[error("the peer sent more than {limit} frames before it was authenticated")]
    TooManyFrames {
        /// The limit.
        limit: usize,
    },
    /// The peer was not authenticated in time.
    #[error("the peer was not authenticated within {0:?}")]
    Deadline(Duration),
    /// The peer closed the stream.
    #[error(
        "the peer closed the stream before it was authenticated: it may want another mechanism, not let this side in, or have no place for it"
    )]
    Closed,
    /// The handshake gave way to newer ones: too many were under way, most of them from this peer's source.
    #[error("gave way to newer handshakes: too many were under way")]
    Evicted,
    /// The transport's own handshake failed.
    #[error(transparent)]
    Transport(TransportError),
    /// Reading or writing failed.
    #[error("the stream failed during the handshake")]
    Io(#[source] io::Error),
}

impl HandshakeError {
    /// The reason in a word, as a label for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            HandshakeError::Denied(_) => "denied",
            HandshakeError::NoPlace(_) => "no_place",
            HandshakeError::Refusal(_) => "mechanism_failed",
            HandshakeError::RefusedByPeer { .. } => "refused_by_peer",
            HandshakeError::Mechanism { .. } => "mechanism_unknown",
            HandshakeError::Unprotected(_) => "unprotected",
            HandshakeError::Framing(_) => "violation",
            HandshakeError::TooManyFrames { .. } => "too_many_frames",
            HandshakeError::Deadline(_) => "deadline",
            HandshakeError::Closed => "peer_closed",
            HandshakeError::Evicted => "evicted",
            HandshakeError::Transport(_) => "transport",
            HandshakeError::Io(_) => "io",
        }
    }
}

/// A peer is denied by the policy wherever it was asked.
impl From<TransportError> for HandshakeError {
    fn from(error: TransportError) -> HandshakeError {
        match error {
            TransportError::Denied(denied) => HandshakeError::Denied(denied),
            error => HandshakeError::Transport(error),
        }
    }
}

/// A peer that closes while something is still on its way to it shows as a reset or a broken pipe, by chance.
impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> HandshakeError {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionReset | UnexpectedEof => HandshakeError::Closed,
            _ => HandshakeError::Io(error),
        }
    }
}

/// What the status codes of RFC 27/ZAP mean.
fn explain(reason: &str) -> &'static str {
    match reason {
        DENIED => " (it does not let this side in)",
        "300" => " (not now, try again later)",
        "500" => " (its authentication failed to work)",
        _ => "",
    }
}

/// A mechanism must not be used over this stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; use tls or unix, a mechanism that seals, or spell danger_plaintext()")]
pub struct UnprotectedError {
    problem: String,
}

/// Checks that a mechanism is strong enough for the stream, or the caller has said that it need not be.
pub(crate) fn check_protection(
    mechanism: &dyn MechanismFactory,
    protection: Protection,
    danger_plaintext: bool,
) -> Result<(), UnprotectedError> {
    let properties = mechanism.properties();
    let name = mechanism.name();
    let problem = match protection {
        _ if danger_plaintext => return Ok(()),
        Protection::None if !properties.seals => {
            format!(
                "anyone on the way could read and change what is sent after {name} over an unprotected stream"
            )
        }
        Protection::None | Protection::Loopback if properties.reveals_secret => {
            format!("{name} would send its password readable to whoever listens at the port")
        }
        _ => return Ok(()),
    };
    Err(UnprotectedError { problem })
}

/// One handshake under way.
pub(crate) struct Handshake {
    config: Arc<HandshakeConfig>,
    framing: Box<dyn Framing>,
    evidence: Evidence,
    /// What the peer told the transport.
    claims: Claims,
    own_claims: Claims,
    /// Present from the peer's greeting on; from the start where the first token goes with this side's own.
    mechanism: Option<Box<dyn Mechanism>>,
    /// The peer has named its mechanism.
    greeted: bool,
    waiting: bool,
    frames: usize,
    /// This side has offered to take descriptors.
    offers_descriptors: bool,
}

/// What a handshake needs next.
pub(crate) enum Progress {
    /// More bytes of the peer.
    More,
    /// [`Handshake::poll_wait`], then [`Handshake::resume`].
    Wait,
    /// Nothing: the peer is authenticated.
    Complete(Box<Complete>),
}

/// An authenticated peer.
pub(crate) struct Complete {
    pub(crate) identity: Identity,
    pub(crate) claims: Claims,
    pub(crate) halves: Halves,
    /// The stream's, or the seal's where there is one.
    pub(crate) protection: Protection,
    /// Both sides pass descriptors: how many this one takes with a message.
    pub(crate) descriptors: Option<usize>,
}

impl Handshake {
    pub(crate) fn new(config: Arc<HandshakeConfig>, evidence: Evidence, claims: Claims) -> Handshake {
        let names: Vec<&str> = config.mechanisms.iter().map(|mechanism| mechanism.name()).collect();
        let framing = config.framing.framing(config.role, &names, &config.limits);
        let own_claims = framing.own_claims();
        Handshake {
            config,
            framing,
            evidence,
            claims,
            own_claims,
            mechanism: None,
            greeted: false,
            waiting: false,
            frames: 0,
            offers_descriptors: false,
        }
    }

    /// Tells that the stream carries descriptors: they will be passed if both sides' limits have room for some.
    pub(crate) fn offer_descriptors(&mut self) {
        let most = self.most_descriptors();
        if most > 0 {
            self.offers_descriptors = true;
            self.own_claims.push(descriptors::PROPERTY, most.to_string());
        }
    }

    fn most_descriptors(&self) -> usize {
        self.config.limits.descriptors.min(descriptors::MOST_DESCRIPTORS)
    }

    /// How many bytes may be read at once after `input`.
    pub(crate) fn room(&self, input: &[u8]) -> usize {
        if self.offers_descriptors { self.framing.missing(input) } else { usize::MAX }
    }

    /// Starts: bytes to send are appended to `out`, here and below, also when there is an error.
    pub(crate) fn start(&mut self, out: &mut WriteBuffer, now: Instant) -> Result<Progress, HandshakeError> {
        if self.framing.handshake() == framing::Handshake::None {
            let null = self.config.mechanisms.iter().find(|mechanism| mechanism.name() == "NULL");
            let Some(null) = null else {
                return Err(FramingError::Unsupported { what: "any mechanism but NULL" }.into());
            };
            check_protection(&**null, self.evidence.protection(), self.config.danger_plaintext)?;
            self.framing.start(out);
            return self.complete(None, Outcome::default(), out, now);
        }
        if self.config.role == Role::Client {
            // Nothing, least of all a password, goes to a server that may not have it.
            let mechanism = &*self.config.mechanisms[0];
            check_protection(mechanism, self.evidence.protection(), self.config.danger_plaintext)?;
            let properties = mechanism.properties();
            if !properties.proves_server {
                self.config.policy.check(&self.known_identity())?;
            }
            if properties.opens_unasked && self.framing.takes_early_token() {
                self.mechanism = Some(mechanism.mechanism(Role::Client));
            }
        }
        self.framing.start(out);
        if self.mechanism.is_some() { self.step(None, out, now) } else { Ok(Progress::More) }
    }

    /// Takes the bytes that arrived.
    pub(crate) fn receive(
        &mut self,
        input: &mut BytesMut,
        out: &mut WriteBuffer,
        now: Instant,
    ) -> Result<Progress, HandshakeError> {
        loop {
            if self.waiting {
                return Ok(Progress::Wait);
            }
            let Some(event) = self.framing.decode(input)? else {
                return Ok(Progress::More);
            };
            let progress = match event {
                Event::Offer(offered) => self.offered(&offered, out, now)?,
                Event::Token(_) if !self.greeted => {
                    let found = "a token".to_owned();
                    return Err(Refusal::Unexpected { found, expected: "the greeting" }.into());
                }
                Event::Token(token) => {
                    self.frames += 1;
                    let limit = self.config.limits.handshake_frames;
                    if self.frames > limit {
                        return Err(HandshakeError::TooManyFrames { limit });
                    }
                    self.step(Some(token), out, now)?
                }
                Event::Refused(reason) => return Err(HandshakeError::RefusedByPeer { reason }),
                Event::Message(_) | Event::Control(_) => {
                    let found = "a message or control event".to_owned();
                    return Err(Refusal::Unexpected { found, expected: "the handshake" }.into());
                }
            };
            if !matches!(progress, Progress::More) {
                return Ok(progress);
            }
        }
    }

    /// Waits for the account store after [`Progress::Wait`].
    pub(crate) fn poll_wait(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        self.mechanism.as_mut().map_or(Poll::Ready(()), |mechanism| mechanism.poll_wait(cx))
    }

    /// Goes on after [`poll_wait`](Handshake::poll_wait).
    pub(crate) fn resume(&mut self, out: &mut WriteBuffer, now: Instant) -> Result<Progress, HandshakeError> {
        self.waiting = false;
        self.step(None, out, now)
    }

    /// Who the peer is as far as the transport has proven it: before the mechanism is done, and for logs.
    pub(crate) fn known_identity(&self) -> Identity {
        Identity::new(&self.evidence, &[])
    }

    fn offered(
        &mut self,
        offered: &str,
        out: &mut WriteBuffer,
        now: Instant,
    ) -> Result<Progress, HandshakeError> {
        if std::mem::replace(&mut self.greeted, true) {
            return Err(Refusal::Unexpected { found: "a second greeting".into(), expected: "a token" }.into());
        }
        let config = Arc::clone(&self.config);
        let Some(chosen) = config.mechanisms.iter().find(|mechanism| mechanism.name() == offered) else {
            self.framing.choose(config.mechanisms[0].name(), out);
            let allowed =
                config.mechanisms.iter().map(|mechanism| mechanism.name()).collect::<Vec<_>>().join(", ");
            return Err(HandshakeError::Mechanism { offered: offered.to_owned(), allowed });
        };
        check_protection(&**chosen, self.evidence.protection(), config.danger_plaintext)?;
        self.framing.choose(chosen.name(), out);
        if self.mechanism.is_some() {
            // Its first token has gone out with this side's greeting.
            return Ok(Progress::More);
        }
        self.mechanism = Some(chosen.mechanism(config.role));
        self.step(None, out, now)
    }

    fn step(
        &mut self,
        token: Option<Token>,
        out: &mut WriteBuffer,
        now: Instant,
    ) -> Result<Progress, HandshakeError> {
        let mechanism = self.mechanism.as_mut().expect("it is there once the peer has named it");
        let context = mechanism::Context {
            role: self.config.role,
            evidence: &self.evidence,
            own_claims: &self.own_claims,
            now,
        };
        match mechanism.step(token, &context) {
            Ok(Step::Send(token)) => self.framing.encode_token(&token, out),
            Ok(Step::Expect) => {}
            Ok(Step::Wait) => {
                self.waiting = true;
                return Ok(Progress::Wait);
            }
            Ok(Step::Done { send, outcome }) => return self.complete(send, outcome, out, now),
            Err(refusal) => {
                if let Some(reason) = refusal.reason_for_peer() {
                    self.refuse(reason, out);
                }
                return Err(refusal.into());
            }
        }
        Ok(Progress::More)
    }

    /// The mechanism is done: the policy decides, and only then does the last token go out.
    fn complete(
        &mut self,
        send: Option<Token>,
        outcome: Outcome,
        out: &mut WriteBuffer,
        now: Instant,
    ) -> Result<Progress, HandshakeError> {
        let identity = Identity::new(&self.evidence, &outcome.proofs);
        if let Err(denied) = self.config.policy.check(&identity) {
            self.refuse(DENIED, out);
            return Err(denied.into());
        }
        if let Err(error) = self.framing.accept_claims(&outcome.claims) {
            self.refuse("the two ends do not fit together", out);
            return Err(error.into());
        }
        let both_pass_descriptors =
            self.offers_descriptors && descriptors::taken_by_peer(&outcome.claims)? > 0;
        let mut claims = std::mem::take(&mut self.claims);
        claims.extend(outcome.claims);
        if let Some(admission) = &self.config.admission {
            // No ERROR: it is final to libzmq's clients, and a place may become free.
            admission(&identity, &claims).map_err(HandshakeError::NoPlace)?;
        }
        if let Some(token) = send {
            self.framing.encode_token(&token, out);
        }
        // `Handshake` is not used after this.
        let framing = std::mem::replace(&mut self.framing, Box::new(framing::LengthPrefixed));
        let protection =
            if outcome.seal.is_some() { Protection::Encrypted } else { self.evidence.protection() };
        let halves = framing.into_halves(outcome.seal, &self.config.limits, now)?;
        let descriptors = both_pass_descriptors.then(|| self.most_descriptors());
        Ok(Progress::Complete(Box::new(Complete { identity, claims, halves, protection, descriptors })))
    }

    /// A client that is not content just closes: ERROR is the server's word.
    fn refuse(&mut self, reason: &str, out: &mut WriteBuffer) {
        if self.config.role == Role::Server {
            self.framing.encode_refusal(reason, out);
        }
    }
}
