//! What a framing refuses: bytes that came, and messages to be sent.

use std::time::Duration;

/// How the peer broke the framing's protocol or a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// A frame or message announced more than the limit.
    #[error("the peer announced {announced} bytes, the limit is {limit}")]
    TooLarge {
        /// The bytes that were announced, all parts so far together.
        announced: u64,
        /// The limit.
        limit: usize,
    },
    /// A message has more parts than the limit.
    #[error("the peer sent a message of more than {limit} parts")]
    TooManyParts {
        /// The limit.
        limit: usize,
    },
    /// The peer does not speak this protocol, or not this version.
    #[error("the peer does not speak {expected}: {found}")]
    Protocol {
        /// The protocol.
        expected: &'static str,
        /// What came instead.
        found: String,
    },
    /// A command or a property list that is not well formed, or that does not belong here.
    #[error("the peer sent a malformed {what}: {problem}")]
    Malformed {
        /// What was malformed.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The two ends do not fit together.
    #[error("the peer is a {theirs} socket, which a {ours} socket does not talk to")]
    Incompatible {
        /// This side's socket type.
        ours: String,
        /// The peer's socket type.
        theirs: String,
    },
    /// A sealed frame could not be opened.
    #[error("a frame was not sealed by the peer: {problem}")]
    Seal {
        /// What is wrong.
        problem: &'static str,
    },
    /// The peer gave no sign of life for this long.
    #[error("the peer gave no sign of life for {silence:?}")]
    Silent {
        /// How long.
        silence: Duration,
    },
    /// This framing cannot do what the mechanism asks for.
    #[error("this framing cannot carry {what}")]
    Unsupported {
        /// What.
        what: &'static str,
    },
    /// The error of a codec made elsewhere.
    #[error("the codec failed: {0}")]
    Codec(String),
}

/// A message that a framing cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this framing cannot carry the message: {problem}")]
pub struct UnencodableError {
    problem: String,
}

impl UnencodableError {
    /// Says why.
    pub fn new(problem: impl Into<String>) -> UnencodableError {
        UnencodableError { problem: problem.into() }
    }
}
