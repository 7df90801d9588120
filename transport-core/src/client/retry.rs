//! Which errors mend themselves, and which do not.

use std::io;

use crate::connect::ConnectError;
use crate::framing::FramingError;
use crate::handshake::HandshakeError;
use crate::mechanism::Refusal;
use crate::transport::TransportError;

/// Whether another attempt at the same address could succeed without anyone changing this program's settings: the table in
/// the docs of [`Client`](super::Client).
pub(crate) fn mends_itself(error: &ConnectError) -> bool {
    match error {
        ConnectError::Address(_) | ConnectError::Scheme(_) | ConnectError::Config(_) => false,
        ConnectError::Transport(error) => transport_mends_itself(error),
        ConnectError::Deadline(_) => true,
        ConnectError::Handshake(error) => handshake_mends_itself(error),
    }
}

fn transport_mends_itself(error: &TransportError) -> bool {
    match error {
        TransportError::Address { .. } | TransportError::Denied(_) => false,
        TransportError::Io { source, .. } => {
            !matches!(source.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
        }
        TransportError::Proxy { source, .. } => source.mends_itself(),
        // A certificate may be renewed, and a stream that was cut looks the same.
        TransportError::Handshake(_) => true,
    }
}

fn handshake_mends_itself(error: &HandshakeError) -> bool {
    match error {
        HandshakeError::Denied(_) | HandshakeError::Unprotected(_) | HandshakeError::Mechanism { .. } => {
            false
        }
        HandshakeError::Refusal(refusal) => matches!(refusal, Refusal::Unavailable { .. }),
        HandshakeError::RefusedByPeer { reason } => matches!(reason.as_str(), "300" | "500"),
        HandshakeError::Framing(error) => {
            !matches!(error, FramingError::Incompatible { .. } | FramingError::Unsupported { .. })
        }
        HandshakeError::Transport(error) => transport_mends_itself(error),
        HandshakeError::TooManyFrames { .. }
        | HandshakeError::Deadline(_)
        | HandshakeError::Closed
        | HandshakeError::NoPlace(_)
        | HandshakeError::Evicted
        | HandshakeError::Io(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: &str) -> ConnectError {
        HandshakeError::RefusedByPeer { reason: reason.into() }.into()
    }

    fn io(kind: io::ErrorKind) -> ConnectError {
        TransportError::io("connect", kind.into()).into()
    }

    #[test]
    fn a_server_that_says_not_now_is_asked_again() {
        assert!(mends_itself(&refused("300")) && mends_itself(&refused("500")));
        assert!(!mends_itself(&refused("400")) && !mends_itself(&refused("go away")));
    }

    #[test]
    fn a_server_that_is_away_is_asked_again() {
        for kind in
            [io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied]
        {
            assert!(mends_itself(&io(kind)), "{kind}");
        }
        assert!(!mends_itself(&io(io::ErrorKind::InvalidInput)));
        assert!(mends_itself(&HandshakeError::Closed.into()));
    }

    #[test]
    fn a_server_that_fails_its_proof_is_not_asked_again() {
        let refusal = Refusal::Other { reason: "its signature is wrong".into(), tell: false };
        assert!(!mends_itself(&HandshakeError::from(refusal).into()));
        let down = Refusal::Unavailable { problem: "the store is away".into() };
        assert!(mends_itself(&HandshakeError::from(down).into()));
    }
}
