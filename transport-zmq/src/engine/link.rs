//! A peer's life at a socket: taken in, read from, and seen off.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use transport_core::{Address, Connection, Message, Receiver, RecvError, SendError};

use super::hub::Hub;
use super::pipes::{Pipe, WaitQueue};
use super::spin::Spin;
use crate::events::{Disconnected, SocketEvent};
use crate::peer::Peer;

/// Runs until the connection has ended, or shall by `stop`, which comes with the end of the socket too.
pub(super) async fn run(
    hub: &Arc<Hub>,
    connection: Connection,
    endpoint: Address,
    pipe: u64,
    stop: &CancellationToken,
) {
    let source = connection.source().clone();
    let (sender, mut receiver) = connection.split_into(&hub.group);
    let gate = hub.inbox.gate(hub.config.receive_mark);
    let stage = hub.pipes.opening(pipe, hub.new_id());
    let peer = Peer::new(stage, endpoint, source, sender, gate);
    if let Err(reason) = hub.pattern.admit(&peer) {
        let (source, identity) = (peer.source().clone(), peer.identity().clone());
        hub.tell(SocketEvent::Rejected { source, identity, reason });
        return;
    }
    let left_over = open_pipe(hub, &peer);
    hub.tell(SocketEvent::Connected { peer: peer.clone() });
    let reason = tokio::select! {
        end = read(hub, &peer, &mut receiver) => end,
        rejection = peer.cut_off() => match (rejection, sending_error(&peer)) {
            (Some(rejection), _) => rejection.into(),
            (None, Some(error)) => error.into(),
            (None, None) => Disconnected::ByUs,
        },
        () = stop.cancelled() => {
            if hub.closing.is_cancelled() {
                see_off(hub, &peer, &mut receiver).await;
            }
            Disconnected::ByUs
        }
    };
    close_pipe(hub, &peer, left_over).await;
    let last_words = hub.pattern.left(&peer);
    // Only now is it nobody's peer any more: who looked before may wait for it.
    hub.changed();
    if !last_words.is_empty() {
        hub.inbox.push(&peer, last_words, false);
    }
    hub.tell(SocketEvent::Disconnected { peer, reason });
}

/// From here on messages go to the peer: first those that waited for it. Answers those that it cannot be sent any more.
fn open_pipe(hub: &Hub, peer: &Peer) -> VecDeque<Message> {
    let waiting = hub.pipes.lock().iter().find_map(|pipe| match pipe {
        Pipe::Waiting(queue) if pipe.id() == peer.pipe() => Some(Arc::clone(queue)),
        _ => None,
    });
    let mut messages = waiting.map(|queue| queue.move_out()).unwrap_or_default();
    send_waiting(hub, peer, &mut messages);
    if let Some(Pipe::Waiting(queue)) = hub.put_pipe(Pipe::Open(peer.clone())) {
        // Of an endpoint that a PAIR was connected to in this very moment.
        messages.append(&mut queue.move_out());
        send_waiting(hub, peer, &mut messages);
    }
    messages
}

/// Sends what has waited for a peer, until it cannot be sent any more.
fn send_waiting(hub: &Hub, peer: &Peer, messages: &mut VecDeque<Message>) {
    while let Some(message) = messages.front() {
        match peer.sender().send_now(message) {
            Ok(()) => {}
            Err(SendError::Unencodable(_)) => hub.count_dropped(),
            // The peer's end is noticed where its connection is read.
            Err(_) => return,
        }
        messages.pop_front();
    }
}

/// What the peer did not get waits for its endpoint's next connection, if there will be one.
async fn close_pipe(hub: &Hub, peer: &Peer, left_over: VecDeque<Message>) {
    // Whoever still has the peer is told from now on.
    let unsent = peer.sender().take_unsent().await;
    if hub.waits_for(peer.pipe()) {
        let mut unsent: VecDeque<Message> = unsent.into_iter().chain(left_over).collect();
        if hub.config.conflate {
            unsent.drain(..unsent.len().saturating_sub(1));
        }
        let stage = peer.stage().next(hub.new_id(), !unsent.is_empty());
        let queue = WaitQueue::new(stage, hub.config.send_mark);
        queue.put_back(unsent);
        hub.put_pipe(Pipe::Waiting(Arc::new(queue)));
    } else {
        hub.pipes.remove(peer);
        hub.tell_unsent(Some(peer.endpoint()), unsent.len() + left_over.len());
    }
}

/// With so many bytes waiting, the application gets a turn: it finds them in the cache, and their buffers are used again
/// for what is read next.
const TURN: usize = 128 << 10;

/// When so many bytes came at once, more is expected soon: the task looks again for a moment before it sleeps, since whoever
/// sends would else spend its time on waking it.
const BULK: usize = 64 << 10;
const BULK_SPIN: Duration = Duration::from_micros(20);

async fn read(hub: &Hub, peer: &Peer, receiver: &mut Receiver) -> Disconnected {
    let (mut bulk, mut spin) = (false, Spin::new(BULK_SPIN));
    loop {
        tokio::select! {
            biased;
            () = peer.gate().opened() => {}
            never = receiver.stay_alive() => match never {},
        }
        let mut receive = pin!(receiver.recv_batch(peer.gate().room().max(1)));
        let received = poll_fn(|cx| {
            let received = receive.as_mut().poll(cx);
            if received.is_pending() && bulk {
                spin.again(cx);
            }
            received
        });
        let mut batch = match received.await {
            Ok(batch) if batch.is_empty() => return Disconnected::ByPeer,
            Ok(batch) => batch,
            Err(error) => return end(error),
        };
        bulk = batch.byte_count() >= BULK;
        spin.end();
        // Before a rejection something may have been let through, and counts.
        let let_through = hub.pattern.arrived(peer, &mut batch);
        if !batch.is_empty() {
            if hub.config.conflate {
                let mut left = batch.len();
                batch.retain(|_| {
                    left -= 1;
                    left == 0
                });
            }
            hub.inbox.push(peer, batch, hub.config.conflate);
            if peer.gate().held() >= TURN {
                tokio::task::yield_now().await;
            }
        }
        if let Err(rejection) = let_through {
            return rejection.into();
        }
    }
}

fn end(error: RecvError) -> Disconnected {
    Disconnected::Receive(Arc::new(error))
}

fn sending_error(peer: &Peer) -> Option<SendError> {
    peer.sender().error()
}

/// Sends what is queued, says goodbye and waits for the peer to do so too, for as long as the socket lingers.
async fn see_off(hub: &Hub, peer: &Peer, receiver: &mut Receiver) {
    let sender = peer.sender();
    let goodbye = async { sender.flush().await.is_ok() && sender.clone().close().await.is_ok() };
    // Nobody receives it any more. But a peer whose application waits for room here may take nothing until it has some; and
    // closing a socket with unread bytes in it would reset it, and the peer may lose what was sent last.
    let discard = async {
        loop {
            match receiver.recv_each(|_| ()).await {
                Ok(0) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    };
    let seen_off = async {
        let (mut goodbye, mut discard) = (pin!(goodbye), pin!(discard));
        tokio::select! {
            said = &mut goodbye => if said {
                let _too_slow = tokio::time::timeout(hub.config.limits.close_time, discard).await;
            },
            // The peer says no more, and may listen.
            ended = &mut discard => if ended {
                goodbye.await;
            },
        }
    };
    tokio::select! {
        () = seen_off => {}
        () = hub.over.cancelled() => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, OnceLock};

    use tokio::sync::futures::OwnedNotified;
    use transport_core::framing::zmtp::SocketType;
    use transport_core::mem::MemTransport;
    use transport_core::{Batch, Policy, SenderGroup, Transports};

    use super::*;
    use crate::PushSocket;
    use crate::config::SocketConfig;
    use crate::engine::Pattern;

    /// Looks while a peer is being taken out, as a sender on another thread may.
    #[derive(Default)]
    struct Looking {
        group: OnceLock<SenderGroup>,
        waits: Mutex<Option<OwnedNotified>>,
    }

    impl Pattern for Looking {
        fn left(&self, _peer: &Peer) -> Batch {
            *self.waits.lock().unwrap() = self.group.get().map(SenderGroup::progress);
            Batch::new()
        }
    }

    #[tokio::test]
    async fn whoever_looks_while_a_peer_is_taken_out_is_woken_once_it_is() {
        let transports = Transports::new().with(MemTransport::new());
        let config = SocketConfig::new(Policy::same_process());
        let looking = Arc::new(Looking::default());
        let hub = Hub::new(&transports, config.clone(), SocketType::Pull, Arc::clone(&looking) as _);
        looking.group.set(hub.group.clone()).unwrap();
        let mut events = hub.events();
        hub.bind("inproc://leaving".into(), &config.security).await.unwrap();
        let push = PushSocket::new(&transports, config);
        push.connect("inproc://leaving").unwrap();
        let mut until = async |wanted: fn(&SocketEvent) -> bool| {
            while !wanted(&events.recv().await.unwrap()) {}
        };
        until(|event| matches!(event, SocketEvent::Connected { .. })).await;
        drop(push);
        until(|event| matches!(event, SocketEvent::Disconnected { .. })).await;
        let waits = looking.waits.lock().unwrap().take().unwrap();
        tokio::time::timeout(Duration::from_secs(5), waits).await.unwrap();
    }
}
