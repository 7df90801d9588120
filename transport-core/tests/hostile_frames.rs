//! Authenticated peers that misbehave, and what it costs in memory: measured by a counting allocator, so the tests in
//! this file take turns.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use common::*;
use peak_alloc::PeakAlloc;
use tokio::io::AsyncWriteExt as _;
use transport_core::{Connection, FramingError, Limits, RecvError, SendError, Server};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What a misbehaving peer may cost beyond the bytes that it sent.
const MOST_GROWTH: usize = 64 << 10;

/// Runs a test while no other one of this file allocates: its runtime, too, is made and ends within its turn.
fn in_turn(test: impl Future<Output = ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

async fn recv_error(connection: &mut Connection) -> RecvError {
    loop {
        let received = tokio::time::timeout(NET, connection.recv()).await.expect("the violation is noticed");
        match received {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream must not end well"),
            Err(error) => return error,
        }
    }
}

/// Sends `bytes` and returns what receiving came to, and by how much memory had grown at most.
async fn attack(server: &mut Server, bytes: &[u8]) -> (RecvError, usize) {
    let (mut peer, mut connection) = authenticated_peer(server).await;
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    // The connection goes with its error: a peer that still writes gets a broken pipe.
    let receiving = async move { recv_error(&mut connection).await };
    let (error, _broken_pipe) = tokio::join!(receiving, peer.write_all(bytes));
    (error, MEMORY.peak_usage().saturating_sub(before))
}

#[test]
fn a_frame_that_announces_too_much_is_refused_and_costs_nothing() {
    in_turn(async {
        let mut server = listen().start().await.unwrap();
        for size in [1u64 << 63, u64::MAX, 64 << 30, (16 << 20) + 1] {
            for flags in [0x02, 0x03, 0x06] {
                let frame = [&[flags][..], &size.to_be_bytes(), &[0; 1000]].concat();
                let (error, growth) = attack(&mut server, &frame).await;
                assert!(
                    matches!(error, RecvError::Framing(FramingError::TooLarge { .. })),
                    "{size} {flags} {error}"
                );
                assert!(growth < MOST_GROWTH, "{size}: {growth} bytes");
            }
        }
    });
}

#[test]
fn a_frame_within_the_limit_costs_what_has_arrived_of_it() {
    in_turn(async {
        let mut server = listen().start().await.unwrap();
        let arrived = 1000;
        let frame = [&[0x02][..], &(15u64 << 20).to_be_bytes(), &vec![0; arrived]].concat();
        let (mut peer, mut connection) = authenticated_peer(&mut server).await;
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        peer.write_all(&frame).await.unwrap();
        peer.shutdown().await.unwrap();
        assert!(matches!(recv_error(&mut connection).await, RecvError::Truncated));
        let growth = MEMORY.peak_usage().saturating_sub(before);
        assert!(growth < arrived + MOST_GROWTH, "{growth} bytes");
    });
}

#[test]
fn two_million_empty_parts_are_refused_and_cost_little() {
    in_turn(async {
        let mut server = listen().start().await.unwrap();
        let bytes = [1, 0].repeat(2_000_000);
        let (error, growth) = attack(&mut server, &bytes).await;
        assert!(matches!(error, RecvError::Framing(FramingError::TooManyParts { limit: 1024 })), "{error}");
        // 1,024 parts of 32 bytes, twice while their vector grows, besides the read buffer.
        assert!(growth < 4 * MOST_GROWTH, "{growth} bytes");
    });
}

#[test]
fn a_flood_of_pings_from_a_peer_that_reads_nothing_costs_little_and_ends_at_the_deadline() {
    in_turn(async {
        let limits = Limits::default().with_write_time(Duration::from_millis(300));
        let mut server = listen().limits(limits).start().await.unwrap();
        let (mut peer, mut connection) = authenticated_peer(&mut server).await;
        socket2::SockRef::from(&peer).set_recv_buffer_size(4096).unwrap();
        let pings = b"\x04\x17\x04PING\0\x000123456789abcdef".repeat(10_000);
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let flood = async {
            // As many as it takes to fill all socket buffers with pongs, and more.
            for _ in 0..200 {
                peer.write_all(&pings).await?;
            }
            peer.write_all(b"\x00\x04done").await
        };
        let (flooded, received) = tokio::join!(flood, connection.recv());
        flooded.unwrap();
        assert_eq!(received.unwrap().unwrap()[0], "done");
        let growth = MEMORY.peak_usage().saturating_sub(before);
        // The read buffer (256 KiB, twice while it moves) and at most 64 KiB of pongs.
        assert!(growth < 1 << 20, "{growth} bytes");
        assert!(matches!(connection.send("more").await, Err(SendError::Stalled(_))));
    });
}

#[test]
fn commands_after_ready_are_ignored_or_answered() {
    in_turn(async {
        let mut server = listen().start().await.unwrap();
        let (mut peer, mut connection) = authenticated_peer(&mut server).await;
        let commands = [
            command("FOO", b"xyz"),
            command("READY", b""),
            command("ERROR", b"\x01a"),
            command("PONG", b""),
            command("SUBSCRIBE", b"t"),
            vec![0x04, 0],
            b"\x04\x03\x09AB".to_vec(),
            b"\x00\x02ok".to_vec(),
        ];
        peer.write_all(&commands.concat()).await.unwrap();
        assert_eq!(connection.recv().await.unwrap().unwrap()[0], "ok");
        peer.write_all(&command("PING", b"")).await.unwrap();
        assert!(matches!(
            recv_error(&mut connection).await,
            RecvError::Framing(FramingError::Malformed { .. })
        ));
    });
}

#[test]
fn a_peer_that_reads_nothing_blocks_the_sender_by_bytes_and_ends_at_the_deadline() {
    in_turn(async {
        let limits = Limits::default().with_write_time(Duration::from_millis(300));
        let mut server = listen().limits(limits).start().await.unwrap();
        let (_peer, mut connection) = authenticated_peer(&mut server).await;
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let error = tokio::time::timeout(NET, async {
            loop {
                if let Err(error) = connection.feed(&[0; 1000]).await {
                    return error;
                }
            }
        });
        assert!(matches!(error.await.unwrap(), SendError::Stalled(_)));
        let growth = MEMORY.peak_usage().saturating_sub(before);
        // One buffer of 256 KiB, twice that while it grows.
        assert!(growth < 1 << 20, "{growth} bytes");
    });
}

#[test]
fn cloned_senders_to_a_peer_that_reads_nothing_wait_and_end_at_the_deadline() {
    in_turn(async {
        let limits = Limits::default().with_write_time(Duration::from_millis(300));
        let mut server = listen().limits(limits).start().await.unwrap();
        let (_peer, connection) = authenticated_peer(&mut server).await;
        let (sender, _receiver) = connection.split();
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let sender = sender.clone();
                tokio::spawn(async move {
                    loop {
                        if let Err(error) = sender.send(&[0; 1000]).await {
                            return error;
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            let error = tokio::time::timeout(NET, task).await.unwrap().unwrap();
            assert!(matches!(error, SendError::Stalled(_)), "{error}");
        }
        let growth = MEMORY.peak_usage().saturating_sub(before);
        assert!(growth < 2 << 20, "{growth} bytes");
    });
}

#[test]
fn unread_bytes_of_all_connections_together_are_bounded() {
    in_turn(async {
        let limits = Limits::default().with_unread_per_listener(1 << 20);
        let mut server = listen().limits(limits).start().await.unwrap();
        let (mut hog, mut hogged) = authenticated_peer(&mut server).await;
        let (mut good, mut other) = authenticated_peer(&mut server).await;
        // A message of 8 MiB that arrives but for its last byte.
        let frame = [&[0x02][..], &(8u64 << 20).to_be_bytes(), &vec![0; (8 << 20) - 1]].concat();
        let error = tokio::select! {
            error = recv_error(&mut hogged) => error,
            written = hog.write_all(&frame) => panic!("the message must not be taken: {written:?}"),
        };
        assert!(matches!(error, RecvError::Cut(transport_core::Cut::Unread)), "{error}");
        good.write_all(b"\x00\x02ok").await.unwrap();
        assert_eq!(other.recv().await.unwrap().unwrap()[0], "ok");
    });
}
