//! What waits to be received keeps little more memory than it counts, whatever a peer sends around it: measured by a counting
//! allocator, so one at a time.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::time::Duration;

use common::raw::{command, frame, joined, message};
use common::{Places, config, within};
use peak_alloc::PeakAlloc;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, MutexGuard};
use transport_core::mem::MemTransport;
use transport_core::{Connect, Listen, Message, Policy, Transports};
use transport_zmq::{HighWaterMark, PullSocket, XPubSocket, ZmqTransport};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

static ALONE: Mutex<()> = Mutex::const_new(());

/// Held until the end of a test, and what was allocated at its start.
async fn alone() -> (MutexGuard<'static, ()>, usize) {
    let guard = ALONE.lock().await;
    (guard, MEMORY.current_usage())
}

const MARK: usize = 1 << 20;
/// Beside what counts: the connection's own buffers, and those of the test's.
const BUFFERS: usize = 2 << 20;

/// Sends this again and again until no more of it is taken, however often the other side gets a turn.
async fn fill(peer: &mut TcpStream, bytes: &[u8]) {
    let (mut at, mut quiet) = (0, 0);
    while quiet < 3 {
        match tokio::time::timeout(Duration::from_millis(100), peer.write(&bytes[at..])).await {
            Ok(written) => (at, quiet) = ((at + written.unwrap()) % bytes.len(), 0),
            Err(_) => quiet += 1,
        }
    }
}

#[tokio::test]
async fn a_message_between_long_commands_does_not_keep_the_buffer_that_they_came_in() {
    let (_alone, before) = alone().await;
    let places = Places::new();
    let config = config().with_receive_mark(HighWaterMark::new(100_000, MARK));
    let mut pull = PullSocket::new(&places.transports, config);
    let address = pull.bind("tcp://127.0.0.1:0").await.unwrap();
    let unknown = command("UNKNOWN", &[0; 60_000]);
    for parts in [&[&[7; 4100][..]][..], &[&[7; 4100], &[7; 100]]] {
        let mut peer = joined(&address, "PUSH", b"").await;
        let repeated = [message(parts), unknown.clone(), unknown.clone()].concat();
        fill(&mut peer, &repeated).await;
        let held = MEMORY.current_usage().saturating_sub(before);
        assert!(held < 5 * MARK + BUFFERS, "{held} bytes for a mark of {MARK}");
        let mut received = 0;
        while let Some(message) = pull.try_recv() {
            received += message.byte_count();
        }
        assert!(received >= MARK, "the mark was reached: {received}");
        drop(peer);
    }
}

/// The one part of each is complete and the next one has not come, and so on: what counts are the parts of one message.
#[tokio::test]
async fn the_parts_of_an_unfinished_message_do_not_keep_the_buffers_that_they_came_in() {
    let (_alone, before) = alone().await;
    let places = Places::new();
    let pull = PullSocket::new(&places.transports, config());
    let address = pull.bind("tcp://127.0.0.1:0").await.unwrap();
    let mut peer = joined(&address, "PUSH", b"").await;
    let unknown = command("UNKNOWN", &[0; 60_000]);
    let part = [unknown.clone(), frame(1, b"part"), unknown].concat();
    for _ in 0..500 {
        within(peer.write_all(&part)).await.unwrap();
    }
    // All of it has been read when this side is told so.
    within(peer.write_all(&command("PING", &[0, 0]))).await.unwrap();
    within(common::raw::read_frame(&mut peer)).await.unwrap();
    let held = MEMORY.current_usage().saturating_sub(before);
    assert!(held < BUFFERS, "{held} bytes for 500 parts of 4 bytes");
}

#[tokio::test]
async fn a_subscription_among_those_that_mean_nothing_does_not_keep_the_buffer_that_they_came_in() {
    let (_alone, before) = alone().await;
    let places = Places::new();
    let config = config().with_receive_mark(HighWaterMark::new(1000, MARK));
    let publisher = XPubSocket::new(&places.transports, config);
    let address = publisher.bind("tcp://127.0.0.1:0").await.unwrap();
    let mut peer = joined(&address, "SUB", b"").await;
    let again = message(&[&[&[1][..], &[7; 8000]].concat()]);
    let of_none = message(&[&[0, 9]]);
    fill(&mut peer, &[again.repeat(15), of_none].concat()).await;
    let held = MEMORY.current_usage().saturating_sub(before);
    assert!(held < BUFFERS + MARK, "{held} bytes for 1000 messages of 2 bytes");
}

#[tokio::test]
async fn the_bytes_of_a_stream_do_not_keep_the_messages_around_them() {
    let (_alone, before) = alone().await;
    let mem = MemTransport::new();
    let transports = Transports::new().with(ZmqTransport::new("zmq+mem", mem.clone())).with(mem);
    let listen = Listen::new(&transports, "zmq+mem://place").policy(Policy::same_process());
    let mut server = listen.start_raw().await.unwrap();
    let connect = Connect::new(&transports, "mem://place").server(Policy::same_process());
    let mut attacker = connect.await.unwrap();
    let frame = |kind: u8, value: u64| [&[1, kind][..], &1u64.to_be_bytes(), &value.to_be_bytes()].concat();
    let open: Message = [vec![], frame(1, 256 << 10)].into_iter().collect();
    attacker.send(&open).await.unwrap();
    let _stream = within(server.accept()).await.unwrap();
    let malformed = Message::from(vec![0; 15_000]);
    for offset in 0..255 {
        let data: Message = [vec![], frame(3, offset), vec![7]].into_iter().collect();
        attacker.feed(&data).await.unwrap();
        for _ in 0..8 {
            attacker.feed(&malformed).await.unwrap();
        }
    }
    // All of it has been read when this stream is answered.
    let ping: Message = [vec![], frame(8, 42)].into_iter().collect();
    attacker.send(&ping).await.unwrap();
    let pong: Message = [vec![], frame(9, 42)].into_iter().collect();
    while within(attacker.recv()).await.unwrap().unwrap() != pong {}
    let held = MEMORY.current_usage().saturating_sub(before);
    assert!(held < BUFFERS, "{held} bytes for a stream of 255 bytes");
}
