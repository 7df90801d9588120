//! Calls as messages: the head part, and what it says.

use super::error::{CallProtocolError, ErrorReply};
use crate::message::{Headed, Lent, MessageRef};

/// Which call a reply belongs to.
///
/// Chosen by the caller; the other side sends it back as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId(pub(super) u64);

/// What a message is to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Call,
    Reply,
    Error,
    Cancel,
}

const CALL: u8 = 1;
const REPLY: u8 = 2;
const ERROR: u8 = 3;
const CANCEL: u8 = 4;

const HEAD_LENGTH: usize = 9;

/// The first part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head([u8; HEAD_LENGTH]);

/// What came from the side that calls.
#[derive(Debug)]
pub(super) enum FromCaller<'a> {
    Call(CallId, MessageRef<'a>),
    Cancel(CallId),
}

impl Head {
    #[inline]
    pub(super) fn new(kind: Kind, id: CallId) -> Head {
        let mut head = [0; HEAD_LENGTH];
        head[0] = match kind {
            Kind::Call => CALL,
            Kind::Reply => REPLY,
            Kind::Error => ERROR,
            Kind::Cancel => CANCEL,
        };
        head[1..].copy_from_slice(&id.0.to_be_bytes());
        Head(head)
    }

    #[inline]
    fn read(part: &[u8]) -> Result<(Kind, CallId), CallProtocolError> {
        let Some((&kind, id)) = part.split_first() else {
            return Err(CallProtocolError::HeadLength { found: 0 });
        };
        let Ok(id) = id.try_into().map(u64::from_be_bytes) else {
            return Err(CallProtocolError::HeadLength { found: part.len() });
        };
        let kind = match kind {
            CALL => Kind::Call,
            REPLY => Kind::Reply,
            ERROR => Kind::Error,
            CANCEL => Kind::Cancel,
            found => return Err(CallProtocolError::Kind { found }),
        };
        Ok((kind, CallId(id)))
    }

    /// The head before `rest`.
    #[inline]
    pub(super) fn before<'a>(&'a self, rest: MessageRef<'a>) -> Headed<'a> {
        Headed { head: &self.0, rest }
    }

    /// A message of the head alone.
    #[inline]
    pub(super) fn alone(&self) -> MessageRef<'_> {
        MessageRef(Lent::Slice(&self.0))
    }
}

/// Reads what came from the side that calls.
#[inline]
pub(super) fn read_from_caller(message: MessageRef<'_>) -> Result<FromCaller<'_>, CallProtocolError> {
    let (head, rest) = message.split_first();
    match (Head::read(head)?, rest) {
        ((Kind::Call, id), rest) => Ok(FromCaller::Call(id, or_empty(rest))),
        ((Kind::Cancel, id), None) => Ok(FromCaller::Cancel(id)),
        ((Kind::Cancel, _), Some(_)) => Err(CallProtocolError::CancelParts),
        ((Kind::Reply | Kind::Error, _), _) => Err(CallProtocolError::Unasked),
    }
}

/// Reads a reply: to which call, and what it says.
#[inline]
pub(super) fn read_reply(
    message: MessageRef<'_>,
) -> Result<(CallId, Result<MessageRef<'_>, ErrorReply>), CallProtocolError> {
    let (head, rest) = message.split_first();
    match Head::read(head)? {
        (Kind::Reply, id) => Ok((id, Ok(or_empty(rest)))),
        (Kind::Error, id) => Ok((id, Err(read_error(or_empty(rest))))),
        (Kind::Call | Kind::Cancel, _) => Err(CallProtocolError::NotCalled),
    }
}

/// A message has a part at least: without one behind the head it is an empty one.
#[inline]
fn or_empty(rest: Option<MessageRef<'_>>) -> MessageRef<'_> {
    rest.unwrap_or(MessageRef(Lent::Slice(&[])))
}

#[cold]
fn read_error(rest: MessageRef<'_>) -> ErrorReply {
    let mut parts = rest.parts().map(String::from_utf8_lossy);
    let mut next = || parts.next().unwrap_or_default().into_owned();
    ErrorReply { name: next(), text: next() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    fn message(parts: &[&[u8]]) -> Message {
        parts.iter().map(|part| part.to_vec()).collect()
    }

    #[test]
    fn the_worked_example_of_the_docs_holds() {
        let (id, ping) = (CallId(0x0000_0001_0000_0002), MessageRef::from("ping"));
        let head = Head::new(Kind::Call, id);
        let headed = head.before(ping);
        let parts: Vec<_> = MessageRef(Lent::Headed(&headed)).parts().collect();
        assert_eq!(parts, [&[1, 0, 0, 0, 1, 0, 0, 0, 2][..], b"ping"]);
        assert_eq!(Head::new(Kind::Cancel, id).0, [4, 0, 0, 0, 1, 0, 0, 0, 2]);
    }

    #[test]
    fn what_is_written_is_read() {
        let id = CallId(u64::MAX - 7);
        let body = Message::from("body");
        let written = |kind| {
            let head = Head::new(kind, id);
            let headed = head.before((&body).into());
            MessageRef(Lent::Headed(&headed)).to_message()
        };
        let call = written(Kind::Call);
        let Ok(FromCaller::Call(read, rest)) = read_from_caller((&call).into()) else { panic!("{call:?}") };
        assert_eq!((read, rest.to_message()), (id, body.clone()));
        let reply = written(Kind::Reply);
        let Ok((read, Ok(rest))) = read_reply((&reply).into()) else { panic!("{reply:?}") };
        assert_eq!((read, rest.to_message()), (id, body.clone()));
        let error = written(Kind::Error);
        let Ok((read, Err(error))) = read_reply((&error).into()) else { panic!("{error:?}") };
        assert_eq!((read, error), (id, ErrorReply::new("body", "")));
        let cancel = Head::new(Kind::Cancel, id).alone().to_message();
        assert!(matches!(read_from_caller((&cancel).into()), Ok(FromCaller::Cancel(read)) if read == id));
    }

    #[test]
    fn a_call_without_a_body_is_an_empty_message() {
        let call = message(&[&[1, 0, 0, 0, 0, 0, 0, 0, 9]]);
        let Ok(FromCaller::Call(CallId(9), rest)) = read_from_caller((&call).into()) else { panic!() };
        assert_eq!((rest.part_count(), rest.byte_count()), (1, 0));
    }

    #[test]
    fn each_malformed_head_has_its_error() {
        use CallProtocolError::*;
        let reply = |head: &[u8]| read_reply((&message(&[head])).into()).unwrap_err();
        assert_eq!(reply(b""), HeadLength { found: 0 });
        assert_eq!(reply(b"\x02"), HeadLength { found: 1 });
        assert_eq!(reply(b"\x02123456789"), HeadLength { found: 10 });
        assert_eq!(reply(b"\x0012345678"), Kind { found: 0 });
        assert_eq!(reply(b"\x0512345678"), Kind { found: 5 });
        assert_eq!(reply(b"\x0112345678"), NotCalled);
        let call = |parts: &[&[u8]]| read_from_caller((&message(parts)).into()).unwrap_err();
        assert_eq!(call(&[b"\x0212345678", b"x"]), Unasked);
        assert_eq!(call(&[b"\x0412345678", b"x"]), CancelParts);
        assert_eq!(call(&[b"", b"a request"]), HeadLength { found: 0 });
    }
}
