//! The incoming direction of a connection.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

use super::alarm::{Alarm, now};
use super::arriving::Arriving;
use super::closed::CloseReason;
use super::error::{Cut, RecvError};
use super::life::Life;
use super::read_buffer::{ReadBuffer, STACK_READ};
use crate::batch::Batch;
use crate::framing::{Control, Event, FramingError, MessageDecoder};
use crate::message::{Message, MessageRef};

/// Reads bytes and decodes them.
pub(super) struct Inbound {
    decoder: Box<dyn MessageDecoder>,
    input: ReadBuffer,
    /// When bytes came last.
    heard: Instant,
    /// The stream has ended, or the peer broke the protocol: nothing more comes.
    ended: bool,
    /// Memory has been given back since bytes came last.
    released: bool,
    /// An error that came behind messages, which were delivered first.
    late_error: Option<Box<RecvError>>,
    alarm: Alarm,
    /// Present where descriptors may come.
    arriving: Option<Box<Arriving>>,
}

/// A message and the descriptors that came with it.
type WithDescriptors = (Message, Vec<OwnedFd>);

/// What [`Inbound`] needs of the connection around it.
pub(super) trait Link {
    /// Reads from the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>>;

    /// Reads from the stream, with the descriptors that come along.
    fn poll_read_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        descriptors: &mut Vec<OwnedFd>,
    ) -> Poll<io::Result<()>>;

    /// The tie to the server.
    fn life(&self) -> &Life;

    /// Whether bytes wait in the kernel although the last read found none.
    fn has_arrived(&self) -> bool;

    /// Queues a control event for the peer.
    fn reply(&mut self, control: &Control);

    /// The peer has answered a ping.
    fn answered(&mut self) {}

    /// Called before each read: queued replies can go out while this side waits.
    fn before_read(&mut self, _cx: &mut Context<'_>) {}
}

/// What traffic needed is given back after so long without any.
const IDLE: Duration = Duration::from_secs(30);

impl Inbound {
    /// With `descriptors`, so many may come with a message.
    pub(super) fn new(
        decoder: Box<dyn MessageDecoder>,
        input: BytesMut,
        descriptors: Option<usize>,
    ) -> Inbound {
        let arriving = descriptors.map(|limit| Box::new(Arriving::new(limit, input.len())));
        Inbound {
            decoder,
            input: ReadBuffer::new(input),
            heard: now(),
            ended: false,
            released: false,
            late_error: None,
            alarm: Alarm::default(),
            arriving,
        }
    }

    /// Whether descriptors may come.
    pub(super) fn takes_descriptors(&self) -> bool {
        self.arriving.is_some()
    }

    /// The next message, or the end as `Some(None)`, if its bytes have arrived already. Descriptors of it are closed.
    #[inline]
    pub(super) fn try_recv<L: Link>(&mut self, link: &mut L) -> Result<Option<Option<Message>>, RecvError> {
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
                    return Ok(Some(Some(message)));
                }
                Ok(Some(event)) => answer(event, link),
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.end_with(error, link.life())),
            }
        }
    }

    pub(super) fn poll_recv<L: Link>(
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
    pub(super) fn poll_recv_with_descriptors<L: Link>(
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
        let undecoded = self.input.bytes.len() + self.decoder.held_bytes();
        match self.arriving.as_mut().map(|arriving| arriving.of_message(undecoded)) {
            Some(Err(error)) => Err(self.end_with(RecvError::Descriptors(error), life)),
            Some(Ok(own)) => Ok(own),
            None => Ok(Vec::new()),
        }
    }

    pub(super) fn poll_recv_many<L: Link>(
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
    pub(super) fn poll_recv_batch<L: Link>(
        &mut self,
        link: &mut L,
        batch: &mut Batch,
        max: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, RecvError>> {
        if self.arriving.is_some() {
            return self.poll_one_by_one(link, cx, max, &mut |message, _link| batch.push(message));
        }
        self.poll_batch(link, cx, |decoder, input, _link, count| {
            let decoded = decoder.decode_batch(input, batch, max - *count);
            *count = batch.len();
            decoded
        })
    }

    pub(super) fn poll_recv_each<L: Link>(
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

    /// Reads once; `Continue` when there may be something to decode, `Break` at the end.
    fn poll_read<L: Link>(
        &mut self,
        link: &mut L,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ControlFlow<()>, RecvError>> {
        if let Some(Err(error)) = self.arriving.as_ref().map(|arriving| arriving.check_unfinished()) {
            return Poll::Ready(Err(self.end_with(RecvError::Descriptors(error), link.life())));
        }
        loop {
            link.before_read(cx);
            let mut came = Vec::new();
            let descriptors = self.arriving.is_some().then_some(&mut came);
            let reader = &mut Reader { link: &mut *link, descriptors };
            let filled = self.input.poll_fill(&*self.decoder, reader, cx);
            let life = link.life();
            match filled {
                Poll::Ready(Ok(0)) => {
                    if self.decoder.is_mid_message(&self.input.bytes) {
                        return Poll::Ready(Err(self.end_with(RecvError::Truncated, life)));
                    }
                    self.end();
                    life.end(|| Some(CloseReason::PeerClosed));
                    return Poll::Ready(Ok(ControlFlow::Break(())));
                }
                Poll::Ready(Ok(length)) => {
                    if let Some(arriving) = &mut self.arriving
                        && let Err(error) = arriving.add(length, came)
                    {
                        return Poll::Ready(Err(self.end_with(RecvError::Descriptors(error), life)));
                    }
                    return Poll::Ready(match self.heard(length, life) {
                        Some(cut) => Err(self.end_with(RecvError::Cut(cut), life)),
                        None => Ok(ControlFlow::Continue(())),
                    });
                }
                Poll::Ready(Err(error)) => {
                    // TLS says so when the stream ends without its goodbye.
                    let cut = error.kind() == io::ErrorKind::UnexpectedEof;
                    let error = if cut { RecvError::Truncated } else { RecvError::Io(error) };
                    return Poll::Ready(Err(self.end_with(error, life)));
                }
                Poll::Pending => {}
            }
            if let Some(cut) = life.poll_cut_for_recv(cx) {
                return Poll::Ready(Err(self.end_with(RecvError::Cut(cut), life)));
            }
            // What was read has been decoded by now, or this side would not wait.
            let _cut = life.set_unread(self.input.bytes.len() + self.decoder.held_bytes());
            // Out of budget, the stream says that it has nothing although it may; the task is woken at once.
            let in_budget = tokio::task::coop::has_budget_remaining();
            if life.is_draining() && in_budget && !link.has_arrived() {
                return Poll::Ready(Ok(ControlFlow::Break(())));
            }
            if let Some(ping) = ready!(self.poll_deadline(life, cx))? {
                link.reply(&ping);
            }
        }
    }

    /// Tries to read from the socket itself for as long as `time`; true when something came.
    ///
    /// It holds up the thread: half the latency for a whole core.
    pub(super) fn spin(&mut self, socket: BorrowedFd<'_>, time: Duration, life: &Life) -> bool {
        let start = Instant::now();
        let mut buffer = [0; STACK_READ];
        loop {
            match rustix::net::recv(socket, &mut buffer, rustix::net::RecvFlags::DONTWAIT) {
                Ok((_, length)) if length > 0 => {
                    self.input.push(&buffer[..length]);
                    // An order to close shows when the ordinary way waits.
                    let _cut = self.heard(length, life);
                    return true;
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) if start.elapsed() < time => {
                    std::hint::spin_loop();
                }
                // The end of the stream and errors are for the ordinary way to find.
                _ => return false,
            }
        }
    }

    /// The timer is set anew when it is needed next, in the runtime of that time.
    pub(super) fn forget_timer(&mut self) {
        self.alarm = Alarm::default();
    }

    /// The decoder, and the bytes that arrived and were not decoded.
    pub(super) fn into_parts(mut self) -> (Box<dyn MessageDecoder>, BytesMut) {
        self.decoder.give_back(&mut self.input.bytes);
        (self.decoder, self.input.bytes)
    }

    /// How often to send what while nothing is read.
    pub(super) fn sign_of_life(&self) -> Option<(Duration, Control)> {
        self.decoder.sign_of_life()
    }

    /// Whether bytes were read and not yet received as messages.
    pub(super) fn holds_bytes(&self) -> bool {
        !self.input.bytes.is_empty() || self.decoder.held_bytes() > 0
    }

    /// Whether the decoder holds parts of an unfinished message.
    pub(super) fn is_mid_message(&mut self) -> bool {
        self.decoder.give_back(&mut self.input.bytes);
        self.decoder.held_bytes() > 0
    }

    /// Bytes arrived; the answer says whether the connection must close all the same.
    fn heard(&mut self, bytes: usize, life: &Life) -> Option<Cut> {
        life.count_read(bytes);
        self.heard = now();
        self.released = false;
        self.decoder.heard(self.heard);
        life.set_unread(self.input.bytes.len() + self.decoder.held_bytes())
    }

    /// Ready when a heartbeat is due.
    fn poll_deadline(
        &mut self,
        life: &Life,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Control>, RecvError>> {
        // An unfinished message keeps memory that cannot be given back: once is enough, or this would never wait.
        let idle = (self.input.holds_memory() && !self.released).then(|| self.heard + IDLE);
        ready!(self.alarm.poll(idle.into_iter().chain(self.decoder.deadline()).min(), cx));
        let now = now();
        if now >= self.heard + IDLE {
            self.released = true;
            self.input.release_memory();
        }
        let due = self.decoder.deadline().is_some_and(|deadline| now >= deadline);
        let control = if due { self.decoder.on_deadline(now) } else { Ok(None) };
        Poll::Ready(control.map_err(|error| self.end_with(error, life)))
    }

    fn end_with(&mut self, error: impl Into<RecvError>, life: &Life) -> RecvError {
        self.end();
        let error = error.into();
        life.end(|| Some(CloseReason::from(&error)));
        error
    }

    fn end(&mut self) {
        self.ended = true;
        if let Some(arriving) = &mut self.arriving {
            arriving.close_all();
        }
    }
}

/// The stream of a [`Link`] as something to read from; descriptors are taken where there is a place for them.
struct Reader<'a, L> {
    link: &'a mut L,
    descriptors: Option<&'a mut Vec<OwnedFd>>,
}

impl<L: Link> AsyncRead for Reader<'_, L> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Reader { link, descriptors } = &mut *self;
        match descriptors {
            None => link.poll_read(cx, buf),
            Some(descriptors) => link.poll_read_with_descriptors(cx, buf, descriptors),
        }
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
