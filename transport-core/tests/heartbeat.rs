//! Heartbeats of whole connections, in virtual time.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::time::Duration;

use common::{greeting, ready};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;
use transport_core::mem::MemTransport;
use transport_core::test_util::virtual_time;
use transport_core::{
    BoxStream, Connect, Connection, FramingError, Listen, Policy, RecvError, Server, Transport as _,
    Transports,
};

const MINUTE: Duration = Duration::from_secs(60);

async fn server() -> (MemTransport, Transports, Server) {
    let mem = MemTransport::new();
    let transports = Transports::new().with(mem.clone());
    let server =
        Listen::new(&transports, "mem://heartbeat").policy(Policy::same_process()).start().await.unwrap();
    (mem, transports, server)
}

async fn scripted(mem: &MemTransport, server: &mut Server, minor: u8) -> (BoxStream, Connection) {
    let address = "mem://heartbeat".parse().unwrap();
    let mut peer = mem.connect(&address).await.unwrap().stream;
    let mut greeting = greeting("NULL");
    greeting[11] = minor;
    peer.write_all(&[greeting, ready()].concat()).await.unwrap();
    let connection = server.accept().await.unwrap();
    let mut handshake = [0; 64 + 43];
    peer.read_exact(&mut handshake).await.unwrap();
    (peer, connection)
}

#[tokio::test(start_paused = true)]
async fn two_idle_ends_keep_each_other_alive() {
    let (_mem, transports, mut server) = server().await;
    let mut client =
        Connect::new(&transports, "mem://heartbeat").server(Policy::same_process()).await.unwrap();
    let mut connection = server.accept().await.unwrap();
    let start = Instant::now();
    let idle = async { tokio::join!(client.recv(), connection.recv()) };
    assert!(tokio::time::timeout(60 * MINUTE, idle).await.is_err(), "both still wait");
    assert_eq!(start.elapsed(), 60 * MINUTE);
    client.send("still there").await.unwrap();
    assert_eq!(connection.recv().await.unwrap().unwrap()[0], "still there");
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_taken_for_dead_after_90_seconds() {
    let (mem, _, mut server) = server().await;
    let (mut peer, mut connection) = scripted(&mem, &mut server, 1).await;
    let start = Instant::now();
    let pings = async {
        let mut times = Vec::new();
        let mut ping = [0; 9];
        while peer.read_exact(&mut ping).await.is_ok() {
            assert_eq!(&ping, b"\x04\x07\x04PING\0\0");
            times.push(start.elapsed().as_secs());
            if times.len() == 2 {
                break;
            }
        }
        times
    };
    let (received, times) = tokio::join!(connection.recv(), pings);
    assert!(matches!(received, Err(RecvError::Framing(FramingError::Silent { .. }))), "{received:?}");
    assert_eq!((times, start.elapsed().as_secs()), (vec![30, 60], 90));
    assert!(matches!(connection.recv().await, Ok(None)), "and then there is nothing more");
}

#[tokio::test(start_paused = true)]
async fn a_peer_of_zmtp_3_0_is_never_pinged() {
    let (mem, _, mut server) = server().await;
    let (mut peer, mut connection) = scripted(&mem, &mut server, 0).await;
    let mut byte = [0];
    let both = async { tokio::join!(connection.recv(), peer.read(&mut byte)) };
    assert!(tokio::time::timeout(60 * MINUTE, both).await.is_err(), "nothing comes and nobody gives up");
}

#[tokio::test(start_paused = true)]
async fn the_ttl_of_a_peers_ping_holds_until_it_sends_again() {
    let (mem, _, mut server) = server().await;
    let (mut peer, mut connection) = scripted(&mem, &mut server, 1).await;
    // A TTL of 2 s.
    peer.write_all(b"\x04\x07\x04PING\0\x14\x00\x01a").await.unwrap();
    assert_eq!(connection.recv().await.unwrap().unwrap()[0], "a");
    let start = Instant::now();
    assert!(matches!(connection.recv().await, Err(RecvError::Framing(FramingError::Silent { .. }))));
    assert_eq!(start.elapsed().as_secs(), 2);
}

/// The receiver used to ask again and again for memory to be given back that an unfinished message needs.
#[test]
fn an_unfinished_message_of_a_silent_peer_does_not_keep_the_receiver_busy() {
    let (done, finished) = std::sync::mpsc::channel();
    // In a thread of its own: a task that never waits cannot be timed out by its own runtime.
    std::thread::spawn(move || {
        virtual_time(0, async |_| {
            let (mem, _, mut server) = server().await;
            let (mut peer, mut connection) = scripted(&mem, &mut server, 1).await;
            peer.write_all(&[&[0x02][..], &5000u64.to_be_bytes(), &[0; 3000]].concat()).await.unwrap();
            let received = connection.recv().await;
            assert!(matches!(received, Err(RecvError::Framing(FramingError::Silent { .. }))), "{received:?}");
        });
        done.send(()).unwrap();
    });
    finished
        .recv_timeout(Duration::from_secs(20))
        .expect("the connection is given up after 90 s of virtual time");
}
