//! One connection of a client at work: the queue goes out, the inbox fills.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::events::{ClientEvent, Disconnect};
use super::queue::{Queue, Tally};
use super::shared::Shared;
use crate::connection::{Alarm, Connection, SendError, now};
use crate::framing::UnencodableError;
use crate::message::Message;

/// A connection and what has happened on it.
pub(super) struct Link {
    connection: Connection,
    since: Instant,
    received: u64,
    /// Once sending has failed: what the server sent before may still be there to receive, for a while.
    failed: Option<Failed>,
    batch: Vec<Message>,
}

struct Failed {
    error: SendError,
    until: Option<Instant>,
    alarm: Alarm,
}

/// How the work on a connection ended.
pub(super) enum Finished {
    /// The connection is of no more use.
    Lost(Disconnect),
    /// Everything has been written, and this side wants to close.
    Drained,
}

/// How many messages are taken off the connection at once.
const BATCH: usize = 256;

impl Link {
    pub(super) fn new(connection: Connection) -> Link {
        let connection = connection.with_receipts();
        Link { connection, since: now(), received: 0, failed: None, batch: Vec::new() }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn poll(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Poll<Finished> {
        loop {
            let wants_messages = {
                let mut inner = shared.lock();
                inner.register_keeper(cx);
                if let Err(error) = self.encode(&mut inner.queue) {
                    drop(inner);
                    shared.tell(ClientEvent::Unencodable { error });
                    shared.progress.notify_waiters();
                    continue;
                }
                inner.inbox.has_room()
            };
            let flushed = self.poll_flush(cx);
            let goes_on = {
                let mut inner = shared.lock();
                let left = inner.queue.written_to(self.connection.written());
                if left {
                    shared.progress.notify_waiters();
                }
                if flushed && inner.draining && inner.queue.is_empty() {
                    return Poll::Ready(Finished::Drained);
                }
                left && inner.queue.next().is_some()
            };
            let received = match wants_messages.then(|| self.poll_recv(shared, cx)) {
                Some(Err(finished)) => return Poll::Ready(finished),
                Some(Ok(received)) => received,
                None => false,
            };
            if !goes_on && !received {
                return self.poll_failed(cx);
            }
        }
    }

    /// Ends the accounts: what was written on this connection, and what is kept for the next one.
    pub(super) fn lost(&self, shared: &Shared, reason: Disconnect) -> Duration {
        let Tally { written, kept } = {
            let mut inner = shared.lock();
            let tally = inner.queue.connection_lost(self.connection.written());
            // A message that was lost in part has made room.
            shared.progress.notify_waiters();
            tally
        };
        let lasted = now().saturating_duration_since(self.since);
        shared.tell(ClientEvent::Disconnected {
            reason,
            lasted,
            received: self.received,
            may_be_lost: written.saturating_sub(self.connection.arrived()),
            kept,
        });
        lasted
    }

    pub(super) fn into_connection(self) -> Connection {
        self.connection
    }

    /// Encodes messages into the connection's buffer until it is worth a write; one that cannot be is taken out of the
    /// queue.
    fn encode(&mut self, queue: &mut Queue) -> Result<(), UnencodableError> {
        while self.failed.is_none() && self.connection.has_room() {
            let Some(message) = queue.next() else { break };
            let place = self.connection.encode(message.into()).inspect_err(|_| queue.reject())?;
            queue.encoded(place);
        }
        Ok(())
    }

    /// Writes what can be written; true when nothing waits in the connection's buffer any more.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> bool {
        if self.failed.is_some() {
            return false;
        }
        match self.connection.poll_flush(cx) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => {
                let until = now().checked_add(self.connection.close_time());
                self.failed = Some(Failed { error, until, alarm: Alarm::default() });
                false
            }
            Poll::Pending => false,
        }
    }

    /// Receives what has arrived; an error when the connection has ended.
    fn poll_recv(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Result<bool, Finished> {
        match self.connection.poll_recv_many(&mut self.batch, BATCH, cx) {
            Poll::Ready(Ok(0)) => Err(self.ended(Disconnect::ByServer)),
            Poll::Ready(Ok(count)) => {
                self.received += count as u64;
                shared.lock().inbox.extend(&mut self.batch);
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(self.ended(Disconnect::Receiving(Arc::new(error)))),
            Poll::Pending => Ok(false),
        }
    }

    /// The first thing that went wrong is the reason.
    fn ended(&mut self, reason: Disconnect) -> Finished {
        Finished::Lost(match self.failed.take() {
            Some(failed) => Disconnect::Sending(failed.error),
            None => reason,
        })
    }

    fn poll_failed(&mut self, cx: &mut Context<'_>) -> Poll<Finished> {
        let Some(failed) = &mut self.failed else { return Poll::Pending };
        failed
            .alarm
            .poll(failed.until, cx)
            .map(|()| Finished::Lost(Disconnect::Sending(failed.error.clone())))
    }
}
