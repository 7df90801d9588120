//! Sending the same through many connections.

use super::error::SendError;
use super::outbound::Outbound;
use super::queue::Queue;
use super::sender::Sender;
use crate::framing::{MessageEncoder, UnencodableError};
use crate::message::{Message, MessageRef};
use crate::write_buffer::WriteBuffer;

/// A message for many connections, encoded once for all that encode it to the same bytes.
///
/// # Examples
///
/// ```
/// # use transport_core::{Broadcast, SendError, Sender, WriteBuffer};
/// fn publish(senders: &[Sender], message: &[u8], scratch: &mut WriteBuffer) -> Result<usize, SendError> {
///     let mut broadcast = Broadcast::new(message, scratch);
///     let mut dropped = 0;
///     for sender in senders {
///         if !sender.try_broadcast(&mut broadcast)? {
///             dropped += 1;
///         }
///     }
///     Ok(dropped)
/// }
/// ```
#[derive(Debug)]
pub struct Broadcast<'a> {
    message: MessageRef<'a>,
    encoded: &'a mut WriteBuffer,
    /// The encoding in which `encoded` has the message; `None` while it is empty.
    encoding: Option<&'static str>,
}

impl<'a> Broadcast<'a> {
    /// A message to send through many; `scratch` is room for its bytes, to be used again for the next one.
    pub fn new(message: impl Into<MessageRef<'a>>, scratch: &'a mut WriteBuffer) -> Broadcast<'a> {
        scratch.clear();
        Broadcast { message: message.into(), encoded: scratch, encoding: None }
    }
}

impl Broadcast<'_> {
    /// Appends the message to what goes out of a connection.
    pub(super) fn encode(
        &mut self,
        encoder: &mut dyn MessageEncoder,
        out: &mut WriteBuffer,
    ) -> Result<(), UnencodableError> {
        let encoding = encoder.encoding();
        if encoding.is_none() || (self.encoding.is_some() && self.encoding != encoding) {
            return encoder.encode(self.message, out);
        }
        if self.encoding.is_none() {
            encoder.encode(self.message, self.encoded)?;
            self.encoding = encoding;
        }
        out.append(self.encoded);
        Ok(())
    }
}

/// Messages for many connections, encoded once for all that encode them to the same bytes, and handed to each under one
/// lock.
///
/// # Examples
///
/// ```
/// # use transport_core::{BroadcastMany, Message, SendError, Sender, WriteBuffer};
/// fn publish(senders: &[Sender], messages: &[Message], scratch: &mut WriteBuffer) -> Result<usize, SendError> {
///     let mut broadcast = BroadcastMany::new(messages, scratch);
///     let mut dropped = 0;
///     for sender in senders {
///         dropped += messages.len() - sender.try_broadcast_many(&mut broadcast)?;
///     }
///     Ok(dropped)
/// }
/// ```
#[derive(Debug)]
pub struct BroadcastMany<'a> {
    messages: &'a [Message],
    encoded: &'a mut WriteBuffer,
    /// Where in `encoded` each message begins.
    starts: Vec<usize>,
    /// As in [`Broadcast`].
    encoding: Option<&'static str>,
}

impl<'a> BroadcastMany<'a> {
    /// Messages to send through many, in this order; `scratch` is room for their bytes, to be used again.
    pub fn new(messages: &'a [Message], scratch: &'a mut WriteBuffer) -> BroadcastMany<'a> {
        scratch.clear();
        BroadcastMany { messages, encoded: scratch, starts: Vec::new(), encoding: None }
    }

    /// Encodes the messages, unless that was done, if `encoder` gives the same bytes as others do.
    fn encode(&mut self, encoder: &mut dyn MessageEncoder) -> Result<bool, UnencodableError> {
        let encoding = encoder.encoding();
        if encoding.is_some() && self.encoding.is_none() {
            self.starts.reserve(self.messages.len());
            for message in self.messages {
                self.starts.push(self.encoded.len());
                if let Err(error) = encoder.encode(message.into(), self.encoded) {
                    self.starts.clear();
                    self.encoded.clear();
                    return Err(error);
                }
            }
            self.encoding = encoding;
        }
        Ok(encoding.is_some() && self.encoding == encoding)
    }
}

impl Queue {
    /// Queues a message that others get too.
    fn broadcast(&mut self, broadcast: &mut Broadcast<'_>) -> Result<(), SendError> {
        let start = self.outbound.buffer.end();
        let Outbound { encoder, buffer, messages, .. } = &mut self.outbound;
        broadcast.encode(&mut **encoder, buffer)?;
        *messages += 1;
        self.starts.push(start);
        Ok(())
    }

    /// Queues messages that others get too, as many as there is room for; tells how many.
    fn broadcast_many(&mut self, broadcast: &mut BroadcastMany<'_>) -> Result<usize, SendError> {
        if broadcast.encode(&mut *self.outbound.encoder)?
            && let Some(last) = broadcast.starts.last()
            && self.has_room_for(broadcast.starts.len(), *last)
        {
            let first = self.outbound.buffer.end();
            self.starts.extend(broadcast.starts.iter().map(|start| first + *start as u64));
            self.outbound.buffer.append(broadcast.encoded);
            self.outbound.messages += broadcast.starts.len() as u64;
            return Ok(broadcast.starts.len());
        }
        let mut sent = 0;
        while let Some(message) = broadcast.messages.get(sent).filter(|_| !self.is_full()) {
            self.encode(message.into())?;
            sent += 1;
        }
        Ok(sent)
    }
}

impl Sender {
    /// Sends a message that many get, if there is room for it; false when there is none.
    ///
    /// It is never written by the caller itself, who has others to serve.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn try_broadcast(&self, broadcast: &mut Broadcast<'_>) -> Result<bool, SendError> {
        let mut queue = self.shared.lock();
        queue.check()?;
        if queue.is_full() {
            return Ok(false);
        }
        queue.broadcast(broadcast)?;
        self.shared.start_flusher(&mut queue);
        Ok(true)
    }

    /// Sends messages that many get, as many of them from the front as there is room for; tells how many.
    ///
    /// Like [`try_broadcast`](Sender::try_broadcast) it leaves writing to others.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; when a message cannot be encoded, those before it may have been sent.
    pub fn try_broadcast_many(&self, broadcast: &mut BroadcastMany<'_>) -> Result<usize, SendError> {
        let mut queue = self.shared.lock();
        queue.check()?;
        let sent = queue.broadcast_many(broadcast);
        if !queue.is_written() {
            self.shared.start_flusher(&mut queue);
        }
        sent
    }

    /// As [`send_latest`](Sender::send_latest), for a message that many get.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn broadcast_latest(&self, broadcast: &mut Broadcast<'_>) -> Result<(), SendError> {
        let mut queue = self.shared.lock();
        queue.check()?;
        queue.encode_latest(|queue| queue.broadcast(broadcast))?;
        self.shared.start_flusher(&mut queue);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a message's first part as it is, and counts.
    struct Counting {
        encoding: Option<&'static str>,
        encoded: usize,
    }

    impl MessageEncoder for Counting {
        fn encode(&mut self, message: MessageRef<'_>, out: &mut WriteBuffer) -> Result<(), UnencodableError> {
            self.encoded += 1;
            message.parts().for_each(|part| out.put_slice(part));
            Ok(())
        }

        fn encoding(&self) -> Option<&'static str> {
            self.encoding
        }
    }

    #[test]
    fn a_broadcast_is_encoded_once_for_all_of_one_encoding_and_for_each_of_another_or_of_none() {
        let mut scratch = WriteBuffer::new();
        let encodings = [Some("a"), Some("a"), Some("b"), None, Some("a"), Some("b")];
        let mut encoders = encodings.map(|encoding| Counting { encoding, encoded: 0 });
        for round in 1..=2 {
            let mut broadcast = Broadcast::new("hello", &mut scratch);
            for encoder in &mut encoders {
                let mut out = WriteBuffer::new();
                broadcast.encode(encoder, &mut out).unwrap();
                assert_eq!(out.to_vec(), b"hello");
            }
            assert_eq!(
                encoders.each_ref().map(|encoder| encoder.encoded),
                [1, 0, 1, 1, 0, 1].map(|n| n * round)
            );
        }
    }
}
