//! Envelopes of requests and replies (RFC 28/REQREP).
//!
//! ```text
//! REQ sends      [id] "" body...        the id (4 bytes) only when requests are correlated
//! REP receives   envelope... "" body... and sends the same envelope with its reply
//! ```

use bytes::Bytes;
use smallvec::SmallVec;
use transport_core::Message;

/// What stands before the body: addresses of the way back, and an empty part.
pub(crate) type Envelope = SmallVec<[Bytes; 2]>;

/// The envelope of a request.
pub(crate) fn envelope(id: Option<u32>) -> Envelope {
    let id = id.map(|id| Bytes::copy_from_slice(&id.to_be_bytes()));
    id.into_iter().chain([Bytes::new()]).collect()
}

/// Splits a request into its envelope, up to and including the first empty part, and its body.
///
/// `None` when there is no empty part with something behind it: such a message is dropped.
pub(crate) fn split(request: Message) -> Option<(Envelope, Message)> {
    let end = request.parts().iter().position(Bytes::is_empty)? + 1;
    if end == request.part_count() {
        return None;
    }
    let mut parts = request.into_parts();
    let envelope = parts.by_ref().take(end).collect();
    Some((envelope, parts.collect()))
}

/// What a reply is to the request that was asked last.
#[derive(Debug, PartialEq)]
pub(crate) enum Reply {
    /// Its body.
    Answer(Message),
    /// To an earlier request: dropped.
    Stale,
    /// Not a reply at all: the peer breaks the protocol.
    Malformed,
}

/// Opens a reply to the request with this id, if requests are correlated.
pub(crate) fn open(reply: Message, id: Option<u32>) -> Reply {
    let front = usize::from(id.is_some());
    let delimiter = reply.parts().get(front);
    if delimiter.is_none_or(|part| !part.is_empty()) || reply.part_count() < front + 2 {
        return Reply::Malformed;
    }
    if id.is_some_and(|id| reply[0] != id.to_be_bytes()[..]) {
        return if reply[0].len() == 4 { Reply::Stale } else { Reply::Malformed };
    }
    Reply::Answer(reply.into_parts().skip(front + 1).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(parts: &[&'static str]) -> Message {
        parts.iter().map(|part| Bytes::from_static(part.as_bytes())).collect()
    }

    #[test]
    fn a_request_is_split_at_its_first_empty_part() {
        for (parts, envelope, body) in [
            (&["", "a"][..], &[""][..], &["a"][..]),
            (&["x", "y", "", "a", "", "b"], &["x", "y", ""], &["a", "", "b"]),
            (&["", ""], &[""], &[""]),
        ] {
            let (found, rest) = split(message(parts)).unwrap();
            assert_eq!(found[..], message(envelope).parts()[..]);
            assert_eq!(rest, message(body));
        }
        for parts in [&["a"][..], &["a", "b"], &[""], &["a", ""]] {
            assert!(split(message(parts)).is_none(), "{parts:?}");
        }
    }

    #[test]
    fn a_reply_has_a_delimiter_and_the_id_of_its_request() {
        assert_eq!(open(message(&["", "a", "b"]), None), Reply::Answer(message(&["a", "b"])));
        assert_eq!(open(message(&["", ""]), None), Reply::Answer(message(&[""])));
        for malformed in [&["a"][..], &["a", "b"], &[""]] {
            assert_eq!(open(message(malformed), None), Reply::Malformed, "{malformed:?}");
        }
        let id = 0x3031_3233;
        assert_eq!(envelope(Some(id))[..], message(&["0123", ""]).parts()[..]);
        assert_eq!(open(message(&["0123", "", "a"]), Some(id)), Reply::Answer(message(&["a"])));
        assert_eq!(open(message(&["9999", "", "a"]), Some(id)), Reply::Stale);
        for malformed in [&["", "a"][..], &["0123", "a"], &["0123", ""], &["012", "", "a"]] {
            assert_eq!(open(message(malformed), Some(id)), Reply::Malformed, "{malformed:?}");
        }
    }
}
