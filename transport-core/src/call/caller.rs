//! The caller for many tasks.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::error::{CallError, CallsEnded};
use super::limits::CallLimits;
use super::table::Table;
use super::wire::{CallId, Head, Kind, read_reply};
use crate::connection::{Alarm, Connection, Receiver, SendError, Sender, after, now, runtime_ended};
use crate::identity::Identity;
use crate::message::{Lent, Message, MessageRef};

/// Makes calls over a connection, for as many tasks as there are: cloned freely, many calls under way, replies in any
/// order.
///
/// A task of its own receives the replies, so pings are answered also while no call is under way. Dropping the last
/// clone closes the connection.
///
/// # Examples
///
/// See [the module](super).
#[derive(Clone)]
pub struct Caller {
    calls: Arc<Calls>,
    sender: Sender,
    time: Duration,
    _driver: Arc<StopOnDrop>,
}

/// What the callers and the driver share.
///
/// ```text
/// call  --slot-->  table  <--reply--  driver (receives for all)
///   '--request-->  Sender (one buffer for all)
/// ```
struct Calls {
    table: Mutex<Slots>,
    /// Notified when a slot has become free.
    room: Notify,
    driver: AtomicWaker,
}

struct Slots {
    table: Table<Call>,
    ended: Option<CallsEnded>,
    /// How many wait for room.
    waiting: usize,
}

/// What a slot holds.
enum Call {
    Waiting(Waker),
    Over(Result<Message, CallError>),
    Expired,
}

impl Call {
    /// Ends a call that waits, and says whom to wake for it; false when it has ended before.
    #[inline]
    fn finish(&mut self, woken: &mut Vec<Waker>, with: impl FnOnce() -> Call) -> bool {
        if !matches!(self, Call::Waiting(_)) {
            return false;
        }
        if let Call::Waiting(waker) = std::mem::replace(self, with()) {
            woken.push(waker);
        }
        true
    }
}

impl Caller {
    /// Makes calls over `connection`. Must be called within a tokio runtime.
    pub fn new(connection: Connection, limits: CallLimits) -> Caller {
        let (sender, receiver) = connection.split();
        let slots = Slots { table: Table::new(limits.calls), ended: None, waiting: 0 };
        let calls =
            Arc::new(Calls { table: Mutex::new(slots), room: Notify::new(), driver: AtomicWaker::new() });
        let driver =
            Driver { calls: Arc::clone(&calls), receiver, alarm: Alarm::default(), woken: Vec::new() };
        let driver = Arc::new(StopOnDrop(tokio::spawn(driver.run()).abort_handle()));
        Caller { calls, sender, time: limits.time, _driver: driver }
    }

    /// Who the peer has proven to be.
    pub fn identity(&self) -> &Identity {
        self.sender.identity()
    }

    /// Makes a call, and waits for its reply. While as many calls as are allowed are under way, it waits for one to end.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped the other side is told to stop, and a reply that still comes is dropped. Whether the
    /// call was executed is then unknown.
    pub async fn call(&self, message: impl Into<MessageRef<'_>>) -> Result<Message, CallError> {
        self.call_within(self.time, message).await
    }

    /// As [`call`](Caller::call), with a time of its own: from now to the reply.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    ///
    /// # Cancel safety
    ///
    /// As `call`.
    pub async fn call_within(
        &self,
        time: Duration,
        message: impl Into<MessageRef<'_>>,
    ) -> Result<Message, CallError> {
        let message = message.into();
        let deadline = after(time);
        let mut slot = match poll_fn(|cx| Poll::Ready(self.try_take_slot(deadline, time, cx))).await {
            Some(slot) => slot?,
            None => self.wait_for_slot(deadline, time).await?,
        };
        let head = Head::new(Kind::Call, slot.id);
        let headed = head.before(message);
        slot.send(MessageRef(Lent::Headed(&headed))).await?;
        poll_fn(|cx| slot.poll_reply(cx)).await
    }

    /// Sends what is queued and closes the outgoing direction, and waits until the peer has replied to what is under
    /// way and closed too.
    ///
    /// # Errors
    ///
    /// When the queue could not be written, or the connection had ended in another way.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe up to the point where the stream is closed; other clones can still receive replies.
    pub async fn close(self) -> Result<(), CallsEnded> {
        self.sender.clone().close().await?;
        loop {
            let changed = self.calls.room.notified();
            match &self.calls.lock().ended {
                Some(CallsEnded::Closed) => return Ok(()),
                Some(ended) => return Err(ended.clone()),
                None => {}
            }
            changed.await;
        }
    }

    /// How many calls are under way.
    pub fn count(&self) -> usize {
        self.calls.lock().table.count()
    }

    /// How many replies came to no call under way: too late, twice, or never asked for.
    pub fn stray_replies(&self) -> u64 {
        self.calls.lock().table.strays()
    }

    /// `None` when as many calls as are allowed are under way.
    fn try_take_slot(
        &self,
        deadline: tokio::time::Instant,
        time: Duration,
        cx: &mut Context<'_>,
    ) -> Option<Result<Slot<'_>, CallError>> {
        let mut slots = self.calls.lock();
        if let Some(ended) = &slots.ended {
            return Some(Err(CallError::NotSent(ended.clone())));
        }
        let before = slots.table.next_deadline();
        let id = slots.table.insert(Call::Waiting(cx.waker().clone()), Some(deadline.into_std()))?;
        let earlier = slots.table.next_deadline() != before;
        drop(slots);
        if earlier {
            // Its alarm is set for later, or not at all. That is so once in the time that a call has.
            self.calls.driver.wake();
        }
        Some(Ok(Slot { caller: self, id, time, fresh: true, sent: false, over: false }))
    }

    /// Back-pressure: waits until a call has ended.
    #[cold]
    async fn wait_for_slot(
        &self,
        deadline: tokio::time::Instant,
        time: Duration,
    ) -> Result<Slot<'_>, CallError> {
        let _waiting = Waiting::new(&self.calls);
        let free = async {
            loop {
                let room = self.calls.room.notified();
                if let Some(slot) = poll_fn(|cx| Poll::Ready(self.try_take_slot(deadline, time, cx))).await {
                    return slot;
                }
                room.await;
            }
        };
        let in_time = tokio::time::timeout_at(deadline, free).await;
        in_time.unwrap_or_else(|_| Err(CallError::TooMany(self.calls.lock().table.most())))
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("identity", self.identity())
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        // Held for single operations of the table only, which leave nothing half done.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a call out; its slot is free for who waits.
    fn remove(&self, id: CallId) -> Option<Call> {
        let mut slots = self.lock();
        let call = slots.table.remove(id);
        let waiting = slots.waiting > 0;
        drop(slots);
        if waiting {
            self.room.notify_one();
        }
        call
    }
}

/// Counts those who wait for room, so that nobody is notified without need.
struct Waiting<'a>(&'a Calls);

impl Waiting<'_> {
    fn new(calls: &Calls) -> Waiting<'_> {
        calls.lock().waiting += 1;
        Waiting(calls)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

/// A call's place in the table, given back however the call ends.
struct Slot<'a> {
    caller: &'a Caller,
    id: CallId,
    time: Duration,
    /// The table has the waker of this very poll.
    fresh: bool,
    /// The other side knows, or may know, of the call.
    sent: bool,
    /// The place has been given back.
    over: bool,
}

impl Slot<'_> {
    async fn send(&mut self, message: MessageRef<'_>) -> Result<(), CallError> {
        let mut sending = pin!(self.caller.sender.send(message));
        let sent = poll_fn(|cx| match sending.as_mut().poll(cx) {
            Poll::Ready(sent) => Poll::Ready(sent.map_err(Some)),
            Poll::Pending => {
                // The queue is full. Its time can pass meanwhile, and the connection end.
                self.fresh = false;
                self.poll_reply(cx).map(|_over| Err(None))
            }
        });
        match sent.await {
            Ok(()) => {
                self.sent = true;
                Ok(())
            }
            Err(None) => Err(CallError::Unsent(self.time)),
            Err(Some(SendError::Unencodable(error))) => Err(CallError::Unencodable(error)),
            // How much of the queue the peer has got is unknown, and it is of no use to tell it to stop.
            Err(Some(error)) => Err(CallError::Lost(error.into())),
        }
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, CallError>> {
        if std::mem::take(&mut self.fresh) {
            return Poll::Pending;
        }
        {
            let mut slots = self.caller.calls.lock();
            if let Some(Call::Waiting(waker)) = slots.table.get_mut(self.id) {
                waker.clone_from(cx.waker());
                return Poll::Pending;
            }
        }
        self.over = true;
        Poll::Ready(match self.caller.calls.remove(self.id) {
            Some(Call::Over(reply)) => reply,
            Some(Call::Expired) => {
                self.tell_to_stop();
                Err(CallError::Deadline(self.time))
            }
            Some(Call::Waiting(_)) | None => unreachable!("a call stays until its future takes it out"),
        })
    }

    fn tell_to_stop(&self) {
        if self.sent {
            let head = Head::new(Kind::Cancel, self.id);
            // At most one for each call that had room. When it fails, the connection has ended.
            let _ended = self.caller.sender.send_now(head.alone());
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if !self.over
            && let Some(Call::Waiting(_) | Call::Expired) = self.caller.calls.remove(self.id)
        {
            self.tell_to_stop();
        }
    }
}

/// Receives the replies and hands them to who waits for them.
struct Driver {
    calls: Arc<Calls>,
    receiver: Receiver,
    alarm: Alarm,
    /// Whom to wake when the lock is free again.
    woken: Vec<Waker>,
}

impl Driver {
    async fn run(mut self) {
        let ended = poll_fn(|cx| self.poll(cx)).await;
        self.end(ended);
    }

    /// Tells everyone, unless that was done.
    fn end(&mut self, ended: CallsEnded) {
        let mut slots = self.calls.lock();
        if slots.ended.is_some() {
            return;
        }
        for call in slots.table.calls_mut() {
            call.finish(&mut self.woken, || Call::Over(Err(CallError::Lost(ended.clone()))));
        }
        slots.ended = Some(ended);
        drop(slots);
        self.wake();
        self.calls.room.notify_waiters();
    }

    /// Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CallsEnded> {
        self.calls.driver.register(cx.waker());
        loop {
            let received = self.poll_replies(cx);
            self.wake();
            match received {
                Poll::Ready(Ok(())) => continue,
                Poll::Ready(Err(ended)) => return Poll::Ready(ended),
                Poll::Pending => {}
            }
            let deadline = self.calls.lock().table.next_deadline();
            ready!(self.alarm.poll(deadline, cx));
            self.expire();
            self.wake();
        }
    }

    /// One batch of replies. The table is locked once for it.
    fn poll_replies(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallsEnded>> {
        let Driver { calls, receiver, woken, .. } = self;
        let mut slots = None;
        let mut violation = None;
        let mut visit = |message: MessageRef<'_>| {
            let table = &mut slots.get_or_insert_with(|| calls.lock()).table;
            match read_reply(message) {
                Ok((id, reply)) => {
                    let over =
                        || Call::Over(reply.map(|reply| reply.to_message()).map_err(CallError::Answered));
                    let is_waiting = table.get_mut(id).is_some_and(|call| call.finish(woken, over));
                    if !is_waiting {
                        table.count_stray();
                    }
                }
                Err(error) => _ = violation.get_or_insert(error),
            }
        };
        let received = ready!(receiver.poll_recv_each(&mut visit, cx));
        Poll::Ready(match (violation, received) {
            (Some(error), _) => Err(error.into()),
            (None, Ok(0)) => Err(CallsEnded::Closed),
            (None, Ok(_)) => Ok(()),
            (None, Err(error)) => Err(error.into()),
        })
    }

    fn expire(&mut self) {
        let table = &mut self.calls.lock().table;
        for id in table.expired(now()) {
            if let Some(call) = table.get_mut(id) {
                call.finish(&mut self.woken, || Call::Expired);
            }
        }
    }

    fn wake(&mut self) {
        self.woken.drain(..).for_each(Waker::wake);
    }
}

/// However this task ends, with its runtime too: nobody waits for a reply that cannot come.
impl Drop for Driver {
    fn drop(&mut self) {
        self.end(runtime_ended().into());
    }
}

/// Ends the driver with the last caller.
struct StopOnDrop(AbortHandle);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
