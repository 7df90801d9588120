//! The caller for one task.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::error::{CallError, CallsEnded};
use super::limits::CallLimits;
use super::table::Table;
use super::wire::{CallId, Head, Kind, read_reply};
use crate::connection::{Alarm, Connection, now};
use crate::message::{Lent, Message, MessageRef};

/// Makes calls over a connection from one task: many can be under way, and their replies come in any order.
///
/// It does its own reading and writing, as a [`Connection`] does, and holds up nobody else: nothing is locked, woken,
/// or allocated for a call. For calls from many tasks there is [`Caller`](super::Caller).
///
/// # Keep receiving
///
/// Pings are answered while one of its methods waits; see [`Connection`].
///
/// # Examples
///
/// ```
/// # use transport_core::{Connect, Listen, Policy, Transports, mem::MemTransport};
/// use transport_core::call::{self, CallLimits, LoneCaller};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transports = Transports::new().with(MemTransport::new());
/// # let mut server = Listen::new(&transports, "mem://lone").policy(Policy::same_process()).start().await?;
/// # let connection = Connect::new(&transports, "mem://lone").server(Policy::same_process()).await?;
/// # let accepted = server.accept().await.expect("the server goes on");
/// # tokio::spawn(call::serve_with(accepted, CallLimits::default(), |request| {
/// #     let message = request.message();
/// #     request.reply(message)
/// # }));
/// let mut caller = LoneCaller::new(connection, CallLimits::default());
/// for number in 0..100u8 {
///     caller.start(&[number]).await?;
/// }
/// let mut replies = 0;
/// while caller.count() > 0 {
///     replies += caller.each_reply(|_id, reply| assert!(reply.is_ok())).await?;
/// }
/// assert_eq!(replies, 100);
/// # Ok(())
/// # }
/// ```
pub struct LoneCaller {
    connection: Connection,
    table: Table<()>,
    /// Replies that came while something else was waited for. Together with the calls under way they are at most as many
    /// as calls are allowed.
    arrived: VecDeque<(CallId, Result<Message, CallError>)>,
    time: Duration,
    alarm: Alarm,
    ended: Option<CallsEnded>,
}

impl LoneCaller {
    /// Makes calls over `connection`.
    pub fn new(connection: Connection, limits: CallLimits) -> LoneCaller {
        LoneCaller {
            connection,
            table: Table::new(limits.calls),
            arrived: VecDeque::new(),
            time: limits.time,
            alarm: Alarm::default(),
            ended: None,
        }
    }

    /// Makes a call and waits for its reply. Replies to calls that were started before are kept for
    /// [`next_reply`](LoneCaller::next_reply).
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped the call is cancelled, see [`cancel`](LoneCaller::cancel).
    pub async fn call(&mut self, message: impl Into<MessageRef<'_>>) -> Result<Message, CallError> {
        let id = self.start(message).await?;
        let call = CancelOnDrop { caller: self, id };
        poll_fn(|cx| call.caller.poll_reply_to(id, cx)).await
    }

    /// Starts a call, which goes out when replies are waited for, at [`flush`](LoneCaller::flush), or when 128 KiB have
    /// gathered. Its time counts from then.
    ///
    /// # Errors
    ///
    /// When it could not be sent: [`CallError::NotSent`], [`Unencodable`](CallError::Unencodable), or
    /// [`TooMany`](CallError::TooMany) when as many calls as are allowed are under way, or have replies that were not
    /// taken.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: a call whose start was dropped is not sent.
    #[inline]
    pub async fn start(&mut self, message: impl Into<MessageRef<'_>>) -> Result<CallId, CallError> {
        if self.connection.outbound().is_worth_a_write() {
            self.make_room().await;
        }
        if let Some(ended) = &self.ended {
            return Err(CallError::NotSent(ended.clone()));
        }
        if self.table.count() + self.arrived.len() >= self.table.most() {
            return Err(CallError::TooMany(self.table.most()));
        }
        let Some(id) = self.table.insert_undated(()) else {
            return Err(CallError::TooMany(self.table.most()));
        };
        let head = Head::new(Kind::Call, id);
        let headed = head.before(message.into());
        match self.connection.outbound().encode(MessageRef(Lent::Headed(&headed))) {
            Ok(()) => Ok(id),
            Err(error) => {
                self.table.remove(id);
                Err(CallError::Unencodable(error))
            }
        }
    }

    /// Shows each reply that has arrived to `visit`, where it lies in the read buffer; waits for the first one.
    ///
    /// Calls whose time is over are shown with their error. Returns how many were shown: 0 when no call is under way.
    ///
    /// # Errors
    ///
    /// When the connection has ended, with the calls under way: it is unknown which of them were executed.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: `visit` is called only just before the future is ready.
    pub async fn each_reply(
        &mut self,
        mut visit: impl FnMut(CallId, Result<MessageRef<'_>, CallError>),
    ) -> Result<usize, CallsEnded> {
        if !self.arrived.is_empty() {
            let count = self.arrived.len();
            for (id, reply) in self.arrived.drain(..) {
                match reply {
                    Ok(message) => visit(id, Ok((&message).into())),
                    Err(error) => visit(id, Err(error)),
                }
            }
            return Ok(count);
        }
        if self.table.count() == 0 {
            return self.ended.clone().map_or(Ok(0), Err);
        }
        poll_fn(|cx| self.poll_replies(&mut visit, cx)).await
    }

    /// The next reply and which call it belongs to; `None` when no call is under way.
    ///
    /// # Errors
    ///
    /// See [`each_reply`](LoneCaller::each_reply).
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn next_reply(&mut self) -> Result<Option<(CallId, Result<Message, CallError>)>, CallsEnded> {
        while self.arrived.is_empty() {
            if self.table.count() == 0 {
                return self.ended.clone().map_or(Ok(None), Err);
            }
            poll_fn(|cx| self.poll_arrive(cx)).await?;
        }
        Ok(self.arrived.pop_front())
    }

    /// Gives a call up: tells the other side, with what is sent next, to stop. A reply that still comes is dropped.
    ///
    /// False when it is not under way any more.
    pub fn cancel(&mut self, id: CallId) -> bool {
        let removed = self.table.remove(id).is_some();
        if removed {
            self.queue_cancel(id);
        }
        removed
    }

    /// Sends what was started.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: what is not written stays queued.
    pub async fn flush(&mut self) -> Result<(), CallsEnded> {
        self.make_room().await;
        match &self.ended {
            Some(ended) => Err(ended.clone()),
            None => Ok(()),
        }
    }

    /// How many calls are under way.
    pub fn count(&self) -> usize {
        self.table.count()
    }

    /// How many replies came to no call under way: too late, twice, or never asked for.
    pub fn stray_replies(&self) -> u64 {
        self.table.strays()
    }

    /// Writes everything queued, and receives while that takes its time: the other side may have to get rid of replies
    /// before it can take more calls.
    #[cold]
    async fn make_room(&mut self) {
        self.date();
        poll_fn(|cx| {
            while self.ended.is_none() && self.poll_flush(cx).is_pending() {
                if self.poll_arrive(cx).is_pending() {
                    // Receiving has tried to write too, and may have come to the end of it.
                    return self.poll_flush(cx);
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Ready when everything is written, or the connection has ended.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.connection.poll_flush(cx).map(|flushed| {
            if let Err(error) = flushed {
                self.end(error);
            }
        })
    }

    fn poll_reply_to(&mut self, id: CallId, cx: &mut Context<'_>) -> Poll<Result<Message, CallError>> {
        loop {
            if let Some(at) = self.arrived.iter().position(|(arrived, _)| *arrived == id) {
                let (_, reply) = self.arrived.remove(at).expect("it was found there");
                return Poll::Ready(reply);
            }
            if let Err(ended) = ready!(self.poll_arrive(cx)) {
                return Poll::Ready(Err(CallError::Lost(ended)));
            }
        }
    }

    /// Receives replies into `arrived`.
    fn poll_arrive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallsEnded>> {
        let mut arrived = std::mem::take(&mut self.arrived);
        let polled = self.poll_replies(
            &mut |id, reply| arrived.push_back((id, reply.map(|message| message.to_message()))),
            cx,
        );
        self.arrived = arrived;
        polled.map(|polled| polled.map(|_count| ()))
    }

    /// Sends what was started and receives until there is at least one reply.
    fn poll_replies(
        &mut self,
        visit: &mut impl FnMut(CallId, Result<MessageRef<'_>, CallError>),
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, CallsEnded>> {
        self.date();
        loop {
            if let Some(ended) = &self.ended {
                return Poll::Ready(Err(ended.clone()));
            }
            let mut count = self.expire(visit);
            let mut violation = None;
            let table = &mut self.table;
            let received = self.connection.poll_recv_each(
                &mut |message, _| match read_reply(message) {
                    Ok((id, reply)) if table.remove(id).is_some() => {
                        count += 1;
                        visit(id, reply.map_err(CallError::Answered));
                    }
                    Ok(_) => table.count_stray(),
                    Err(error) => _ = violation.get_or_insert(error),
                },
                cx,
            );
            if let Some(error) = violation {
                self.end(error);
            }
            match received {
                Poll::Ready(Ok(0)) => self.end(CallsEnded::Closed),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => self.end(error),
                Poll::Pending if count == 0 => {
                    // Receiving has tried to write too, but does not say how that went.
                    let _wakes_or_ended = self.poll_flush(cx);
                    if self.ended.is_none() {
                        ready!(self.alarm.poll(self.table.next_deadline(), cx));
                    }
                }
                Poll::Pending => {}
            }
            if count > 0 {
                return Poll::Ready(Ok(count));
            }
        }
    }

    /// Gives up the calls whose time is over.
    fn expire(&mut self, visit: &mut impl FnMut(CallId, Result<MessageRef<'_>, CallError>)) -> usize {
        let Some(deadline) = self.table.next_deadline() else {
            return 0;
        };
        let now = now();
        if now < deadline {
            return 0;
        }
        let expired = self.table.expired(now);
        for &id in &expired {
            self.cancel(id);
            visit(id, Err(CallError::Deadline(self.time)));
        }
        expired.len()
    }

    /// The time of the calls that were started begins.
    fn date(&mut self) {
        if self.table.has_undated() {
            self.table.date(now().checked_add(self.time));
        }
    }

    fn queue_cancel(&mut self, id: CallId) {
        let head = Head::new(Kind::Cancel, id);
        // A framing that carried the call carries this.
        let _carried = self.connection.outbound().encode(head.alone());
    }

    /// Nothing comes any more; what has arrived can still be taken.
    fn end(&mut self, why: impl Into<CallsEnded>) {
        self.ended.get_or_insert_with(|| why.into());
        self.table.clear();
    }
}

impl fmt::Debug for LoneCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoneCaller")
            .field("connection", &self.connection)
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

/// Cancels the call of a future that was dropped, and drops a reply that nobody has taken.
struct CancelOnDrop<'a> {
    caller: &'a mut LoneCaller,
    id: CallId,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if !self.caller.cancel(self.id) {
            self.caller.arrived.retain(|(id, _)| *id != self.id);
        }
    }
}
