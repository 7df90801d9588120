//! A framing: netstrings, and an authentication exchange in netstrings before them.
//!
//! ```text
//! netstring = length ":" bytes ","        5:hello,
//! handshake = netstring of
//!             "m" mechanism               each side once, the client first
//!           | "t" name " " body           a token of the mechanism
//!           | "!" reason                  the server refuses
//! message   = netstring
//! ```

use std::time::Instant;

use bytes::{Buf as _, Bytes, BytesMut};
use transport_core::framing::{
    Event, FramingFactory, Halves, Handshake, MessageDecoder, MessageEncoder, Seal, UnencodableError,
};
use transport_core::{Framing, FramingError, Limits, Message, MessageRef, Role, Token, WriteBuffer};

/// Makes the framing for each connection.
pub(crate) struct Netstrings;

impl FramingFactory for Netstrings {
    fn framing(&self, role: Role, mechanisms: &[&str], limits: &Limits) -> Box<dyn Framing> {
        Box::new(Exchange {
            role,
            preferred: mechanisms.first().copied().unwrap_or("NULL").to_owned(),
            limit: limits.handshake_frame,
        })
    }
}

/// The framing up to the end of the authentication exchange.
struct Exchange {
    role: Role,
    preferred: String,
    limit: usize,
}

impl Framing for Exchange {
    fn handshake(&self) -> Handshake {
        Handshake::Mechanism
    }

    fn start(&mut self, out: &mut WriteBuffer) {
        if self.role == Role::Client {
            put(out, &[b"m", self.preferred.as_bytes()]);
        }
    }

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Event>, FramingError> {
        let Some(line) = take(input, self.limit)? else {
            return Ok(None);
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| malformed("it is not UTF-8"));
        match line.split_first() {
            Some((b'm', name)) => Ok(Some(Event::Offer(text(name)?))),
            Some((b'!', reason)) => Ok(Some(Event::Refused(text(reason)?))),
            Some((b't', token)) => {
                let space = token.iter().position(|byte| *byte == b' ');
                let space = space.ok_or_else(|| malformed("a token has no body"))?;
                let body = line.slice(1 + space + 1..);
                Ok(Some(Event::Token(Token::new(text(&token[..space])?, body))))
            }
            _ => Err(malformed("it is no part of the exchange")),
        }
    }

    fn choose(&mut self, mechanism: &str, out: &mut WriteBuffer) {
        if self.role == Role::Server {
            put(out, &[b"m", mechanism.as_bytes()]);
        }
    }

    fn encode_token(&mut self, token: &Token, out: &mut WriteBuffer) {
        put(out, &[b"t", token.name.as_bytes(), b" ", &token.body]);
    }

    fn encode_refusal(&mut self, reason: &str, out: &mut WriteBuffer) {
        put(out, &[b"!", reason.as_bytes()]);
    }

    fn into_halves(
        self: Box<Self>,
        seal: Option<Seal>,
        limits: &Limits,
        _now: Instant,
    ) -> Result<Halves, FramingError> {
        if seal.is_some() {
            return Err(FramingError::Unsupported { what: "a seal" });
        }
        Ok(Halves { encoder: Box::new(Encoder), decoder: Box::new(Decoder { limit: limits.message }) })
    }
}

struct Encoder;

impl MessageEncoder for Encoder {
    fn encode(&mut self, message: MessageRef<'_>, out: &mut WriteBuffer) -> Result<(), UnencodableError> {
        if message.part_count() != 1 {
            return Err(UnencodableError::new("a netstring has no parts"));
        }
        put(out, &[message.parts().next().unwrap_or_default()]);
        Ok(())
    }
}

struct Decoder {
    limit: usize,
}

impl MessageDecoder for Decoder {
    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Event>, FramingError> {
        let bytes = take(input, self.limit)?;
        Ok(bytes.map(|bytes| Event::Message(Message::new(bytes))))
    }
}

/// Appends one netstring.
fn put(out: &mut WriteBuffer, pieces: &[&[u8]]) {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    out.put_slice(format!("{length}:").as_bytes());
    pieces.iter().for_each(|piece| out.put_slice(piece));
    out.put_slice(b",");
}

/// Takes one netstring off the front, once it is there as a whole. A length beyond the limit is refused as soon as it
/// has been read: no memory is ever reserved for it.
fn take(input: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, FramingError> {
    let digits = input.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let no_length = digits == 0 || (digits > 1 && input[0] == b'0');
    if digits > MOST_DIGITS || (no_length && !input.is_empty()) {
        return Err(malformed("it does not begin with a length"));
    }
    let Some(mark) = input.get(digits) else {
        return Ok(None);
    };
    if *mark != b':' {
        return Err(malformed("no colon follows the length"));
    }
    let length = input[..digits].iter().fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    if length > limit {
        let announced = u64::try_from(length).unwrap_or(u64::MAX);
        return Err(FramingError::TooLarge { announced, limit });
    }
    let start = digits + 1;
    match input.get(start + length) {
        None => Ok(None),
        Some(b',') => {
            input.advance(start);
            let bytes = input.split_to(length).freeze();
            input.advance(1);
            Ok(Some(bytes))
        }
        Some(_) => Err(malformed("no comma follows the bytes")),
    }
}

fn malformed(problem: &str) -> FramingError {
    FramingError::Malformed { what: "netstring", problem: problem.to_owned() }
}

/// Enough for any limit, and too few to overflow.
const MOST_DIGITS: usize = 9;
