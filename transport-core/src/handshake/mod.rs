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

mod error;
mod protection;
#[cfg(test)]
mod replay;

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
use crate::mechanism::{self, DENIED, Mechanism, Outcome, Refusal, SharedMechanism, Step};
use crate::policy::Policy;
use crate::write_buffer::WriteBuffer;

pub use error::HandshakeError;
pub use protection::UnprotectedError;
pub(crate) use protection::check_protection;

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
