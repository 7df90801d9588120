//! Messages behind a 4-byte length: what many programs speak that know no ZeroMQ.

use std::time::Instant;

use bytes::{Buf, BytesMut};

use super::{
    Event, Framing, FramingError, FramingFactory, Halves, Handshake, MessageDecoder, MessageEncoder, Role,
    Seal, UnencodableError,
};
use crate::limits::{Limits, PART_OVERHEAD};
use crate::message::{Lent, Message, MessageRef};
use crate::write_buffer::WriteBuffer;

/// Messages of one part, each behind its length in 4 bytes, big-endian.
///
/// ```text
/// message = length(4) body          00 00 00 02  68 69  is "hi"
/// ```
///
/// There is no greeting and no authentication exchange: only the `NULL` mechanism fits, and the peer's identity is
/// what the transport proved. There are no heartbeats.
#[derive(Clone, Copy, Debug, Default)]
pub struct LengthPrefixed;

impl FramingFactory for LengthPrefixed {
    fn framing(&self, _role: Role, _mechanisms: &[&str], _limits: &Limits) -> Box<dyn Framing> {
        Box::new(LengthPrefixed)
    }
}

impl Framing for LengthPrefixed {
    fn handshake(&self) -> Handshake {
        Handshake::None
    }

    fn into_halves(
        self: Box<Self>,
        seal: Option<Seal>,
        limits: &Limits,
        _now: Instant,
    ) -> Result<Halves, FramingError> {
        match seal {
            Some(_) => Err(FramingError::Unsupported { what: "a seal" }),
            None => {
                Ok(Halves { encoder: Box::new(*self), decoder: Box::new(Decoder { limit: limits.message }) })
            }
        }
    }
}

impl MessageEncoder for LengthPrefixed {
    fn encode(&mut self, message: MessageRef<'_>, out: &mut WriteBuffer) -> Result<(), UnencodableError> {
        if message.part_count() != 1 {
            return Err(UnencodableError::new("it has several parts, and this framing carries one"));
        }
        let Ok(length) = u32::try_from(message.byte_count()) else {
            return Err(UnencodableError::new("it is larger than 4 GiB"));
        };
        out.put_slice(&length.to_be_bytes());
        match message.0 {
            Lent::Parts(parts) => parts.iter().for_each(|part| out.put_bytes(part)),
            _ => message.parts().for_each(|part| out.put_slice(part)),
        }
        Ok(())
    }
}

struct Decoder {
    limit: usize,
}

impl MessageDecoder for Decoder {
    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Event>, FramingError> {
        let Some(length) = input.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length);
        let body = usize::try_from(length).unwrap_or(usize::MAX);
        if body.saturating_add(PART_OVERHEAD) > self.limit {
            return Err(FramingError::TooLarge { announced: u64::from(length), limit: self.limit });
        }
        if input.len() < 4 + body {
            return Ok(None);
        }
        input.advance(4);
        Ok(Some(Event::Message(Message::new(input.split_to(body).freeze()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_is_written_and_cut_at_every_byte() {
        let mut out = WriteBuffer::new();
        LengthPrefixed.encode("hi".into(), &mut out).unwrap();
        assert_eq!(out.to_vec(), b"\0\0\0\x02hi");
        let mut decoder = Decoder { limit: 100 };
        let mut input = BytesMut::new();
        for byte in &out.to_vec()[..5] {
            input.extend_from_slice(&[*byte]);
            assert!(decoder.decode(&mut input).unwrap().is_none());
        }
        input.extend_from_slice(b"i");
        let Ok(Some(Event::Message(message))) = decoder.decode(&mut input) else { panic!("a message") };
        assert_eq!(message, Message::from("hi"));
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_the_body_arrives() {
        let error = Decoder { limit: 100 }.decode(&mut BytesMut::from(&[0xff; 4][..])).unwrap_err();
        assert_eq!(error, FramingError::TooLarge { announced: 0xffff_ffff, limit: 100 });
    }

    #[test]
    fn several_parts_are_refused() {
        let message: Message = ["a", "b"].into_iter().collect();
        let mut out = WriteBuffer::new();
        assert!(LengthPrefixed.encode((&message).into(), &mut out).is_err());
        assert!(out.is_empty());
    }
}
