//! Messages and control events to frames.

use bytes::Bytes;

use super::frame::{COMMAND, MORE, put_header};
use super::{command, frame};
use crate::framing::{Control, MessageEncoder, Sealed, Sealer, UnencodableError};
use crate::message::{Lent, MessageRef};
use crate::write_buffer::WriteBuffer;

pub(super) struct ZmtpEncoder {
    pub(super) sealer: Option<Box<dyn Sealer>>,
}

impl MessageEncoder for ZmtpEncoder {
    #[inline]
    fn encode(&mut self, message: MessageRef<'_>, out: &mut WriteBuffer) -> Result<(), UnencodableError> {
        if let Some(sealer) = &mut self.sealer {
            let count = message.part_count();
            for (i, content) in message.parts().enumerate() {
                seal(&mut **sealer, Sealed { more: i + 1 < count, command: false, content }, out);
            }
            return Ok(());
        }
        match message.0 {
            Lent::Slice(part) => {
                out.reserve(part.len() + 9);
                put_header(0, part.len(), out);
                out.put_slice(part);
            }
            Lent::Parts([part]) => put_part(0, part, out),
            Lent::Parts([first @ .., last]) => {
                first.iter().for_each(|part| put_part(MORE, part, out));
                put_part(0, last, out);
            }
            Lent::Parts([]) => return Err(UnencodableError::new("it has no part")),
        }
        Ok(())
    }

    fn encode_control(&mut self, control: &Control, out: &mut WriteBuffer) {
        let body = command::control_body(control);
        match &mut self.sealer {
            Some(sealer) => seal(&mut **sealer, Sealed { more: false, command: true, content: &body }, out),
            None => {
                put_header(COMMAND, body.len(), out);
                out.put_slice(&body);
            }
        }
    }
}

#[inline]
fn put_part(flags: u8, part: &Bytes, out: &mut WriteBuffer) {
    put_header(flags, part.len(), out);
    out.put_bytes(part);
}

/// Sealed frames carry neither MORE nor COMMAND outside: libzmq drops the content of one that has the flag.
fn seal(sealer: &mut dyn Sealer, frame: Sealed<'_>, out: &mut WriteBuffer) {
    let mut body = Vec::new();
    sealer.seal(frame, &mut body);
    frame::put_header(0, body.len(), out);
    out.put_bytes(&Bytes::from(body));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    fn encode(message: &Message) -> Vec<u8> {
        let mut out = WriteBuffer::new();
        ZmtpEncoder { sealer: None }.encode(message.into(), &mut out).unwrap();
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
}
