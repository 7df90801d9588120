//! Bytes to messages and back: the framing trait and the framings that core ships.

mod codec;
mod length_prefixed;
pub mod zmtp;

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::batch::Batch;
use crate::claims::Claims;
use crate::limits::Limits;
use crate::message::{Message, MessageRef};
use crate::write_buffer::WriteBuffer;

pub use codec::{CodecFraming, FramedCodec};
pub use length_prefixed::LengthPrefixed;

/// How the bytes of one connection become messages, from its first byte until it is authenticated.
///
/// A framing is logic without I/O: it is given bytes and a clock, and answers with events and with bytes to write.
/// Core drives it. Whoever brings a wire format of their own implements this trait, [`MessageEncoder`] and
/// [`MessageDecoder`], and hands a [`FramingFactory`] to [`Connect`](crate::Connect) or [`Listen`](crate::Listen).
///
/// # Contract
///
/// 1. [`start`](Framing::start) is called once, before any byte has arrived.
/// 2. [`decode`](Framing::decode) is called whenever bytes have arrived, again and again until it returns `None`.
///    It takes what it uses off the front of `input` and leaves the rest. It must give the same events however the
///    bytes were cut.
/// 3. A framing that has no authentication exchange says so with [`Handshake::None`] and is split at once. Another
///    one yields [`Event::Offer`] when it knows which mechanism the peer wants; core answers with
///    [`choose`](Framing::choose); then [`Event::Token`]s go to the mechanism and its tokens to
///    [`encode_token`](Framing::encode_token).
///    A connecting side names its mechanism in `start` and has nothing to write in `choose`.
/// 4. When the mechanism is done, core shows the peer's properties to [`accept_claims`](Framing::accept_claims), and
///    [`into_halves`](Framing::into_halves) turns the framing into its two directions. Bytes that arrived early stay
///    in `input` and go to the decoder.
///
/// A framing without an authentication exchange needs only [`handshake`](Framing::handshake) and `into_halves`; the
/// defaults of the others do nothing.
pub trait Framing: Send {
    /// Whether there is an authentication exchange.
    fn handshake(&self) -> Handshake;

    /// Writes what this side sends first.
    fn start(&mut self, _out: &mut WriteBuffer) {}

    /// Whether the connecting side's first token may follow what [`start`](Framing::start) writes, before the peer has named
    /// its mechanism: one round trip less, for mechanisms that need no answer to begin. The default: no.
    fn takes_early_token(&self) -> bool {
        false
    }

    /// Takes one event off the front of `input`; `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// When the peer broke the protocol or a limit. The connection is closed then.
    fn decode(&mut self, _input: &mut BytesMut) -> Result<Option<Event>, FramingError> {
        Ok(None)
    }

    /// How many bytes after `input` belong to the handshake for certain: at least 1. Where descriptors may follow, core
    /// reads no more than that at once, since the kernel drops those of the bytes read before authentication.
    fn missing(&self, _input: &[u8]) -> usize {
        1
    }

    /// Answers [`Event::Offer`] with the mechanism that this side will use.
    fn choose(&mut self, _mechanism: &str, _out: &mut WriteBuffer) {}

    /// Writes a token of the mechanism.
    fn encode_token(&mut self, _token: &Token, _out: &mut WriteBuffer) {}

    /// Tells the peer that it is refused; a framing that cannot say so writes nothing.
    fn encode_refusal(&mut self, _reason: &str, _out: &mut WriteBuffer) {}

    /// The properties that this side's mechanism shall send: the framing's own, such as the socket type.
    fn own_claims(&self) -> Claims {
        Claims::new()
    }

    /// Checks the properties that came from the peer.
    ///
    /// # Errors
    ///
    /// When the two ends do not fit together.
    fn accept_claims(&mut self, _claims: &Claims) -> Result<(), FramingError> {
        Ok(())
    }

    /// Ends the handshake; with a `seal`, every later frame passes through it.
    ///
    /// # Errors
    ///
    /// When the framing cannot carry a seal.
    fn into_halves(
        self: Box<Self>,
        seal: Option<Seal>,
        limits: &Limits,
        now: Instant,
    ) -> Result<Halves, FramingError>;
}

/// Whether a [`Framing`] has an authentication exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Each side names a mechanism, and tokens are exchanged.
    Mechanism,
    /// The first byte already belongs to a message: the peer's identity is what the transport proved.
    None,
}

/// Makes a [`Framing`] for each new connection.
pub trait FramingFactory: Send + Sync {
    /// The framing for a new connection. `mechanisms` are the names that this side can use, the preferred one first;
    /// a connecting side has exactly one.
    fn framing(&self, role: Role, mechanisms: &[&str], limits: &Limits) -> Box<dyn Framing>;
}

/// Which side of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The side that connected.
    Client,
    /// The side that accepted.
    Server,
}

/// The two directions of a framing after the handshake.
pub struct Halves {
    /// Messages to bytes.
    pub encoder: Box<dyn MessageEncoder>,
    /// Bytes to messages.
    pub decoder: Box<dyn MessageDecoder>,
}

/// The outgoing direction of a [`Framing`] after the handshake.
pub trait MessageEncoder: Send {
    /// Appends one message.
    ///
    /// # Errors
    ///
    /// When this framing cannot carry the message; `out` is as it was then.
    fn encode(&mut self, message: MessageRef<'_>, out: &mut WriteBuffer) -> Result<(), UnencodableError>;

    /// Encoders that give the same name here encode a message to the same bytes, so that one can do it for all; `None`,
    /// the default, when the bytes are this encoder's alone.
    fn encoding(&self) -> Option<&'static str> {
        None
    }

    /// The whole messages in bytes that this encoder has written and that were not sent, control events left out; none,
    /// the default, when it cannot tell.
    fn recover(&self, _bytes: Vec<u8>) -> Vec<Message> {
        Vec::new()
    }

    /// Appends a control event; a framing that has none writes nothing.
    fn encode_control(&mut self, _control: &Control, _out: &mut WriteBuffer) {}
}

/// The incoming direction of a [`Framing`] after the handshake.
pub trait MessageDecoder: Send {
    /// Takes one event off the front of `input`; `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// When the peer broke the protocol or a limit.
    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Event>, FramingError>;

    /// Appends up to `max` messages to `messages`, stopping early at any other event, which is returned.
    ///
    /// The default calls [`decode`](MessageDecoder::decode) again and again.
    ///
    /// # Errors
    ///
    /// As `decode`. Messages that came before the error have been appended.
    fn decode_many(
        &mut self,
        input: &mut BytesMut,
        messages: &mut Vec<Message>,
        max: usize,
    ) -> Result<Option<Event>, FramingError> {
        for _ in 0..max {
            match self.decode(input)? {
                Some(Event::Message(message)) => messages.push(message),
                other => return Ok(other),
            }
        }
        Ok(None)
    }

    /// Shows each message that has arrived to `visit`, stopping early at any other event, which is returned.
    ///
    /// The default calls [`decode`](MessageDecoder::decode) again and again; a decoder that can lend messages from
    /// `input` without counting references to it is several times as fast.
    ///
    /// # Errors
    ///
    /// As `decode`. Messages that came before the error have been shown.
    fn decode_each(
        &mut self,
        input: &mut BytesMut,
        visit: &mut dyn FnMut(MessageRef<'_>),
    ) -> Result<Option<Event>, FramingError> {
        loop {
            match self.decode(input)? {
                Some(Event::Message(message)) => visit((&message).into()),
                other => return Ok(other),
            }
        }
    }

    /// Adds up to `max` messages to `batch`, stopping early at any other event, which is returned. Messages may be left in
    /// `input` where `batch` has some.
    ///
    /// The default calls [`decode`](MessageDecoder::decode) again and again; a decoder that only notes down where messages lie
    /// is several times as fast.
    ///
    /// # Errors
    ///
    /// As `decode`. Messages that came before the error have been added.
    fn decode_batch(
        &mut self,
        input: &mut BytesMut,
        batch: &mut Batch,
        max: usize,
    ) -> Result<Option<Event>, FramingError> {
        for _ in 0..max {
            match self.decode(input)? {
                Some(Event::Message(message)) => batch.push(message),
                other => return Ok(other),
            }
        }
        Ok(None)
    }

    /// How long the frame at the front of `input` is, header included, once it says so: where it is large, memory is made to
    /// its measure. `None`, the default, when that is not known.
    fn frame_length(&self, _input: &[u8]) -> Option<usize> {
        None
    }

    /// Whether bytes of an unfinished message are held, here or in `input`: an end of stream would cut it.
    fn is_mid_message(&self, input: &BytesMut) -> bool {
        !input.is_empty()
    }

    /// Puts bytes that were taken off `input` and not decoded yet back in front of it: someone else goes on with it.
    fn give_back(&mut self, _input: &mut BytesMut) {}

    /// Bytes that arrived and are held here, outside of `input`.
    fn held_bytes(&self) -> usize {
        0
    }

    /// Tells that bytes arrived at `now`.
    fn heard(&mut self, _now: Instant) {}

    /// When [`on_deadline`](MessageDecoder::on_deadline) wants to be called.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Tells that the deadline has passed: an event to send, such as a ping, or the end of a silent peer.
    ///
    /// # Errors
    ///
    /// When the peer has been silent for too long.
    fn on_deadline(&mut self, _now: Instant) -> Result<Option<Control>, FramingError> {
        Ok(None)
    }

    /// How often to send what, so that the peer knows that this side is alive while it reads nothing.
    fn sign_of_life(&self) -> Option<(Duration, Control)> {
        None
    }
}

/// What came from the peer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The mechanism that the peer named; only during the handshake.
    Offer(String),
    /// A step of the authentication exchange; only during the handshake.
    Token(Token),
    /// The peer refused this side, for the reason that it gives.
    Refused(String),
    /// A message; only after the handshake.
    Message(Message),
    /// A control event; only after the handshake.
    Control(Control),
}

/// A step of an authentication exchange: how a [`Mechanism`](crate::Mechanism) travels.
///
/// In ZMTP a command. The body may hold secrets, so it is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The name, such as `READY`.
    pub name: String,
    /// The body.
    pub body: Bytes,
}

impl Token {
    /// A token.
    pub fn new(name: impl Into<String>, body: impl Into<Bytes>) -> Token {
        Token { name: name.into(), body: body.into() }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, {} bytes)", self.name, self.body.len())
    }
}

/// A sign of life, or the request for one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// Asks the peer for a [`Control::Pong`].
    Ping {
        /// How long the receiver may wait for the next frame before it counts this side as dead; zero for ever.
        ttl: Duration,
        /// Sent back in the pong.
        context: Bytes,
    },
    /// Answers a ping.
    Pong {
        /// What the ping carried.
        context: Bytes,
    },
}

/// Seals and opens every frame after the handshake: what a mechanism such as CURVE hands back.
pub struct Seal {
    /// For frames that go out.
    pub sealer: Box<dyn Sealer>,
    /// For frames that come in.
    pub opener: Box<dyn Opener>,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

/// The outgoing direction of a [`Seal`].
pub trait Sealer: Send {
    /// By how many bytes a sealed frame body is longer than its content: the same for every frame.
    fn overhead(&self) -> usize;

    /// How many more frames can be sealed; a message of more parts is not sent.
    fn frames_left(&self) -> u64 {
        u64::MAX
    }

    /// Appends the sealed frame body that carries `frame` to `out`, which has other bytes before it.
    fn seal(&mut self, frame: Sealed<'_>, out: &mut Vec<u8>);
}

/// The incoming direction of a [`Seal`].
pub trait Opener: Send {
    /// Opens a frame body where it lies: what it says of the frame, and where in `body` its content now is.
    ///
    /// Called once for each frame, in their order.
    ///
    /// # Errors
    ///
    /// When it was not sealed by the peer, or is a replay.
    fn open(&mut self, body: &mut [u8]) -> Result<Opened, FramingError>;
}

/// A frame to seal.
#[derive(Clone, Copy, Debug)]
pub struct Sealed<'a> {
    /// Whether more parts of the message follow.
    pub more: bool,
    /// Whether it is a command.
    pub command: bool,
    /// The content.
    pub content: &'a [u8],
}

/// A frame that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Whether more parts of the message follow.
    pub more: bool,
    /// Whether it is a command.
    pub command: bool,
    /// Where the content is in the body.
    pub content: Range<usize>,
}

/// How the peer broke the framing's protocol or a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// A frame or message announced more than the limit.
    #[error("the peer announced {announced} bytes, the limit is {limit}")]
    TooLarge {
        /// The bytes that were announced, all parts so far together.
        announced: u64,
        /// The limit.
        limit: usize,
    },
    /// A message has more parts than the limit.
    #[error("the peer sent a message of more than {limit} parts")]
    TooManyParts {
        /// The limit.
        limit: usize,
    },
    /// The peer does not speak this protocol, or not this version.
    #[error("the peer does not speak {expected}: {found}")]
    Protocol {
        /// The protocol.
        expected: &'static str,
        /// What came instead.
        found: String,
    },
    /// A command or a property list that is not well formed, or that does not belong here.
    #[error("the peer sent a malformed {what}: {problem}")]
    Malformed {
        /// What was malformed.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The two ends do not fit together.
    #[error("the peer is a {theirs} socket, which a {ours} socket does not talk to")]
    Incompatible {
        /// This side's socket type.
        ours: String,
        /// The peer's socket type.
        theirs: String,
    },
    /// A sealed frame could not be opened.
    #[error("a frame was not sealed by the peer: {problem}")]
    Seal {
        /// What is wrong.
        problem: &'static str,
    },
    /// The peer gave no sign of life for this long.
    #[error("the peer gave no sign of life for {silence:?}")]
    Silent {
        /// How long.
        silence: Duration,
    },
    /// This framing cannot do what the mechanism asks for.
    #[error("this framing cannot carry {what}")]
    Unsupported {
        /// What.
        what: &'static str,
    },
    /// The error of a codec made elsewhere.
    #[error("the codec failed: {0}")]
    Codec(String),
}

/// A message that a framing cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this framing cannot carry the message: {problem}")]
pub struct UnencodableError {
    problem: String,
}

impl UnencodableError {
    /// Says why.
    pub fn new(problem: impl Into<String>) -> UnencodableError {
        UnencodableError { problem: problem.into() }
    }
}
