//! Bytes to messages and back: the framing trait and the framings that core ships.

mod codec;
mod error;
mod event;
mod halves;
mod length_prefixed;
mod seal;
pub mod zmtp;

use std::time::Instant;

use bytes::BytesMut;

use crate::claims::Claims;
use crate::limits::Limits;
use crate::write_buffer::WriteBuffer;

pub use codec::{CodecFraming, FramedCodec};
pub use error::{FramingError, UnencodableError};
pub use event::{Control, Event, Token};
pub use halves::{Halves, MessageDecoder, MessageEncoder};
pub use length_prefixed::LengthPrefixed;
pub use seal::{Opened, Opener, Seal, Sealed, Sealer};

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
