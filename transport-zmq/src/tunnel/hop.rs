//! One connection to the next ZeroMQ peer, and the streams that it carries.
//!
//! ```text
//! streams --ready--> writer task --> Sender   |connection|   Receiver --> reader task --> streams
//! ```

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use transport_core::{
    Claims, Connection, Established, Evidence, Message, Receiver, RecvError, Sender, Source,
};

use super::flow::Flow;
use super::pipe::Pipe;
use super::stream::ZmqStream;
use super::wire::{Envelope, Frame, Parsed, Reason};

/// Streams of one hop at a time; more are refused.
const MOST_STREAMS: usize = 1024;
/// Answers to frames of streams that are not there; more are dropped, and the peer finds out by silence.
const MOST_REFUSALS: usize = 64;
/// How often silence is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A connection that carries nothing for so long is closed by the accepting side.
const UNUSED: Duration = Duration::from_secs(10);
/// How long the peer may take to close after this side has.
const CLOSE_TIME: Duration = Duration::from_secs(2);
/// So many messages of one stream go out before the next stream has its turn.
const TURN: usize = 8;

/// Which stream: the way to the peer, and the peer's number for it.
pub(super) type Key = (Envelope, u64);

/// What the streams and the two tasks of a connection share.
pub(super) struct Hop {
    streams: Mutex<Streams>,
    ready: Mutex<Ready>,
    /// Notified when there is something in `ready`, or nothing more to do.
    work: Notify,
    receiver: Mutex<Receiver>,
    /// Streams that were told that something may have arrived for them: see [`has_arrived`](Hop::has_arrived).
    hopeful: Mutex<Vec<Arc<Pipe>>>,
    evidence: Evidence,
    source: Source,
    local: Local,
}

/// What this side does with streams that peers ask for.
enum Local {
    /// It asks itself, for one: others are refused, and the connection ends with it.
    Connecting,
    /// Hands them over, for as long as the listener lives. A connection that binds ends when it is not used; one to a proxy
    /// (`attached`) stays.
    Accepting { incoming: mpsc::Sender<Established>, attached: bool },
}

#[derive(Default)]
struct Streams {
    by_key: HashMap<Key, Arc<Pipe>>,
    /// The connection is gone: no stream can be added.
    over: bool,
}

#[derive(Default)]
struct Ready {
    pipes: Vec<Arc<Pipe>>,
    refusals: Vec<(Key, Reason)>,
    over: bool,
}

impl Hop {
    /// Carries the streams that the peer asks for over `connection`; the task ends when that has ended.
    pub(super) fn accept_from(
        connection: Connection,
        incoming: mpsc::Sender<Established>,
        attached: bool,
    ) -> JoinHandle<()> {
        let (hop, sender) = Hop::new(connection, Local::Accepting { incoming, attached });
        hop.start(sender)
    }

    /// Asks the peer for a stream over a connection of its own.
    pub(super) fn connect(connection: Connection, number: u64) -> (Arc<Hop>, Arc<Pipe>) {
        let (hop, sender) = Hop::new(connection, Local::Connecting);
        let pipe = hop.add((Envelope::new(), number), Flow::connecting(now()));
        hop.make_ready(&pipe);
        let _goes_on_by_itself = hop.start(sender);
        (hop, pipe)
    }

    fn new(connection: Connection, local: Local) -> (Arc<Hop>, Sender) {
        let proofs = connection.identity().proofs().iter().cloned();
        let evidence = proofs.fold(Evidence::new(connection.protection()), Evidence::with_proof);
        let source = connection.source().clone();
        let (sender, receiver) = connection.split();
        let hop = Hop {
            streams: Mutex::default(),
            ready: Mutex::default(),
            work: Notify::new(),
            receiver: Mutex::new(receiver),
            hopeful: Mutex::default(),
            evidence,
            source,
            local,
        };
        (Arc::new(hop), sender)
    }

    fn start(self: &Arc<Hop>, sender: Sender) -> JoinHandle<()> {
        let mut reader = tokio::spawn(read(Arc::clone(self)));
        let writer = write(Arc::clone(self), sender);
        tokio::spawn(async move {
            writer.await;
            // Closing with bytes of the peer unread would take back what was sent last.
            if tokio::time::timeout(CLOSE_TIME, &mut reader).await.is_err() {
                reader.abort();
            }
        })
    }

    /// What is known about the peer, with a stream to it.
    pub(super) fn established(&self, pipe: Arc<Pipe>) -> Established {
        Established {
            stream: Box::new(ZmqStream::new(pipe)),
            evidence: self.evidence.clone(),
            claims: Claims::new(),
            source: self.source.clone(),
        }
    }

    /// Sees to it that the writer looks at the stream.
    pub(super) fn make_ready(&self, pipe: &Arc<Pipe>) {
        if pipe.set_queued() {
            self.ready().pipes.push(Arc::clone(pipe));
            self.work.notify_one();
        }
    }

    /// Whether bytes have come that may be for this stream; if they are not, it is woken all the same.
    pub(super) fn has_arrived(&self, pipe: &Arc<Pipe>) -> bool {
        let receiver = lock(&self.receiver);
        let arrived = pipe.has_arrived();
        if !arrived && receiver.has_arrived() {
            lock(&self.hopeful).push(Arc::clone(pipe));
            return true;
        }
        arrived
    }

    /// Receives what there is; ready when the connection has ended.
    fn poll_receive(self: &Arc<Hop>, cx: &mut Context<'_>) -> Poll<Result<(), RecvError>> {
        // Messages reach their streams under the lock, or `has_arrived` could miss one in between.
        let mut receiver = lock(&self.receiver);
        loop {
            match pin!(receiver.recv()).poll(cx) {
                Poll::Ready(Ok(Some(message))) => self.receive(&message),
                Poll::Ready(end) => return Poll::Ready(end.map(|_| ())),
                Poll::Pending => {
                    lock(&self.hopeful).drain(..).for_each(|pipe| pipe.wake_reader());
                    return Poll::Pending;
                }
            }
        }
    }

    fn add(self: &Arc<Hop>, key: Key, flow: Flow) -> Arc<Pipe> {
        let pipe = Pipe::new(key.clone(), flow, Arc::downgrade(self));
        let mut streams = self.streams();
        if streams.over {
            pipe.fail(Reason::ConnectionLost);
        } else {
            streams.by_key.insert(key, Arc::clone(&pipe));
        }
        pipe
    }

    fn receive(self: &Arc<Hop>, message: &Message) {
        let Parsed { envelope, stream, frame } = match Frame::parse(message) {
            Ok(parsed) => parsed,
            Err(malformed) => return tracing::debug!(source = %self.source, %malformed, "message dropped"),
        };
        let key = (envelope, stream);
        let known = self.streams().by_key.get(&key).cloned();
        match (known, frame) {
            (Some(pipe), frame) => {
                if pipe.receive(frame, now()) {
                    self.make_ready(&pipe);
                }
            }
            (None, Frame::Open { window }) => self.accept(key, window),
            // They are about an end that has come anyway.
            (
                None,
                Frame::Reset(_) | Frame::Stop | Frame::End { .. } | Frame::Credit { .. } | Frame::Pong(_),
            ) => {}
            (None, Frame::Data { .. } | Frame::Ping(_) | Frame::Accept { .. }) => {
                self.refuse(key, Reason::Unknown);
            }
        }
    }

    fn accept(self: &Arc<Hop>, key: Key, window: u64) {
        let Local::Accepting { incoming, .. } = &self.local else {
            return self.refuse(key, Reason::Violation);
        };
        if window == 0 {
            return self.refuse(key, Reason::Violation);
        }
        let (Ok(place), true) = (incoming.try_reserve(), self.streams().by_key.len() < MOST_STREAMS) else {
            return self.refuse(key, Reason::Busy);
        };
        let pipe = self.add(key, Flow::accepting(window, now()));
        self.make_ready(&pipe);
        place.send(self.established(pipe));
    }

    fn refuse(&self, key: Key, reason: Reason) {
        let mut ready = self.ready();
        if ready.refusals.len() < MOST_REFUSALS {
            ready.refusals.push((key, reason));
            drop(ready);
            self.work.notify_one();
        }
    }

    /// Whether the connection has nothing more to carry.
    fn is_unused(&self, since: Instant) -> bool {
        let none = self.streams().by_key.is_empty();
        none && match &self.local {
            Local::Connecting => true,
            Local::Accepting { incoming, attached } => {
                incoming.is_closed() || (!attached && since.elapsed() >= UNUSED)
            }
        }
    }

    /// The connection is gone, and with it its streams.
    fn end(&self) {
        self.ready().over = true;
        let pipes: Vec<_> = {
            let mut streams = self.streams();
            streams.over = true;
            streams.by_key.drain().map(|(_, pipe)| pipe).collect()
        };
        pipes.iter().for_each(|pipe| pipe.fail(Reason::ConnectionLost));
        self.work.notify_one();
    }

    fn look_for_silence(self: &Arc<Hop>) {
        let pipes: Vec<_> = self.streams().by_key.values().cloned().collect();
        for pipe in pipes {
            if pipe.on_time(now()) {
                self.make_ready(&pipe);
            }
        }
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        lock(&self.streams)
    }

    fn ready(&self) -> MutexGuard<'_, Ready> {
        lock(&self.ready)
    }
}

/// All are held for steps that leave the content whole. Order: receiver, then any one of the others, then a pipe's own.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the hop however its task ends.
struct EndOnDrop(Arc<Hop>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

async fn read(hop: Arc<Hop>) {
    let hop = EndOnDrop(hop);
    if let Err(error) = poll_fn(|cx| hop.0.poll_receive(cx)).await {
        tracing::debug!(source = %hop.0.source, %error, "the connection beneath ended");
    }
}

/// Sends what the streams have to say until the connection ends or is not used any more.
async fn write(hop: Arc<Hop>, sender: Sender) {
    let hop = EndOnDrop(hop);
    let hop = &hop.0;
    let mut used = Instant::now();
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = hop.work.notified() => {}
            _ = look.tick() => hop.look_for_silence(),
        }
        loop {
            let Ready { pipes, refusals, over } = std::mem::take(&mut *hop.ready());
            if over {
                return hop.end();
            }
            if pipes.is_empty() && refusals.is_empty() {
                break;
            }
            for ((envelope, stream), reason) in refusals {
                if sender.send(&Frame::Reset(reason).to_message(&envelope, stream)).await.is_err() {
                    return;
                }
            }
            for pipe in pipes {
                if !send_turn(hop, &pipe, &sender).await {
                    return;
                }
            }
        }
        if !hop.streams().by_key.is_empty() {
            used = Instant::now();
        }
        if hop.is_unused(used) {
            // The last frames go out before the connection does.
            let _gone_already = sender.close().await;
            return;
        }
    }
}

/// Sends some frames of a stream; false when the connection is gone.
async fn send_turn(hop: &Arc<Hop>, pipe: &Arc<Pipe>, sender: &Sender) -> bool {
    for _ in 0..TURN {
        let Some(frame) = pipe.next_frame() else {
            if pipe.is_done() {
                hop.streams().by_key.remove(pipe.key());
            }
            return true;
        };
        let (envelope, stream) = pipe.key();
        if sender.send(&frame.to_message(envelope, *stream)).await.is_err() {
            return false;
        }
        pipe.has_sent();
    }
    hop.make_ready(pipe);
    true
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
