//! The two adapters to `tokio_util::codec`: any codec as a framing, and any framing as a codec.

use std::fmt;
use std::io;
use std::time::Instant;

use bytes::{BufMut, BytesMut};
use tokio_util::codec;

use super::{
    Control, Event, Framing, FramingError, FramingFactory, Halves, Handshake, MessageDecoder, MessageEncoder,
    Role, Seal, UnencodableError,
};
use crate::limits::{Limits, PART_OVERHEAD};
use crate::message::{Message, MessageRef};
use crate::write_buffer::WriteBuffer;

/// Makes a [`Framing`] of any `tokio_util` codec.
///
/// It has no authentication exchange: only the `NULL` mechanism fits, and the peer's identity is what the transport
/// proved. Two codecs are made for each connection, one a direction, so that both can be used at once.
///
/// # Security
///
/// The codec must itself refuse lengths that are too large before it reserves memory for them;
/// [`Limits::message`](crate::Limits::message) is checked here only once a message is complete, and against the bytes
/// that wait for the codec.
///
/// # Examples
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use transport_core::framing::CodecFraming;
/// use transport_core::{Message, MessageRef};
///
/// let lines = CodecFraming::new(
///     || LinesCodec::new_with_max_length(4096),
///     |line: String| Message::from(line),
///     |message: MessageRef<'_>| {
///         let part = message.parts().next().unwrap_or_default();
///         String::from_utf8(part.to_vec()).map_err(|error| error.to_string())
///     },
/// );
/// # let _ = lines;
/// ```
pub struct CodecFraming<M, F, T> {
    make: M,
    from_item: F,
    to_item: T,
}

impl<M, F, T> CodecFraming<M, F, T> {
    /// A framing from a function that makes a codec, one that turns what it decodes into a message, and one that
    /// turns a message into what it encodes (or says why it cannot).
    pub fn new(make: M, from_item: F, to_item: T) -> CodecFraming<M, F, T> {
        CodecFraming { make, from_item, to_item }
    }
}

impl<M, F, T> fmt::Debug for CodecFraming<M, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodecFraming")
    }
}

impl<C, M, F, T, I> FramingFactory for CodecFraming<M, F, T>
where
    C: codec::Decoder + codec::Encoder<I> + Send + 'static,
    <C as codec::Decoder>::Error: fmt::Display,
    <C as codec::Encoder<I>>::Error: fmt::Display,
    M: Fn() -> C + Send + Sync,
    F: Fn(C::Item) -> Message + Clone + Send + Sync + 'static,
    T: Fn(MessageRef<'_>) -> Result<I, String> + Clone + Send + Sync + 'static,
    I: 'static,
{
    fn framing(&self, _role: Role, _mechanisms: &[&str], limits: &Limits) -> Box<dyn Framing> {
        let decoder =
            CodecDecoder { codec: (self.make)(), from_item: self.from_item.clone(), limit: limits.message };
        let encoder = CodecEncoder {
            codec: (self.make)(),
            to_item: self.to_item.clone(),
            buffer: BytesMut::new(),
            item: std::marker::PhantomData,
        };
        Box::new(CodecHalves(Some(Halves { encoder: Box::new(encoder), decoder: Box::new(decoder) })))
    }
}

/// The framing before it is split: there is nothing to say in between.
struct CodecHalves(Option<Halves>);

impl Framing for CodecHalves {
    fn handshake(&self) -> Handshake {
        Handshake::None
    }

    fn into_halves(
        mut self: Box<Self>,
        seal: Option<Seal>,
        _limits: &Limits,
        _now: Instant,
    ) -> Result<Halves, FramingError> {
        match (seal, self.0.take()) {
            (None, Some(halves)) => Ok(halves),
            _ => Err(FramingError::Unsupported { what: "a seal" }),
        }
    }
}

struct CodecDecoder<C, F> {
    codec: C,
    from_item: F,
    limit: usize,
}

impl<C, F> MessageDecoder for CodecDecoder<C, F>
where
    C: codec::Decoder + Send,
    C::Error: fmt::Display,
    F: Fn(C::Item) -> Message + Send,
{
    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Event>, FramingError> {
        let item = self.codec.decode(input).map_err(|error| FramingError::Codec(error.to_string()))?;
        let too_large =
            |announced: usize| FramingError::TooLarge { announced: announced as u64, limit: self.limit };
        let Some(item) = item else {
            // A codec without a limit of its own must not gather for ever.
            return if input.len() > self.limit { Err(too_large(input.len())) } else { Ok(None) };
        };
        let message = (self.from_item)(item);
        let bytes = message.byte_count() + PART_OVERHEAD * message.part_count();
        if bytes > self.limit { Err(too_large(bytes)) } else { Ok(Some(Event::Message(message))) }
    }
}

struct CodecEncoder<C, T, I> {
    codec: C,
    to_item: T,
    buffer: BytesMut,
    item: std::marker::PhantomData<fn(I)>,
}

impl<C, T, I> MessageEncoder for CodecEncoder<C, T, I>
where
    C: codec::Encoder<I> + Send,
    C::Error: fmt::Display,
    T: Fn(MessageRef<'_>) -> Result<I, String> + Send,
{
    fn encode(&mut self, message: MessageRef<'_>, out: &mut WriteBuffer) -> Result<(), UnencodableError> {
        let item = (self.to_item)(message).map_err(UnencodableError::new)?;
        self.buffer.clear();
        let encoded = self.codec.encode(item, &mut self.buffer);
        encoded.map_err(|error| UnencodableError::new(error.to_string()))?;
        out.put_bytes(&self.buffer.split().freeze());
        Ok(())
    }
}

/// A framing after the handshake as a `tokio_util` codec: an `Encoder` of messages and a `Decoder` into them.
///
/// [`Connection::into_framed`](crate::Connection::into_framed) makes one with the stream around it. Pings are
/// answered with the next message that is encoded; own heartbeats are not sent, since a codec has no clock.
pub struct FramedCodec {
    halves: Halves,
    pongs: Vec<Control>,
}

/// Beyond this many unanswered pings a peer is flooding, and further ones get no answer.
const MOST_PONGS: usize = 64;

impl FramedCodec {
    /// A codec of the two halves of a framing.
    pub fn new(halves: Halves) -> FramedCodec {
        FramedCodec { halves, pongs: Vec::new() }
    }
}

impl fmt::Debug for FramedCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FramedCodec")
    }
}

/// Errors become [`io::Error`]s of kind `InvalidData` (the peer broke the protocol).
impl codec::Decoder for FramedCodec {
    type Item = Message;
    type Error = io::Error;

    fn decode(&mut self, input: &mut BytesMut) -> io::Result<Option<Message>> {
        loop {
            let event = self.halves.decoder.decode(input);
            match event.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                None => return Ok(None),
                Some(Event::Message(message)) => return Ok(Some(message)),
                Some(Event::Control(Control::Ping { context, .. })) if self.pongs.len() < MOST_PONGS => {
                    self.pongs.push(Control::Pong { context });
                }
                Some(_) => {}
            }
        }
    }

    fn decode_eof(&mut self, input: &mut BytesMut) -> io::Result<Option<Message>> {
        match self.decode(input)? {
            None if self.halves.decoder.is_mid_message(input) => Err(io::ErrorKind::UnexpectedEof.into()),
            other => Ok(other),
        }
    }
}

/// Errors become [`io::Error`]s of kind `InvalidInput` (this framing cannot carry the message).
impl codec::Encoder<Message> for FramedCodec {
    type Error = io::Error;

    fn encode(&mut self, message: Message, output: &mut BytesMut) -> io::Result<()> {
        let mut out = WriteBuffer::new();
        for pong in self.pongs.drain(..) {
            self.halves.encoder.encode_control(&pong, &mut out);
        }
        let encoded = self.halves.encoder.encode((&message).into(), &mut out);
        encoded.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        output.reserve(out.len());
        output.put_slice(&out.to_vec());
        Ok(())
    }
}
