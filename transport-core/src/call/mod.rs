//! Calls: a message that is answered by a message, many under way on one connection.
//!
//! | | for | |
//! |---|---|---|
//! | [`Caller`] | many tasks | `call(message).await`; cloned freely; a task of its own receives the replies |
//! | [`LoneCaller`] | one task | the fastest: start many, then take the replies as they come |
//! | [`serve`] | the other side | an async handler for each call, many at work at a time |
//! | [`serve_with`] | the other side | the fastest: reply at once where it can be, later where it cannot |
//!
//! Either side of a connection can be the one that calls. The framing must carry messages of several parts, as ZMTP
//! does.
//!
//! # What a call can come to
//!
//! A call is sent at most once: nothing here sends it again. When its deadline passes, or its future is dropped, the
//! other side is told to stop, and a reply that is on its way already is dropped and counted. When the connection
//! ends, all calls under way fail with an error that says that nobody knows whether they were executed.
//!
//! # Wire format
//!
//! A part of its own goes before the message. Nothing else tells a call from another message, so a ROUTER or DEALER
//! socket of any ZeroMQ library can take part:
//!
//! ```text
//! head     kind (1 byte) | id (8 bytes, chosen by the caller, sent back as it came)
//!
//! call     1 | id     then the parts of the request
//! reply    2 | id     then the parts of the reply
//! error    3 | id     then a name for programs, and a text for people
//! cancel   4 | id     nothing more; it has no reply
//! ```
//!
//! The call "ping" with the id 00 00 00 01 00 00 00 02, as ZMTP frames, and its reply "pong":
//!
//! ```text
//! 01 09  01 00 00 00 01 00 00 00 02    more parts follow, 9 bytes: kind 1, id
//! 00 04  70 69 6e 67                   last part, 4 bytes: ping
//!
//! 01 09  02 00 00 00 01 00 00 00 02
//! 00 04  70 6f 6e 67
//! ```
//!
//! # Examples
//!
//! ```
//! # use transport_core::{Connect, Listen, Message, Policy, Transports, mem::MemTransport};
//! use transport_core::call::{self, CallLimits, Caller, ErrorReply};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let transports = Transports::new().with(MemTransport::new());
//! # let mut server = Listen::new(&transports, "mem://calls").policy(Policy::same_process()).start().await?;
//! # let connection = Connect::new(&transports, "mem://calls").server(Policy::same_process()).await?;
//! # let accepted = server.accept().await.expect("the server goes on");
//! // On one side:
//! tokio::spawn(call::serve(accepted, CallLimits::default(), async |request: Message| {
//!     match request.to_text() {
//!         Some("ping") => Ok(Message::from("pong")),
//!         _ => Err(ErrorReply::new("unknown", "only ping is known here")),
//!     }
//! }));
//! // On the other:
//! let caller = Caller::new(connection, CallLimits::default());
//! let reply = caller.call("ping").await?;
//! assert_eq!(reply.to_text(), Some("pong"));
//! # Ok(())
//! # }
//! ```

mod caller;
mod error;
mod limits;
mod lone;
mod server;
mod table;
mod waiting;
mod wire;

pub use caller::Caller;
pub use error::{CallError, CallProtocolError, CallsEnded, ErrorReply};
pub use limits::CallLimits;
pub use lone::LoneCaller;
pub use server::{Answer, Request, ServeError, serve, serve_with};
pub use wire::CallId;

/// For the fuzz target: how many of the two sides take the message for one of theirs.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_as_either(message: crate::message::MessageRef<'_>) -> usize {
    usize::from(wire::read_from_caller(message).is_ok()) + usize::from(wire::read_reply(message).is_ok())
}
