//! Messages and control events to frames.

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::command;
use super::frame::{COMMAND, Header, MORE, put_header};
use crate::framing::{Control, MessageEncoder, Sealed, Sealer, UnencodableError};
use crate::message::{Lent, Message, MessageRef};
use crate::write_buffer::WriteBuffer;

pub(super) struct ZmtpEncoder {
    pub(super) sealer: Option<Box<dyn Sealer>>,
    /// Whether subscriptions go out as commands rather than as messages.
    pub(super) subscription_commands: bool,
}

impl MessageEncoder for ZmtpEncoder {
    #[inline]
    fn encode(&mut self, message: MessageRef<'_>, out: &mut WriteBuffer) -> Result<(), UnencodableError> {
        if self.sealer.is_some() || self.subscription_commands {
            return self.encode_uncommonly(message, out);
        }
        match message.0 {
            Lent::Slice(part) => put_slice(0, part, out),
            Lent::Parts([part]) => put_part(0, part, out),
            Lent::Parts([first @ .., last]) => {
                first.iter().for_each(|part| put_part(MORE, part, out));
                put_part(0, last, out);
            }
            Lent::Slices([first @ .., last]) => {
                first.iter().for_each(|part| put_slice(MORE, part, out));
                put_slice(0, last, out);
            }
            Lent::Headed(headed) => {
                put_slice(MORE, headed.head, out);
                return self.encode(headed.rest, out);
            }
            Lent::Behind(envelope, rest) => {
                envelope.iter().for_each(|part| put_part(MORE, part, out));
                return self.encode(*rest, out);
            }
            Lent::Parts([]) | Lent::Slices([]) => return Err(no_part()),
        }
        Ok(())
    }

    fn encoding(&self) -> Option<&'static str> {
        let common = self.sealer.is_none() && !self.subscription_commands;
        common.then_some("ZMTP 3")
    }

    fn recover(&self, bytes: Vec<u8>) -> Vec<Message> {
        let (mut messages, mut parts) = (Vec::new(), SmallVec::new());
        let mut rest = BytesMut::from(Bytes::from(bytes));
        while let Some((more, is_command, content)) = self.recover_frame(&mut rest) {
            if is_command {
                continue;
            }
            parts.push(content);
            if !more {
                messages.push(Message::from_small_vec(std::mem::take(&mut parts)));
            }
        }
        messages
    }

    fn encode_control(&mut self, control: &Control, out: &mut WriteBuffer) {
        // Without a frame left the peer will hear nothing more, and end the connection.
        let _unsealed = self.put_frame(false, true, &command::control_body(control), out);
    }
}

impl ZmtpEncoder {
    /// Takes a frame off the front of what was encoded: whether more parts follow, whether it is a command, and its content.
    fn recover_frame(&self, bytes: &mut BytesMut) -> Option<(bool, bool, Bytes)> {
        let header = Header::read(bytes)?;
        let end = header.length.checked_add(usize::try_from(header.body).ok()?)?;
        let mut body = (end <= bytes.len()).then(|| bytes.split_to(end).split_off(header.length))?;
        let Some(sealer) = &self.sealer else {
            return Some((header.flags & MORE != 0, header.flags & COMMAND != 0, body.freeze()));
        };
        let opened = sealer.reopen(&mut body)?;
        Some((opened.more, opened.command, body.freeze().slice(opened.content)))
    }

    /// Sealed, or perhaps a subscription.
    fn encode_uncommonly(
        &mut self,
        message: MessageRef<'_>,
        out: &mut WriteBuffer,
    ) -> Result<(), UnencodableError> {
        let count = message.part_count();
        if count == 0 {
            return Err(no_part());
        }
        if self.subscription_commands
            && count == 1
            && let Some(body) = message.parts().next().and_then(command::subscription_body)
        {
            return self.put_frame(false, true, &body, out);
        }
        self.check_frames_left(count)?;
        for (i, content) in message.parts().enumerate() {
            self.put_frame(i + 1 < count, false, content, out)?;
        }
        Ok(())
    }

    /// Sealed frames carry neither MORE nor COMMAND outside: libzmq drops the content of one that has the flag.
    fn put_frame(
        &mut self,
        more: bool,
        is_command: bool,
        content: &[u8],
        out: &mut WriteBuffer,
    ) -> Result<(), UnencodableError> {
        self.check_frames_left(1)?;
        match &mut self.sealer {
            Some(sealer) => {
                let body = content.len() + sealer.overhead();
                out.reserve(body + 9);
                put_header(0, body, out);
                let before = out.len();
                sealer.seal(Sealed { more, command: is_command, content }, out.copied_mut());
                debug_assert_eq!(out.len() - before, body, "a seal says how long a frame will be");
            }
            None => {
                let flags = if is_command { COMMAND } else { 0 } | if more { MORE } else { 0 };
                put_header(flags, content.len(), out);
                out.put_slice(content);
            }
        }
        Ok(())
    }

    fn check_frames_left(&self, count: usize) -> Result<(), UnencodableError> {
        match &self.sealer {
            Some(sealer) if (count as u64) > sealer.frames_left() => {
                Err(UnencodableError::new("the seal can be used no more: connect again"))
            }
            _ => Ok(()),
        }
    }
}

#[cold]
fn no_part() -> UnencodableError {
    UnencodableError::new("it has no part")
}

#[inline]
fn put_slice(flags: u8, part: &[u8], out: &mut WriteBuffer) {
    out.reserve(part.len() + 9);
    put_header(flags, part.len(), out);
    out.put_slice(part);
}

#[inline]
fn put_part(flags: u8, part: &Bytes, out: &mut WriteBuffer) {
    put_header(flags, part.len(), out);
    out.put_bytes(part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::zmtp::frame;
    use crate::message::{Headed, Message};

    fn encode(message: &Message) -> Vec<u8> {
        let mut out = WriteBuffer::new();
        ZmtpEncoder { sealer: None, subscription_commands: false }.encode(message.into(), &mut out).unwrap();
        out.to_vec()
    }

    #[test]
    fn frames_of_255_bytes_are_short_and_of_256_long() {
        let bytes = encode(&[vec![1; 255], vec![2; 256]].into_iter().collect());
        assert_eq!(&bytes[..2], [MORE, 255]);
        assert_eq!(&bytes[257..266], [frame::LONG, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(bytes.len(), 2 + 255 + 9 + 256);
    }

    #[test]
    fn the_worked_example_of_the_docs_holds() {
        assert_eq!(encode(&["a", "bc"].into_iter().collect()), [1, 1, 0x61, 0, 2, 0x62, 0x63]);
    }

    #[test]
    fn however_a_message_is_lent_its_bytes_are_the_same() {
        let message: Message = [vec![1; 3], vec![2; 300], vec![3; 20_000]].into_iter().collect();
        let slices: Vec<&[u8]> = message.parts().iter().map(|part| &part[..]).collect();
        let rest: Message = message.parts()[1..].iter().cloned().collect();
        let headed = Headed { head: slices[0], rest: (&rest).into() };
        for lent in [Lent::Slices(&slices), Lent::Headed(&headed)] {
            let mut out = WriteBuffer::new();
            ZmtpEncoder { sealer: None, subscription_commands: false }
                .encode(MessageRef(lent), &mut out)
                .unwrap();
            assert_eq!(out.to_vec(), encode(&message));
        }
    }

    #[test]
    fn messages_are_recovered_from_what_was_encoded_without_commands() {
        let mut encoder = ZmtpEncoder { sealer: None, subscription_commands: false };
        let mut out = WriteBuffer::new();
        let messages: [Message; 3] = [
            Message::from("a"),
            [vec![1; 300], vec![]].into_iter().collect(),
            Message::from(vec![2; 20_000]),
        ];
        for message in &messages {
            encoder.encode(message.into(), &mut out).unwrap();
            encoder.encode_control(&Control::Pong { context: Bytes::new() }, &mut out);
        }
        assert_eq!(encoder.recover(out.to_vec()), messages);
    }
}
