//! What a client keeps and what may be lost, to the byte, when its connection is cut.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::pipes::{FarEnds, pipes, read, shake_hands};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use transport_core::{
    Client, ClientConfig, ClientEvent, ClientEvents, Connect, Disconnect, Limits, Message, Policy, Transports,
};

const LONG: Duration = Duration::from_secs(24 * 3600);
/// A message of 8 bytes is a frame of 10.
const FRAME: usize = 10;

fn client(buffer: usize, limits: Limits) -> (Client, ClientEvents, FarEnds) {
    let (pipes, far_ends) = pipes(buffer);
    let transports = Transports::new().with(pipes);
    let connect = Connect::new(&transports, "pipe://here").server(Policy::same_process()).limits(limits);
    let mut client = connect.keep_with(ClientConfig::default()).unwrap();
    let events = client.events();
    (client, events, far_ends)
}

fn message(i: usize) -> Message {
    format!("{i:08}").into()
}

async fn send(client: &Client, numbers: std::ops::Range<usize>) {
    for i in numbers {
        client.send(&message(i)).await.unwrap();
    }
}

/// The counts of the next disconnect: may be lost, and kept.
async fn lost_and_kept(events: &mut ClientEvents) -> (u64, usize) {
    loop {
        let event = tokio::time::timeout(LONG, events.recv()).await.unwrap().unwrap();
        if let ClientEvent::Disconnected { may_be_lost, kept, .. } = event {
            return (may_be_lost, kept);
        }
    }
}

fn frames(numbers: std::ops::Range<usize>) -> Vec<u8> {
    numbers.flat_map(|i| format!("\0\x08{i:08}").into_bytes()).collect()
}

#[tokio::test(start_paused = true)]
async fn wherever_the_connection_is_cut_each_message_is_either_kept_or_may_be_lost() {
    // The handshake is shorter than the buffer, so all of it counts for messages.
    const BUFFER: usize = 64;
    for taken in [0, 1, 9, 10, 11, 19, 20, 55, 130, 135, 136, 200] {
        let (client, mut events, mut far_ends) = client(BUFFER, Limits::default());
        let mut far = far_ends.next_ready().await;
        send(&client, 0..20).await;
        assert_eq!(read(&mut far, taken).await, frames(0..20)[..taken]);
        // Until the client has filled the buffer again.
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(far);
        let written = (taken + BUFFER).min(20 * FRAME);
        let touched = written.div_ceil(FRAME);
        assert_eq!(lost_and_kept(&mut events).await, (touched as u64, 20 - touched), "cut after {taken}");
        // All that is kept, and nothing else, goes out on the next connection, in order.
        let mut far = far_ends.next_ready().await;
        let mut rest = Vec::new();
        let reading = far.read_to_end(&mut rest);
        let (unsent, read) = tokio::join!(client.close(Duration::from_secs(5)), reading);
        assert!(unsent.is_empty());
        read.unwrap();
        assert_eq!(rest, frames(touched..20), "cut after {taken}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_cut_in_several_connections_in_a_row_is_counted_once() {
    let (client, mut events, mut far_ends) = client(16, Limits::default());
    send(&client, 0..6).await;
    for connection in 0..3 {
        // 16 bytes fit: one message and a part of the next.
        let far = far_ends.next_ready().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(far);
        assert_eq!(lost_and_kept(&mut events).await, (2, 4 - 2 * connection));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_cut_in_the_handshake_loses_nothing() {
    let (client, mut events, mut far_ends) = client(1024, Limits::default());
    send(&client, 0..3).await;
    for taken in [0, 1, 64] {
        let mut far = far_ends.next().await;
        read(&mut far, taken).await;
        drop(far);
    }
    far_ends.refuse.store(10, Ordering::SeqCst);
    let mut far = far_ends.next_ready().await;
    assert_eq!(read(&mut far, 3 * FRAME).await, frames(0..3));
    drop(far);
    assert_eq!(lost_and_kept(&mut events).await, (3, 0));
}

#[tokio::test(start_paused = true)]
async fn what_the_server_sent_before_it_closed_is_received_although_sending_has_failed() {
    let (mut client, mut events, mut far_ends) = client(64, Limits::default());
    let mut far = far_ends.next_ready().await;
    send(&client, 0..20).await;
    far.write_all(&frames(0..3)).await.unwrap();
    drop(far);
    for i in 0..3 {
        assert_eq!(client.recv().await.unwrap().unwrap(), message(i));
    }
    let event = loop {
        if let ClientEvent::Disconnected { reason, received, .. } = events.recv().await.unwrap() {
            break (reason, received);
        }
    };
    assert!(matches!(event, (Disconnect::Sending(_) | Disconnect::ByServer, 3)), "{event:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_nothing_is_given_up_and_what_it_did_not_take_is_kept() {
    let limits = Limits::default().with_write_time(Duration::from_secs(20));
    let (client, mut events, mut far_ends) = client(64, limits);
    let _silent = far_ends.next_ready().await;
    send(&client, 0..20).await;
    assert_eq!(lost_and_kept(&mut events).await, (7, 13));
    let mut far = far_ends.next_ready().await;
    assert_eq!(read(&mut far, 13 * FRAME).await, frames(7..20));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_goes_silent_is_given_up() {
    let (client, mut events, mut far_ends) = client(1024, Limits::default());
    let _silent = far_ends.next_ready().await;
    send(&client, 0..2).await;
    assert_eq!(lost_and_kept(&mut events).await, (2, 0));
    shake_hands(&mut far_ends.next().await).await;
}

#[tokio::test(start_paused = true)]
async fn closing_in_the_middle_of_a_message_counts_it_as_perhaps_lost_and_returns_the_rest() {
    let (client, mut events, mut far_ends) = client(16, Limits::default());
    let _far = far_ends.next_ready().await;
    send(&client, 0..5).await;
    let rest = client.close(Duration::from_secs(1)).await;
    assert_eq!(rest, [message(2), message(3), message(4)]);
    assert_eq!(lost_and_kept(&mut events).await, (2, 3));
    assert!(matches!(events.recv().await, Some(ClientEvent::Closed { unsent: 3 })));
}

#[tokio::test(start_paused = true)]
async fn an_answered_ping_proves_that_what_came_before_it_has_arrived() {
    let (client, mut events, mut far_ends) = client(1024, Limits::default());
    let mut far = far_ends.next_ready().await;
    send(&client, 0..3).await;
    read(&mut far, 3 * FRAME).await;
    // After half a minute of silence.
    assert_eq!(read(&mut far, 9).await, b"\x04\x07\x04PING\0\0");
    far.write_all(b"\x04\x05\x04PONG").await.unwrap();
    send(&client, 3..5).await;
    read(&mut far, 2 * FRAME).await;
    drop(far);
    assert_eq!(lost_and_kept(&mut events).await, (2, 0));
}
