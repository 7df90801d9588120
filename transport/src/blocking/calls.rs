//! Calls: a message that is answered by a message.

use std::time::Duration;

use transport_core::call::{self, CallError, CallLimits, CallsEnded, ErrorReply, ServeError};
use transport_core::{Identity, Message, MessageRef};

use super::connection::Connection;
use super::error::Error;
use super::runtime::Runtime;

/// Makes calls over a connection: cloned for as many threads as call, see [`call::Caller`].
///
/// Replies are received, and pings answered, while some thread waits for a reply.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use transport::blocking::{self, Caller};
/// use transport::core::call::{CallLimits, ErrorReply};
/// use transport::{Message, Policy};
///
/// let listen = transport::listen("mem://calls").policy(Policy::same_process());
/// let mut server = blocking::listen(listen)?;
/// std::thread::spawn(move || {
///     let connection = server.accept().unwrap().unwrap();
///     blocking::serve(connection, CallLimits::default(), |request| match request.to_message().to_text() {
///         Some("ping") => Ok(Message::from("pong")),
///         _ => Err(ErrorReply::new("unknown", "only ping is known here")),
///     })
/// });
///
/// let connection = blocking::connect(transport::connect("mem://calls").server(Policy::same_process()))?;
/// let caller = Caller::new(connection, CallLimits::default())?;
/// assert_eq!(caller.call("ping")?.to_text(), Some("pong"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Caller {
    caller: call::Caller,
    runtime: Runtime,
}

impl Caller {
    /// Makes calls over `connection`.
    ///
    /// # Errors
    ///
    /// Only [`Error::WithinRuntime`]; the connection is dropped then.
    pub fn new(connection: Connection, limits: CallLimits) -> Result<Caller, Error<CallError>> {
        let (connection, runtime) = connection.into_parts();
        let caller = runtime.block_on(async { call::Caller::new(connection, limits) })?;
        Ok(Caller { caller, runtime })
    }

    /// Who the peer has proven to be.
    pub fn identity(&self) -> &Identity {
        self.caller.identity()
    }

    /// Makes a call, and waits for its reply.
    ///
    /// # Errors
    ///
    /// See [`CallError`] and [`Error`].
    pub fn call<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<Message, Error<CallError>> {
        self.runtime.try_block_on(self.caller.call(message))
    }

    /// As [`call`](Caller::call), with a time of its own: from now to the reply.
    ///
    /// # Errors
    ///
    /// See [`CallError`] and [`Error`].
    pub fn call_within<'m>(
        &self,
        time: Duration,
        message: impl Into<MessageRef<'m>>,
    ) -> Result<Message, Error<CallError>> {
        self.runtime.try_block_on(self.caller.call_within(time, message))
    }

    /// Ends the connection, once the peer has replied to what is under way: see [`call::Caller::close`].
    ///
    /// # Errors
    ///
    /// See [`CallsEnded`] and [`Error`].
    pub fn close(self) -> Result<(), Error<CallsEnded>> {
        self.runtime.try_block_on(self.caller.close())
    }
}

/// Answers the calls that come over `connection`, one after the other, until the peer has closed: see
/// [`call::serve_with`].
///
/// # Errors
///
/// See [`ServeError`] and [`Error`].
///
/// # Examples
///
/// See [`Caller`].
pub fn serve(
    connection: Connection,
    limits: CallLimits,
    mut handler: impl FnMut(MessageRef<'_>) -> Result<Message, ErrorReply>,
) -> Result<(), Error<ServeError>> {
    let (connection, runtime) = connection.into_parts();
    runtime.try_block_on(call::serve_with(connection, limits, |request| match handler(request.message()) {
        Ok(reply) => request.reply(&reply),
        Err(error) => request.fail(&error),
    }))
}
