//! What counts as unread in a listener's budget: bytes that arrived and that the application has not received.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use common::*;
use futures_util::FutureExt as _;
use tokio::io::AsyncWriteExt as _;
use transport_core::mem::MemTransport;
use transport_core::{
    BoxStream, Limits, Listen, Policy, Receiver, RecvError, Sender, Server, Transport as _, Transports,
};

/// Three messages of this size fit the budget, four do not.
const SIZE: usize = 30 << 10;
const BUDGET: usize = 100 << 10;

async fn server(mem: &MemTransport) -> Server {
    let listen = Listen::new(&Transports::new().with(mem.clone()), "mem://unread");
    let limits = Limits::default().with_unread_per_listener(BUDGET);
    listen.policy(Policy::same_process()).limits(limits).start().await.unwrap()
}

async fn peer(mem: &MemTransport, server: &mut Server) -> (BoxStream, Sender, Receiver) {
    let mut peer = mem.connect(server.local_address()).await.unwrap().stream;
    peer.write_all(&[greeting("NULL"), ready()].concat()).await.unwrap();
    let (sender, receiver) = server.accept().await.unwrap().split();
    (peer, sender, receiver)
}

fn message(size: usize) -> Vec<u8> {
    [&[0x02][..], &(size as u64).to_be_bytes(), &vec![0; size]].concat()
}

#[derive(Clone, Copy, Debug)]
enum Way {
    One,
    WithDescriptors,
    Many,
    Batch,
    Each,
}

async fn receive(receiver: &mut Receiver, way: Way) -> Result<usize, RecvError> {
    match way {
        Way::One => Ok(receiver.recv().await?.map_or(0, |_| 1)),
        Way::WithDescriptors => Ok(receiver.recv_with_descriptors().await?.map_or(0, |_| 1)),
        Way::Many => receiver.recv_many(&mut Vec::new(), 10).await,
        Way::Batch => Ok(receiver.recv_batch(10).await?.len()),
        Way::Each => receiver.recv_each(|_| ()).await,
    }
}

#[tokio::test]
async fn what_has_been_received_counts_no_more_however_it_was_received() {
    for way in [Way::One, Way::WithDescriptors, Way::Many, Way::Batch, Way::Each] {
        let mem = MemTransport::new();
        let mut server = server(&mem).await;
        let mut open = Vec::new();
        for _ in 0..8 {
            let (mut peer, sender, mut receiver) = peer(&mem, &mut server).await;
            peer.write_all(&message(SIZE)).await.unwrap();
            assert_eq!(receive(&mut receiver, way).await.unwrap(), 1, "{way:?}");
            open.push((peer, sender, receiver));
        }
        for (peer, _sender, receiver) in &mut open {
            peer.write_all(b"\x00\x01a").await.unwrap();
            assert_eq!(receive(receiver, way).await.unwrap(), 1, "{way:?}");
        }
    }
}

#[tokio::test]
async fn what_waits_behind_a_message_that_was_received_goes_on_counting() {
    let mem = MemTransport::new();
    let mut server = server(&mem).await;
    let mut open = Vec::new();
    for _ in 0..8 {
        let (mut peer, sender, mut receiver) = peer(&mem, &mut server).await;
        // Small ones, which are read many at a time.
        peer.write_all(&message(1 << 10).repeat(60)).await.unwrap();
        for _ in 0..32 {
            assert!(receiver.recv().await.unwrap().is_some());
        }
        open.push((peer, sender, receiver));
    }
    let cut = open.iter_mut().filter_map(|(_, _, receiver)| {
        std::iter::from_fn(|| receiver.recv().now_or_never()).find_map(Result::err)
    });
    assert!(cut.count() > 0, "more than the budget waits");
}

#[tokio::test]
async fn of_a_receiver_that_is_dropped_nothing_counts() {
    let mem = MemTransport::new();
    let mut server = server(&mem).await;
    let mut senders = Vec::new();
    for _ in 0..8 {
        let (mut peer, sender, mut receiver) = peer(&mem, &mut server).await;
        peer.write_all(&message(2 * SIZE)[..SIZE]).await.unwrap();
        assert!(receiver.recv().now_or_never().is_none(), "it is not complete");
        drop(receiver);
        senders.push((peer, sender));
    }
    for (_peer, sender) in senders {
        sender.send("goes on").await.unwrap();
    }
}

#[tokio::test]
async fn after_the_end_of_the_stream_nothing_counts() {
    let mem = MemTransport::new();
    let mut server = server(&mem).await;
    let mut open = Vec::new();
    for _ in 0..8 {
        let (mut peer, sender, mut receiver) = peer(&mem, &mut server).await;
        peer.write_all(&message(SIZE)).await.unwrap();
        peer.shutdown().await.unwrap();
        assert!(receiver.recv().await.unwrap().is_some());
        assert!(receiver.recv().await.unwrap().is_none());
        open.push((peer, sender, receiver));
    }
    for (_peer, sender, _receiver) in open {
        sender.send("goes on").await.unwrap();
    }
}
