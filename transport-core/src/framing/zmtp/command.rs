//! Commands: frames that carry a name and data (RFC 37/ZMTP, section "Commands").

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::framing::{Control, FramingError, Token};

/// Longest context of a PING that is kept and sent back.
const CONTEXT: usize = 16;

/// libzmq keeps the TTL's milliseconds in 16 bits: a larger one wraps around and closes the connection at once.
const MAX_TTL_TENTHS: u16 = 655;

/// Splits a command body into name and data; `None` when the name is longer than the body or not ASCII.
pub(super) fn read(body: &Bytes) -> Option<Token> {
    let (&length, rest) = body.split_first()?;
    let name = rest.get(..usize::from(length))?;
    let name = std::str::from_utf8(name).ok().filter(|name| name.is_ascii())?;
    Some(Token::new(name, body.slice(1 + name.len()..)))
}

/// The body of a command.
pub(super) fn body(name: &str, data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("command names are constants shorter than 256 bytes");
    let mut body = Vec::with_capacity(1 + name.len() + data.len());
    body.push(length);
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(data);
    body
}

/// The reason in the data of an ERROR command.
pub(super) fn read_error(data: &[u8]) -> Result<String, FramingError> {
    let reason = data.split_first().and_then(|(&length, rest)| rest.get(..usize::from(length)));
    match reason {
        Some(reason) => Ok(String::from_utf8_lossy(reason).into_owned()),
        None => Err(FramingError::Malformed { what: "ERROR", problem: "its reason is cut off".into() }),
    }
}

/// The data of an ERROR command, at most 255 bytes of reason.
pub(super) fn error_data(reason: &str) -> Vec<u8> {
    let reason = &reason.as_bytes()[..reason.len().min(255)];
    let mut data = vec![u8::try_from(reason.len()).expect("cut to 255 above")];
    data.extend_from_slice(reason);
    data
}

/// Reads PING and PONG; `None` for other commands.
pub(super) fn read_control(command: &Token) -> Result<Option<Control>, FramingError> {
    let context = |data: Bytes| data.slice(..data.len().min(CONTEXT));
    match command.name.as_str() {
        "PING" => {
            let Some(tenths) = command.body.first_chunk::<2>() else {
                let problem = "it has no room for its time to live".into();
                return Err(FramingError::Malformed { what: "PING", problem });
            };
            let ttl = Duration::from_millis(100 * u64::from(u16::from_be_bytes(*tenths)));
            Ok(Some(Control::Ping { ttl, context: context(command.body.slice(2..)) }))
        }
        "PONG" => Ok(Some(Control::Pong { context: context(command.body.clone()) })),
        _ => Ok(None),
    }
}

/// The command body of a control event.
pub(super) fn control_body(control: &Control) -> Vec<u8> {
    match control {
        Control::Ping { ttl, context } => {
            let tenths = u16::try_from(ttl.as_millis() / 100).unwrap_or(u16::MAX).min(MAX_TTL_TENTHS);
            let mut data = BytesMut::with_capacity(2 + CONTEXT);
            data.put_u16(tenths);
            data.put_slice(&context[..context.len().min(CONTEXT)]);
            body("PING", &data)
        }
        Control::Pong { context } => body("PONG", &context[..context.len().min(CONTEXT)]),
    }
}

/// What a subscription looks like to applications, and on the wire to peers of ZMTP 3.0: `01 topic`, or `00 topic`
/// when it is cancelled. `None` for other commands.
pub(super) fn read_subscription(command: &Token) -> Option<Bytes> {
    let kind = match command.name.as_str() {
        "SUBSCRIBE" => SUBSCRIBE,
        "CANCEL" => CANCEL,
        _ => return None,
    };
    let mut message = BytesMut::with_capacity(1 + command.body.len());
    message.put_u8(kind);
    message.put_slice(&command.body);
    Some(message.freeze())
}

/// The command body for a subscription in the form of a message; `None` for any other message.
pub(super) fn subscription_body(message: &[u8]) -> Option<Vec<u8>> {
    let (kind, topic) = message.split_first()?;
    match *kind {
        SUBSCRIBE => Some(body("SUBSCRIBE", topic)),
        CANCEL => Some(body("CANCEL", topic)),
        _ => None,
    }
}

const SUBSCRIBE: u8 = 1;
const CANCEL: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    fn control(bytes: &'static [u8]) -> Result<Option<Control>, FramingError> {
        read_control(&read(&Bytes::from_static(bytes)).unwrap())
    }

    #[test]
    fn ping_carries_its_ttl_in_tenths_of_a_second() {
        let ping = Control::Ping { ttl: Duration::from_millis(1500), context: Bytes::from_static(b"ctx") };
        assert_eq!(control_body(&ping), b"\x04PING\x00\x0fctx");
        assert_eq!(control(b"\x04PING\x00\x0fctx"), Ok(Some(ping)));
    }

    #[test]
    fn a_ttl_that_libzmq_would_wrap_is_never_sent() {
        let ping = Control::Ping { ttl: Duration::from_secs(90), context: Bytes::new() };
        assert_eq!(control_body(&ping), b"\x04PING\x02\x8f");
    }

    #[test]
    fn a_context_is_cut_to_16_bytes() {
        let pong = Control::Pong { context: Bytes::from_static(b"0123456789abcdef") };
        assert_eq!(control(b"\x04PONG0123456789abcdefXYZ"), Ok(Some(pong)));
    }

    #[test]
    fn a_ping_without_ttl_is_malformed_and_unknown_commands_are_not_control() {
        assert!(control(b"\x04PING\x00").is_err());
        assert_eq!(control(b"\x04ping\x00\x00"), Ok(None));
        assert_eq!(read(&Bytes::from_static(b"")), None);
        assert_eq!(read(&Bytes::from_static(b"\x09AB")), None);
    }

    #[test]
    fn an_error_tells_its_reason() {
        assert_eq!(read_error(&error_data("400")).unwrap(), "400");
        assert_eq!(error_data(&"x".repeat(300)).len(), 256);
        assert!(read_error(b"\x05abc").is_err());
        assert!(read_error(b"").is_err());
    }

    #[test]
    fn a_subscription_is_a_message_to_applications_and_a_command_on_the_wire() {
        let command = read(&Bytes::from_static(b"\x09SUBSCRIBEnews")).unwrap();
        assert_eq!(read_subscription(&command).unwrap(), "\x01news");
        assert_eq!(subscription_body(b"\x01news").unwrap(), b"\x09SUBSCRIBEnews");
        assert_eq!(subscription_body(b"\x00").unwrap(), b"\x06CANCEL");
        assert_eq!(read_subscription(&read(&Bytes::from_static(b"\x06CANCEL")).unwrap()).unwrap(), "\x00");
        assert_eq!((subscription_body(b"\x02x"), subscription_body(b"")), (None, None));
        assert_eq!(read_subscription(&Token::new("PING", "")), None);
    }
}
