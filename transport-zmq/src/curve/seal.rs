//! MESSAGE: what carries every frame once both sides are ready.
//!
//! ```text
//! MESSAGE = %x07 "MESSAGE" number(8) Box[flags content]        flags: 01 MORE  02 COMMAND
//! ```
//!
//! An empty message is `07 4d455353414745 0000000000000003` and 17 sealed bytes.

use transport_core::FramingError;
use transport_core::framing::{Opened, Opener, Role, Seal, Sealed, Sealer};

use super::boxes::{SharedKey, TAG, numbered};

const NAME: &[u8; 8] = b"\x07MESSAGE";
const MORE: u8 = 0x01;
const COMMAND: u8 = 0x02;

/// Where the box begins, and where the flags are once it is open.
const BOX: usize = NAME.len() + 8;
const FLAGS: usize = BOX + TAG;
const CONTENT: usize = FLAGS + 1;

/// What seals and opens on the side of `role`: `sent` is the number of the last box of this side, `received` that of the
/// last one of the peer.
pub(super) fn seal(key: SharedKey, role: Role, sent: u64, received: u64) -> Seal {
    let (from_us, from_peer) = match role {
        Role::Client => (b"CurveZMQMESSAGEC", b"CurveZMQMESSAGES"),
        Role::Server => (b"CurveZMQMESSAGES", b"CurveZMQMESSAGEC"),
    };
    Seal {
        sealer: Box::new(CurveSealer { key: key.clone(), text: from_us, last: sent }),
        opener: Box::new(CurveOpener { key, text: from_peer, last: received }),
    }
}

struct CurveSealer {
    key: SharedKey,
    text: &'static [u8; 16],
    last: u64,
}

impl Sealer for CurveSealer {
    #[inline]
    fn overhead(&self) -> usize {
        CONTENT
    }

    /// A number must never come twice: at the last one the connection is of no more use.
    fn frames_left(&self) -> u64 {
        u64::MAX - self.last
    }

    fn seal(&mut self, frame: Sealed<'_>, out: &mut Vec<u8>) {
        self.last += 1;
        out.extend_from_slice(NAME);
        out.extend_from_slice(&self.last.to_be_bytes());
        let start = out.len();
        out.extend_from_slice(&[0; TAG]);
        out.push(if frame.more { MORE } else { 0 } | if frame.command { COMMAND } else { 0 });
        out.extend_from_slice(frame.content);
        self.key.seal_in_place(&numbered(self.text, self.last), &mut out[start..]);
    }

    /// The key of a box is the same for both directions, and so each side can open its own. No number is used for it: the
    /// next connection has other keys.
    fn reopen(&self, body: &mut [u8]) -> Option<Opened> {
        open(&self.key, self.text, number_of(body)?, body)
    }
}

struct CurveOpener {
    key: SharedKey,
    text: &'static [u8; 16],
    last: u64,
}

impl Opener for CurveOpener {
    fn open(&mut self, body: &mut [u8]) -> Result<Opened, FramingError> {
        let error = |problem| FramingError::Seal { problem };
        let number = number_of(body).ok_or_else(|| error("it is no MESSAGE of CURVE"))?;
        // libzmq leaves gaps open; equal and smaller numbers are replays.
        if number <= self.last {
            return Err(error("its number is not greater than the last one's: a replay"));
        }
        let opened =
            open(&self.key, self.text, number, body).ok_or_else(|| error("its box does not open"))?;
        self.last = number;
        Ok(opened)
    }
}

/// The number of a MESSAGE; `None` when it is none.
fn number_of(body: &[u8]) -> Option<u64> {
    let number = body.strip_prefix(NAME)?.first_chunk()?;
    (body.len() >= CONTENT).then(|| u64::from_be_bytes(*number))
}

/// Opens the box of a MESSAGE with this number; `None` when it does not open.
fn open(key: &SharedKey, text: &[u8; 16], number: u64, body: &mut [u8]) -> Option<Opened> {
    key.open_in_place(&numbered(text, number), &mut body[BOX..])?;
    let flags = body[FLAGS];
    Some(Opened { more: flags & MORE != 0, command: flags & COMMAND != 0, content: CONTENT..body.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    fn pair(sent: u64) -> (Seal, Seal) {
        let key = SharedKey::from_bytes(Zeroizing::new([5; 32]));
        (seal(key.clone(), Role::Client, sent, 0), seal(key, Role::Server, 0, 2))
    }

    fn message(seal: &mut Seal, content: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        seal.sealer.seal(Sealed { more: false, command: false, content }, &mut body);
        assert_eq!(body.len(), content.len() + seal.sealer.overhead());
        body
    }

    fn open(seal: &mut Seal, mut body: Vec<u8>) -> Result<Vec<u8>, FramingError> {
        seal.opener.open(&mut body).map(|opened| body[opened.content].to_vec())
    }

    #[test]
    fn what_is_sealed_opens_once_and_in_order_with_gaps() {
        let (mut client, mut server) = pair(2);
        let (first, second, third) =
            (message(&mut client, b"1"), message(&mut client, b""), message(&mut client, b"3"));
        assert_eq!(open(&mut server, first.clone()).unwrap(), b"1");
        assert!(open(&mut server, first).unwrap_err().to_string().contains("replay"));
        assert_eq!(open(&mut server, third).unwrap(), b"3");
        assert!(open(&mut server, second).unwrap_err().to_string().contains("replay"));
    }

    #[test]
    fn the_flags_are_inside() {
        let (mut client, mut server) = pair(2);
        for (more, command) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut body = Vec::new();
            client.sealer.seal(Sealed { more, command, content: b"x" }, &mut body);
            let opened = server.opener.open(&mut body).unwrap();
            assert_eq!((opened.more, opened.command), (more, command));
        }
    }

    #[test]
    fn a_side_opens_again_what_it_has_sealed_and_nothing_else() {
        let (mut client, mut server) = pair(2);
        for (more, command) in [(false, false), (true, false), (false, true)] {
            let mut body = Vec::new();
            client.sealer.seal(Sealed { more, command, content: b"x" }, &mut body);
            let sealed = body.clone();
            let opened = client.sealer.reopen(&mut body).unwrap();
            assert_eq!((opened.more, opened.command, &body[opened.content]), (more, command, &b"x"[..]));
            assert_eq!(server.sealer.reopen(&mut sealed.clone()), None);
            assert_eq!(client.sealer.reopen(&mut sealed[..sealed.len() - 1].to_vec()), None);
            assert_eq!(open(&mut server, sealed).unwrap(), b"x");
        }
    }

    #[test]
    fn a_side_does_not_take_its_own_messages_back() {
        let (mut client, _) = pair(2);
        let sent = message(&mut client, b"x");
        assert!(open(&mut client, sent).is_err());
    }

    #[test]
    fn whatever_is_altered_or_cut_does_not_open() {
        let (mut client, _) = pair(2);
        let sent = message(&mut client, b"content");
        for i in 0..sent.len() {
            let mut altered = sent.clone();
            altered[i] ^= 1;
            assert!(open(&mut pair(2).1, altered).is_err(), "byte {i}");
            assert!(open(&mut pair(2).1, sent[..i].to_vec()).is_err(), "cut at {i}");
        }
        assert!(open(&mut pair(2).1, b"hello".to_vec()).unwrap_err().to_string().contains("no MESSAGE"));
    }

    #[test]
    fn the_last_number_is_used_and_none_after_it() {
        let (mut client, mut server) = pair(u64::MAX - 1);
        assert_eq!(client.sealer.frames_left(), 1);
        let last = message(&mut client, b"x");
        assert_eq!(open(&mut server, last).unwrap(), b"x");
        assert_eq!(client.sealer.frames_left(), 0);
    }
}
