//! What is left of a peer that has gone: nothing that counts.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use common::{Places, config, event, raw, within};
use transport_zmq::{PubSocket, SocketEvent};

/// Events keep the peers that they tell of, and an application may do so too: that must not keep a connection open.
#[tokio::test]
async fn a_peer_that_was_turned_out_sees_the_end_although_the_application_keeps_it() {
    let places = Places::new();
    let publisher = PubSocket::new(&places.transports, config());
    let address = publisher.bind("tcp://127.0.0.1:0").await.unwrap();
    let mut flooding = raw::joined(&address, "SUB", b"").await;
    let flood: Vec<u8> =
        (0..40).flat_map(|number| raw::message(&[&[&[1][..], &[number; 30_000]].concat()])).collect();
    let _reset = tokio::io::AsyncWriteExt::write_all(&mut flooding, &flood).await;
    let mut events = publisher.events();
    let kept = event(&mut events, |event| match event {
        SocketEvent::Disconnected { peer, .. } => Some(peer),
        _ => None,
    });
    let kept = kept.await;
    within(raw::read_to_end(&mut flooding)).await;
    assert_eq!(kept.identity().to_string(), "anonymous");
}
