//! Sockets that say nothing for an hour of virtual time, and a scripted peer that answers their PINGs as long as it lives.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::future::poll_fn;
use std::time::Duration;

use common::raw::{command, greeting, message, ready};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};
use transport_core::framing::FramingError;
use transport_core::mem::MemTransport;
use transport_core::{Address, BoxStream, Incoming, Policy, RecvError, Transport as _, Transports};
use transport_zmq::{Disconnected, PullSocket, SocketConfig, SocketEvent, SocketEvents};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_bound_socket_keeps_an_idle_peer_that_answers_and_gives_up_one_that_does_not() {
    let mem = MemTransport::new();
    let mut pull = pull(&mem);
    let mut events = pull.events();
    let address = pull.bind("mem://idle").await.unwrap();
    let stream = mem.connect(&address).await.unwrap().stream;
    live_an_hour_and_die(stream, &mut pull, &mut events).await;
}

#[tokio::test(start_paused = true)]
async fn a_connecting_socket_keeps_an_idle_peer_that_answers_and_gives_up_one_that_does_not() {
    let mem = MemTransport::new();
    let address: Address = "mem://idle".parse().unwrap();
    let mut listener = mem.listen(&address).await.unwrap();
    let mut pull = pull(&mem);
    let mut events = pull.events();
    pull.connect(&address).unwrap();
    let Incoming::Established(peer) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap() else {
        panic!("mem has no handshake of its own")
    };
    live_an_hour_and_die(peer.stream, &mut pull, &mut events).await;
}

/// With the limits that sockets have unless told otherwise.
fn pull(mem: &MemTransport) -> PullSocket {
    PullSocket::new(&Transports::new().with(mem.clone()), SocketConfig::new(Policy::same_process()))
}

async fn live_an_hour_and_die(mut peer: BoxStream, pull: &mut PullSocket, events: &mut SocketEvents) {
    peer.write_all(&[greeting("NULL"), ready("PUSH", b"")].concat()).await.unwrap();
    peer.read_exact(&mut [0; 64]).await.unwrap();
    assert!(frame(&mut peer).await.starts_with(b"\x05READY"));
    let start = Instant::now();
    let mut pings = 0;
    while let Ok(body) = timeout(HOUR.saturating_sub(start.elapsed()), frame(&mut peer)).await {
        assert_eq!(body, b"\x04PING\0\0");
        peer.write_all(&command("PONG", b"")).await.unwrap();
        pings += 1;
    }
    assert!((119..=120).contains(&pings), "one each 30 s, not {pings} in an hour");
    peer.write_all(&message(&[b"still there"])).await.unwrap();
    assert_eq!(pull.recv().await.to_text(), Some("still there"));

    let silent_since = Instant::now();
    let reason = loop {
        match events.recv().await.unwrap() {
            SocketEvent::Disconnected { reason, .. } => break reason,
            SocketEvent::ConnectFailed { error, .. } => panic!("{error}"),
            _ => {}
        }
    };
    let Disconnected::Receive(error) = &reason else { panic!("{reason:?}") };
    assert!(matches!(**error, RecvError::Framing(FramingError::Silent { .. })), "{error:?}");
    let silence = silent_since.elapsed().as_secs();
    assert!((90..=120).contains(&silence), "{silence} s");
}

/// The body of the next frame.
async fn frame(peer: &mut BoxStream) -> Vec<u8> {
    let length = match peer.read_u8().await.unwrap() & 2 {
        0 => u64::from(peer.read_u8().await.unwrap()),
        _ => peer.read_u64().await.unwrap(),
    };
    let mut body = vec![0; usize::try_from(length).unwrap()];
    peer.read_exact(&mut body).await.unwrap();
    body
}
