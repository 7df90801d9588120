//! A connection as clients and calls drive it: by polls, with places in its outgoing bytes, and with answers queued while
//! it receives.

use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::about::About;
use super::error::{RecvError, SendError};
use super::life::Life;
use super::outbound::Outbound;
use super::pipe::Pipe;
use super::whole::Connection;
use crate::framing::UnencodableError;
use crate::message::{Message, MessageRef};

impl Connection {
    /// Counts from now on which messages have arrived.
    pub(crate) fn with_receipts(mut self) -> Connection {
        self.pipe.receipts = Some(Box::default());
        self
    }

    /// How many of the messages that were [encoded](Connection::encode) have arrived for certain.
    pub(crate) fn arrived(&self) -> u64 {
        self.pipe.receipts.as_ref().map_or(0, |receipts| receipts.arrived())
    }

    /// Whether another message should be encoded before the next write.
    pub(crate) fn has_room(&self) -> bool {
        !self.pipe.outbound.is_worth_a_write()
    }

    /// Encodes a message behind what waits already, and tells its place in the outgoing bytes.
    pub(crate) fn encode(&mut self, message: MessageRef<'_>) -> Result<Range<u64>, UnencodableError> {
        let start = self.pipe.outbound.buffer.end();
        self.pipe.outbound.encode(message)?;
        if let Some(receipts) = &mut self.pipe.receipts {
            receipts.message_encoded();
        }
        Ok(start..self.pipe.outbound.buffer.end())
    }

    /// The place up to which the stream has taken the outgoing bytes.
    pub(crate) fn written(&self) -> u64 {
        self.pipe.outbound.buffer.taken()
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.pipe.poll_flush(cx)
    }

    pub(crate) fn poll_recv_many(
        &mut self,
        messages: &mut Vec<Message>,
        max: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, RecvError>> {
        self.inbound.poll_recv_many(&mut self.pipe, messages, max, cx)
    }

    /// As [`recv_each`](Connection::recv_each), for one who queues answers meanwhile.
    pub(crate) fn poll_recv_each(
        &mut self,
        visit: &mut impl FnMut(MessageRef<'_>, &mut Outbound),
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, RecvError>> {
        let visit = &mut |message: MessageRef<'_>, pipe: &mut Pipe| visit(message, &mut pipe.outbound);
        self.inbound.poll_recv_each(&mut self.pipe, visit, cx)
    }

    pub(crate) fn outbound(&mut self) -> &mut Outbound {
        &mut self.pipe.outbound
    }

    pub(crate) fn life(&self) -> &Life {
        &self.pipe.life
    }

    pub(crate) fn about(&self) -> &Arc<About> {
        &self.about
    }

    /// How long a peer gets to end: see [`Limits::close_time`](crate::Limits::close_time).
    pub(crate) fn close_time(&self) -> std::time::Duration {
        self.about.config.limits.close_time
    }
}
