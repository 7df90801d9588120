//! The side that answers calls.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker, ready};

use tokio::task::{self, AbortHandle, JoinSet};

use super::error::{CallProtocolError, ErrorReply};
use super::limits::CallLimits;
use super::waiting::Waiting;
use super::wire::{CallId, FromCaller, Head, Kind, read_from_caller};
use crate::connection::{Connection, Outbound, RecvError, SendError};
use crate::message::{Lent, Message, MessageRef};
use crate::transport::BoxFuture;

/// Answers the calls that come over `connection`, until it ends; `handler` is called for each.
///
/// A handler that is not done at once goes on in a task of its own, so many are at work at a time, at most
/// [`CallLimits::calls`]; then no more calls are received until one is done. Replies go out in the order in which they
/// come about. When the caller gives a call up, its handler is dropped. A handler that panics is answered for, with an
/// error named [`ErrorReply::PANICKED`].
///
/// When the peer has closed, or the server of this connection drains, handlers at work go on and their replies are sent;
/// then the connection is closed.
///
/// # Errors
///
/// When the connection broke, or the peer broke the protocol of calls. Handlers at work are dropped.
///
/// # Cancel safety
///
/// Not cancel-safe: the connection is dropped with the future, and the handlers too.
///
/// # Security
///
/// The handler is not told who calls: that is the same for all calls of a connection. Look at
/// [`Connection::identity`] before, and keep what of it is needed in the handler.
///
/// # Examples
///
/// See [the module](super).
pub async fn serve<H, F>(connection: Connection, limits: CallLimits, mut handler: H) -> Result<(), ServeError>
where
    H: FnMut(Message) -> F,
    F: Future<Output = Result<Message, ErrorReply>> + Send + 'static,
{
    serve_with(connection, limits, |request| {
        let future = handler(request.message().to_message());
        request.later(future)
    })
    .await
}

/// As [`serve`], with a handler that sees each request where it lies in the read buffer, and can reply to it at once:
/// nothing is then allocated for the call.
///
/// # Errors
///
/// As `serve`.
///
/// # Cancel safety
///
/// As `serve`.
///
/// # Examples
///
/// ```
/// # use transport_core::{Connect, Listen, Policy, Transports, mem::MemTransport};
/// use transport_core::call::{self, CallLimits, Caller, ErrorReply};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transports = Transports::new().with(MemTransport::new());
/// # let mut server = Listen::new(&transports, "mem://with").policy(Policy::same_process()).start().await?;
/// # let connection = Connect::new(&transports, "mem://with").server(Policy::same_process()).await?;
/// # let accepted = server.accept().await.expect("the server goes on");
/// tokio::spawn(call::serve_with(accepted, CallLimits::default(), |request| {
///     let message = request.message();
///     match message.byte_count() {
///         0 => request.fail(&ErrorReply::new("empty", "there is nothing to send back")),
///         _ => request.reply(message),
///     }
/// }));
/// # let caller = Caller::new(connection, CallLimits::default());
/// # assert_eq!(caller.call("echo").await?.to_text(), Some("echo"));
/// # assert!(caller.call("").await.is_err());
/// # Ok(())
/// # }
/// ```
pub async fn serve_with(
    connection: Connection,
    limits: CallLimits,
    handler: impl FnMut(Request<'_>) -> Answer,
) -> Result<(), ServeError> {
    let most = limits.calls.max(1);
    let work =
        Work { handler, running: Running::default(), waiting: Waiting::default(), most, violation: None };
    let mut serving = Serving { connection, work };
    poll_fn(|cx| serving.poll(cx)).await?;
    Ok(serving.connection.close().await?)
}

/// A call that is to be answered.
pub struct Request<'a> {
    id: CallId,
    message: MessageRef<'a>,
    out: &'a mut Outbound,
}

/// How a [`Request`] was answered: what its methods return.
#[must_use = "a handler returns it"]
pub struct Answer(Given);

enum Given {
    Now,
    Later(BoxFuture<'static, Reply>),
}

impl<'a> Request<'a> {
    /// What is asked.
    pub fn message(&self) -> MessageRef<'a> {
        self.message
    }

    /// Replies at once.
    pub fn reply<'m>(self, message: impl Into<MessageRef<'m>>) -> Answer {
        put_reply(self.id, message.into(), self.out);
        Answer(Given::Now)
    }

    /// Answers at once with an error.
    pub fn fail(self, error: &ErrorReply) -> Answer {
        put_error(self.id, error, self.out);
        Answer(Given::Now)
    }

    /// Replies when `future` is ready. Unless it is so at once, it goes on in a task of its own.
    pub fn later(self, future: impl Future<Output = Result<Message, ErrorReply>> + Send + 'static) -> Answer {
        Answer(Given::Later(Box::pin(future)))
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("message", &self.message).finish_non_exhaustive()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

/// Why calls are not answered any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Receiving failed.
    #[error(transparent)]
    Recv(#[from] RecvError),
    /// Sending failed.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The peer broke the protocol of calls.
    #[error(transparent)]
    Protocol(#[from] CallProtocolError),
}

struct Serving<H> {
    connection: Connection,
    work: Work<H>,
}

/// The calls and what has become of them.
struct Work<H> {
    handler: H,
    running: Running,
    waiting: Waiting,
    most: usize,
    violation: Option<CallProtocolError>,
}

impl<H: FnMut(Request<'_>) -> Answer> Serving<H> {
    /// Ready when the peer has closed and everything is answered and written.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServeError>> {
        let mut is_closed = false;
        loop {
            let out = self.connection.outbound();
            let mut is_idle = self.work.running.poll_finished(out, cx).is_ready();
            while self.work.begin_waiting(out) {
                // Those begun are watched too.
                is_idle = self.work.running.poll_finished(out, cx).is_ready();
            }
            self.work.check()?;
            let was_full = self.connection.outbound().is_full();
            let written = self.connection.poll_flush(cx)?;
            if was_full {
                // There may be more to do now. A peer that takes no replies gets no calls done.
                ready!(written);
                continue;
            }
            if is_closed && is_idle && self.work.waiting.is_empty() {
                return written.map(Ok);
            }
            if is_closed || self.work.waiting.is_full() {
                return Poll::Pending;
            }
            let visit = &mut |message: MessageRef<'_>, out: &mut Outbound| self.work.take(message, out);
            is_closed = ready!(self.connection.poll_recv_each(visit, cx))? == 0;
        }
    }
}

impl<H: FnMut(Request<'_>) -> Answer> Work<H> {
    /// Takes in what came from the caller.
    fn take(&mut self, message: MessageRef<'_>, out: &mut Outbound) {
        match read_from_caller(message) {
            Ok(FromCaller::Call(id, message)) => {
                if self.waiting.is_empty() && self.has_room(out) {
                    self.begin(id, message, out);
                } else if !self.waiting.push(id, message) {
                    self.violation.get_or_insert(CallProtocolError::IdInUse);
                }
            }
            Ok(FromCaller::Cancel(id)) => {
                self.running.cancel(id);
                self.waiting.cancel(id);
            }
            Err(error) => _ = self.violation.get_or_insert(error),
        }
    }

    /// Begins the calls that wait, as far as there is room; false when that was none.
    fn begin_waiting(&mut self, out: &mut Outbound) -> bool {
        let mut any = false;
        while self.has_room(out) {
            let Some((id, message)) = self.waiting.pop() else {
                break;
            };
            self.begin(id, (&message).into(), out);
            any = true;
        }
        any
    }

    fn has_room(&self, out: &Outbound) -> bool {
        self.running.count() < self.most && !out.is_full()
    }

    #[inline]
    fn begin(&mut self, id: CallId, message: MessageRef<'_>, out: &mut Outbound) {
        if self.running.contains(id) {
            self.violation.get_or_insert(CallProtocolError::IdInUse);
        }
        if self.violation.is_some() {
            return;
        }
        let request = Request { id, message, out: &mut *out };
        // What the handler left half done is its own, and it is told of no other call's.
        match catch_unwind(AssertUnwindSafe(|| (self.handler)(request))) {
            Ok(Answer(Given::Now)) => {}
            Ok(Answer(Given::Later(future))) => self.running.start(id, future, out),
            Err(_panic) => put_panicked(id, out),
        }
    }

    fn check(&self) -> Result<(), CallProtocolError> {
        self.violation.map_or(Ok(()), Err)
    }
}

type Reply = Result<Message, ErrorReply>;

/// The handlers at work, each in a task of its own.
#[derive(Default)]
struct Running {
    tasks: JoinSet<Reply>,
    /// Which call each task is for; one that was given up has none.
    calls: HashMap<task::Id, CallId>,
    handles: HashMap<CallId, AbortHandle>,
}

impl Running {
    fn count(&self) -> usize {
        self.tasks.len()
    }

    #[inline]
    fn contains(&self, id: CallId) -> bool {
        !self.handles.is_empty() && self.handles.contains_key(&id)
    }

    /// Most handlers are ready at once, and then need no task.
    fn start(&mut self, id: CallId, mut future: BoxFuture<'static, Reply>, out: &mut Outbound) {
        let mut cx = Context::from_waker(Waker::noop());
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx))) {
            Ok(Poll::Ready(reply)) => put(id, reply, out),
            Ok(Poll::Pending) => {
                let handle = self.tasks.spawn(future);
                self.calls.insert(handle.id(), id);
                self.handles.insert(id, handle);
            }
            Err(_panic) => put_panicked(id, out),
        }
    }

    /// The caller has given the call up.
    fn cancel(&mut self, id: CallId) {
        if let Some(handle) = self.handles.remove(&id) {
            handle.abort();
            self.calls.remove(&handle.id());
        }
    }

    /// Queues the replies of handlers that are done; ready when none is left.
    fn poll_finished(&mut self, out: &mut Outbound, cx: &mut Context<'_>) -> Poll<()> {
        while !out.is_full() {
            let (task, reply) = match ready!(self.tasks.poll_join_next_with_id(cx)) {
                None => return Poll::Ready(()),
                Some(Ok((task, reply))) => (task, Some(reply)),
                Some(Err(error)) => (error.id(), None),
            };
            let Some(id) = self.calls.remove(&task) else {
                continue; // given up
            };
            self.handles.remove(&id);
            match reply {
                Some(reply) => put(id, reply, out),
                None => put_panicked(id, out),
            }
        }
        Poll::Pending
    }
}

fn put(id: CallId, reply: Reply, out: &mut Outbound) {
    match &reply {
        Ok(message) => put_reply(id, message.into(), out),
        Err(error) => put_error(id, error, out),
    }
}

#[inline]
fn put_reply(id: CallId, message: MessageRef<'_>, out: &mut Outbound) {
    let head = Head::new(Kind::Reply, id);
    if let Err(error) = out.encode(MessageRef(Lent::Headed(&head.before(message)))) {
        put_error(id, &ErrorReply::new(ErrorReply::UNENCODABLE, error.to_string()), out);
    }
}

#[cold]
fn put_error(id: CallId, error: &ErrorReply, out: &mut Outbound) {
    let head = Head::new(Kind::Error, id);
    let parts = [error.name().as_bytes(), error.text().as_bytes()];
    // A framing that carried the call, of two parts, carries this, unless it is one that carries no such text.
    let _told = out.encode(MessageRef(Lent::Headed(&head.before(MessageRef(Lent::Slices(&parts))))));
}

/// What the handler's panic says is not for the peer.
#[cold]
fn put_panicked(id: CallId, out: &mut Outbound) {
    tracing::error!(call = id.0, "a handler of calls panicked");
    put_error(id, &ErrorReply::new(ErrorReply::PANICKED, "the handler of the call panicked"), out);
}
