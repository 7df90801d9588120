//! The ways to receive: one message, many, a batch, where they lie, and with descriptors.

use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;

use super::{Inbound, Link};
use crate::batch::Batch;
use crate::connection::error::RecvError;
use crate::connection::life::Life;
use crate::framing::{Control, Event, FramingError, MessageDecoder};
use crate::message::{Message, MessageRef};

/// A message and the descriptors that came with it.
type WithDescriptors = (Message, Vec<OwnedFd>);

impl Inbound {
    /// The next message, or the end as `Some(None)`, if its bytes have arrived already. Descriptors of it are closed.
    #[inline]
    pub(in crate::connection) fn try_recv<L: Link>(
        &mut self,
        link: &mut L,
    ) -> Result<Option<Option<Message>>, RecvError> {
        let received = self.next(link)?;
        if self.arriving.is_some() && matches!(received, Some(Some(_))) {
            drop(self.descriptors_of_message(link.life())?);
        }
        Ok(received)
    }

    #[inline]
    fn next<L: Link>(&mut self, link: &mut L) -> Result<Option<Option<Message>>, RecvError> {
        if self.ended {
            return self.after_end().map(|()| Some(None));
        }
        loop {
            match self.decoder.decode(&mut self.input.bytes) {
                Ok(Some(Event::Message(message))) => {
                    link.life().count_received(1);
                    self.handed_out(link.life());
                    return Ok(Some(Some(message)));
                }
                Ok(Some(event)) => answer(event, link),
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.end_with(error, link.life())),
            }
        }
    }

    pub(in crate::connection) fn poll_recv<L: Link>(
        &mut self,
        link: &mut L,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, RecvError>> {
        loop {
            if let Some(received) = self.try_recv(link)? {
                return Poll::Ready(Ok(received));
            }
            if let ControlFlow::Break(()) = ready!(self.poll_read(link, cx))? {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// As [`poll_recv`](Inbound::poll_recv), with the message's descriptors.
    pub(in crate::connection) fn poll_recv_with_descriptors<L: Link>(
        &mut self,
        link: &mut L,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<WithDescriptors>, RecvError>> {
        loop {
            if let Some(received) = self.next(link)? {
                let Some(message) = received else { return Poll::Ready(Ok(None)) };
                return Poll::Ready(self.descriptors_of_message(link.life()).map(|own| Some((message, own))));
            }
            if let ControlFlow::Break(()) = ready!(self.poll_read(link, cx))? {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// The descriptors of the message that was decoded last.
    #[cold]
    fn descriptors_of_message(&mut self, life: &Life) -> Result<Vec<OwnedFd>, RecvError> {
        let undecoded = self.unread();
        match self.arriving.as_mut().map(|arriving| arriving.of_message(undecoded)) {
            Some(Err(error)) => Err(self.end_with(RecvError::Descriptors(error), life)),
            Some(Ok(own)) => Ok(own),
            None => Ok(Vec::new()),
        }
    }

    pub(in crate::connection) fn poll_recv_many<L: Link>(
        &mut self,
        link: &mut L,
        messages: &mut Vec<Message>,
        max: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, RecvError>> {
        if self.arriving.is_some() {
            return self.poll_one_by_one(link, cx, max, &mut |message, _link| messages.push(message));
        }
        let before = messages.len();
        self.poll_batch(link, cx, |decoder, input, _link, count| {
            let decoded = decoder.decode_many(input, messages, max - *count);
            *count = messages.len() - before;
            decoded
        })
    }

    /// Fills an empty batch.
    pub(in crate::connection) fn poll_recv_batch<L: Link>(
        &mut self,
        link: &mut L,
        batch: &mut Batch,
        max: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, RecvError>> {
        if self.arriving.is_some() {
            let received = self.poll_one_by_one(link, cx, max, &mut |message, _link| batch.push(message));
            self.hand_out(batch);
            return received;
        }
        let received = self.poll_batch(link, cx, |decoder, input, _link, count| {
            let decoded = decoder.decode_batch(input, batch, max - *count);
            *count = batch.len();
            decoded
        });
        self.hand_out(batch);
        received
    }

    /// Those who are slow to receive must not keep much more alive than their messages count.
    fn hand_out(&mut self, batch: &mut Batch) {
        if !batch.is_empty() && !self.input.hand_out(batch.bytes_read()) {
            batch.leave_buffer();
        }
    }

    pub(in crate::connection) fn poll_recv_each<L: Link>(
        &mut self,
        link: &mut L,
        visit: &mut impl FnMut(MessageRef<'_>, &mut L),
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, RecvError>> {
        if self.arriving.is_some() {
            let take = &mut |message: Message, link: &mut L| visit((&message).into(), link);
            return self.poll_one_by_one(link, cx, usize::MAX, take);
        }
        self.poll_batch(link, cx, |decoder, input, link, count| {
            decoder.decode_each(input, &mut |message| {
                *count += 1;
                visit(message, link);
            })
        })
    }

    /// Decodes what has arrived, and reads until there is at least one message; `decode` counts them.
    fn poll_batch<L: Link>(
        &mut self,
        link: &mut L,
        cx: &mut Context<'_>,
        mut decode: impl FnMut(
            &mut dyn MessageDecoder,
            &mut BytesMut,
            &mut L,
            &mut usize,
        ) -> Result<Option<Event>, FramingError>,
    ) -> Poll<Result<usize, RecvError>> {
        if self.ended {
            return Poll::Ready(self.after_end().map(|()| 0));
        }
        let mut count = 0;
        loop {
            match decode(&mut *self.decoder, &mut self.input.bytes, link, &mut count) {
                Ok(Some(event)) => answer(event, link),
                Ok(None) if count > 0 => {
                    link.life().count_received(count);
                    self.handed_out(link.life());
                    return Poll::Ready(Ok(count));
                }
                Ok(None) => {
                    if let ControlFlow::Break(()) = ready!(self.poll_read(link, cx))? {
                        return Poll::Ready(Ok(0));
                    }
                }
                Err(error) if count > 0 => {
                    link.life().count_received(count);
                    self.late_error = Some(Box::new(self.end_with(error, link.life())));
                    return Poll::Ready(Ok(count));
                }
                Err(error) => return Poll::Ready(Err(self.end_with(error, link.life()))),
            }
        }
    }

    /// As [`poll_batch`](Inbound::poll_batch) where descriptors may come: each message must be seen to end, so that it
    /// is known which were its own.
    fn poll_one_by_one<L: Link>(
        &mut self,
        link: &mut L,
        cx: &mut Context<'_>,
        max: usize,
        take: &mut dyn FnMut(Message, &mut L),
    ) -> Poll<Result<usize, RecvError>> {
        let Some(first) = ready!(self.poll_recv(link, cx))? else {
            return Poll::Ready(Ok(0));
        };
        take(first, link);
        let mut count = 1;
        while count < max {
            match self.try_recv(link) {
                Ok(Some(Some(message))) => take(message, link),
                Ok(Some(None) | None) => break,
                Err(error) => {
                    self.late_error = Some(Box::new(error));
                    break;
                }
            }
            count += 1;
        }
        Poll::Ready(Ok(count))
    }

    /// Nothing more comes, but perhaps the reason.
    #[cold]
    fn after_end(&mut self) -> Result<(), RecvError> {
        self.late_error.take().map_or(Ok(()), |error| Err(*error))
    }
}

/// Does what a control event asks for.
fn answer<L: Link>(event: Event, link: &mut L) {
    match event {
        Event::Control(Control::Ping { context, .. }) => link.reply(&Control::Pong { context }),
        Event::Control(Control::Pong { .. }) => link.answered(),
        _ => {}
    }
}
