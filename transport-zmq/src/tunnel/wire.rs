//! The messages that carry byte streams.
//!
//! ```text
//! message  = envelope delimiter header [payload]      each is one part
//! envelope = *part                                    what ROUTERs on the way put in front; never empty parts
//! delimiter = empty part
//! header   = version(1) kind(1) stream(8) value(8)    integers big-endian
//! ```
//!
//! | kind | value | payload | |
//! |---|---|---|---|
//! | 1 OPEN | window | | the connecting side wants a stream under this number, and takes so many bytes |
//! | 2 ACCEPT | window | | the accepting side has it, and takes so many bytes |
//! | 3 DATA | offset of the first byte | bytes | |
//! | 4 CREDIT | bytes consumed so far | | a window beyond that may be sent |
//! | 5 END | offset | | no more bytes come: half-close |
//! | 6 STOP | 0 | | the sender reads no more bytes |
//! | 7 RESET | reason | | all is over |
//! | 8 PING | anything | | asks for a sign of life |
//! | 9 PONG | of the ping | | |
//!
//! The DATA message of the 2 bytes `hi` at offset 3 of stream 7, seen by a DEALER:
//!
//! ```text
//! 00  |  01 03 0000000000000007 0000000000000003  |  68 69        (| between parts; the first is empty)
//! ```

use bytes::Bytes;
use transport_core::Message;

/// What one message says about one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Open { window: u64 },
    Accept { window: u64 },
    Data { offset: u64, bytes: Bytes },
    Credit { consumed: u64 },
    End { offset: u64 },
    Stop,
    Reset(Reason),
    Ping(u64),
    Pong(u64),
}

/// Why a stream was reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reason {
    /// A frame for a stream that is not there: it has ended, or its messages went elsewhere.
    #[error("the peer does not know this stream (any more)")]
    Unknown,
    #[error("the peer has too many streams")]
    Busy,
    #[error(
        "bytes were lost or came twice on the way: a proxy dropped messages, or hands them to several peers"
    )]
    Lost,
    #[error("the other side broke the protocol")]
    Violation,
    #[error("there was no sign of life")]
    Silent,
    #[error("the connection beneath was lost")]
    ConnectionLost,
    #[error("the peer gave the reason {0}, which is unknown here")]
    Other(u64),
}

/// The parts in front of the delimiter: the way back to the peer.
pub(crate) type Envelope = Vec<Bytes>;

/// A message, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) envelope: Envelope,
    pub(crate) stream: u64,
    pub(crate) frame: Frame,
}

/// A message that carries nothing of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message that belongs to no stream: {0}")]
pub(crate) struct Malformed(&'static str);

const VERSION: u8 = 1;
const HEADER: usize = 18;

/// So many ROUTERs may be on the way: more parts in front are somebody else's message.
const MOST_HOPS: usize = 16;
/// The longest routing id that ZMTP has (RFC 37).
const LONGEST_ID: usize = 255;

impl Frame {
    /// The message for the peer behind `envelope`.
    pub(crate) fn to_message(&self, envelope: &[Bytes], stream: u64) -> Message {
        let (kind, value) = self.kind_and_value();
        let mut header = [0; HEADER];
        header[0] = VERSION;
        header[1] = kind;
        header[2..10].copy_from_slice(&stream.to_be_bytes());
        header[10..].copy_from_slice(&value.to_be_bytes());
        let payload = match self {
            Frame::Data { bytes, .. } => Some(bytes.clone()),
            _ => None,
        };
        let ends = [Bytes::new(), Bytes::copy_from_slice(&header)];
        envelope.iter().cloned().chain(ends).chain(payload).collect()
    }

    fn kind_and_value(&self) -> (u8, u64) {
        match self {
            Frame::Open { window } => (1, *window),
            Frame::Accept { window } => (2, *window),
            Frame::Data { offset, .. } => (3, *offset),
            Frame::Credit { consumed } => (4, *consumed),
            Frame::End { offset } => (5, *offset),
            Frame::Stop => (6, 0),
            Frame::Reset(reason) => (7, reason.code()),
            Frame::Ping(token) => (8, *token),
            Frame::Pong(token) => (9, *token),
        }
    }

    /// Takes a message apart.
    pub(crate) fn parse(message: &Message) -> Result<Parsed, Malformed> {
        let parts = message.parts();
        let delimiter = parts.iter().take(MOST_HOPS + 1).position(|part| part.is_empty());
        let delimiter = delimiter.ok_or(Malformed("it has no delimiter"))?;
        let envelope = &parts[..delimiter];
        if envelope.iter().any(|id| id.len() > LONGEST_ID) {
            return Err(Malformed("a routing id is too long"));
        }
        let (header, payload) = match &parts[delimiter + 1..] {
            [header] => (header, None),
            [header, payload] => (header, Some(payload)),
            _ => return Err(Malformed("it has not one or two parts after its delimiter")),
        };
        let header: &[u8; HEADER] =
            header[..].try_into().map_err(|_| Malformed("its header has not 18 bytes"))?;
        if header[0] != VERSION {
            return Err(Malformed("it has another version"));
        }
        let number = |at: usize| header[at..at + 8].iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let frame = frame(header[1], number(10), payload)?;
        // Kept for as long as the stream lives: not with the buffer that the message came in.
        let envelope = envelope.iter().map(|id| Bytes::copy_from_slice(id)).collect();
        Ok(Parsed { envelope, stream: number(2), frame })
    }
}

fn frame(kind: u8, value: u64, payload: Option<&Bytes>) -> Result<Frame, Malformed> {
    let frame = match (kind, payload) {
        (3, Some(bytes)) if !bytes.is_empty() => Frame::Data { offset: value, bytes: bytes.clone() },
        (3, _) => return Err(Malformed("it has no bytes")),
        (_, Some(_)) => return Err(Malformed("it has bytes that do not belong there")),
        (1, None) => Frame::Open { window: value },
        (2, None) => Frame::Accept { window: value },
        (4, None) => Frame::Credit { consumed: value },
        (5, None) => Frame::End { offset: value },
        (6, None) => Frame::Stop,
        (7, None) => Frame::Reset(Reason::from_code(value)),
        (8, None) => Frame::Ping(value),
        (9, None) => Frame::Pong(value),
        _ => return Err(Malformed("its kind is unknown")),
    };
    Ok(frame)
}

impl Reason {
    fn code(self) -> u64 {
        match self {
            Reason::Unknown => 1,
            Reason::Busy => 2,
            Reason::Lost => 3,
            Reason::Violation => 4,
            Reason::Silent => 5,
            Reason::ConnectionLost => 6,
            Reason::Other(code) => code,
        }
    }

    fn from_code(code: u64) -> Reason {
        match code {
            1 => Reason::Unknown,
            2 => Reason::Busy,
            3 => Reason::Lost,
            4 => Reason::Violation,
            5 => Reason::Silent,
            6 => Reason::ConnectionLost,
            other => Reason::Other(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Frame> {
        vec![
            Frame::Open { window: 1 << 18 },
            Frame::Accept { window: u64::MAX },
            Frame::Data { offset: 3, bytes: Bytes::from_static(b"hi") },
            Frame::Credit { consumed: 9 },
            Frame::End { offset: 5 },
            Frame::Stop,
            Frame::Reset(Reason::Lost),
            Frame::Reset(Reason::Other(77)),
            Frame::Ping(4),
            Frame::Pong(4),
        ]
    }

    #[test]
    fn the_worked_example_is_what_is_sent() {
        let message = Frame::Data { offset: 3, bytes: Bytes::from_static(b"hi") }.to_message(&[], 7);
        let header = [&[1, 3][..], &7u64.to_be_bytes(), &3u64.to_be_bytes()].concat();
        let expected: Message = [&b""[..], &header, b"hi"].map(Bytes::copy_from_slice).into_iter().collect();
        assert_eq!(message, expected);
    }

    #[test]
    fn every_frame_comes_back_as_it_went_whatever_the_envelope() {
        for envelope in [vec![], vec![Bytes::from_static(b"id")], vec![Bytes::from_static(b"\0"); MOST_HOPS]]
        {
            for frame in all() {
                let parsed = Frame::parse(&frame.to_message(&envelope, 7));
                assert_eq!(parsed, Ok(Parsed { envelope: envelope.clone(), stream: 7, frame }));
            }
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let parts =
            |parts: &[&[u8]]| -> Message { parts.iter().map(|p| Bytes::copy_from_slice(p)).collect() };
        let good = Frame::Stop.to_message(&[], 1);
        let mut wrong_version = good[1].to_vec();
        wrong_version[0] = 2;
        let mut unknown_kind = good[1].to_vec();
        unknown_kind[1] = 10;
        let mut no_bytes = good[1].to_vec();
        no_bytes[1] = 3;
        let long_id = [7; LONGEST_ID + 1];
        let ids = [&b"i"[..]; MOST_HOPS + 1];
        for bad in [
            parts(&[b"no delimiter"]),
            parts(&[b""]),
            parts(&[b"", b"short"]),
            parts(&[b"", &wrong_version]),
            parts(&[b"", &unknown_kind]),
            parts(&[b"", &no_bytes]),
            parts(&[b"", &no_bytes, b""]),
            parts(&[b"", &good[1], b"bytes"]),
            parts(&[b"", &good[1], b"", b""]),
            parts(&[&long_id, b"", &good[1]]),
            parts(&[&ids[..], &[b"", &good[1]]].concat()),
        ] {
            assert!(Frame::parse(&bad).is_err(), "{bad:?}");
        }
    }
}
