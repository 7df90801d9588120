//! Peers for which a socket has no place: what they send waits until there is one.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use common::raw::joined;
use common::{Places, config, event, within};
use transport_core::Message;
use transport_zmq::{
    DealerSocket, PairSocket, Rejection, RouterSocket, RoutingIdRefused, SocketEvent, SocketEvents,
};

/// Waits until a socket has refused a peer some times.
async fn refused(events: &mut SocketEvents, expected: Rejection) {
    for _ in 0..3 {
        let reason = event(events, |event| match event {
            SocketEvent::Rejected { reason, .. } => Some(reason),
            _ => None,
        });
        assert_eq!(reason.await, expected);
    }
}

fn numbered(number: u32) -> Message {
    Message::new(number.to_be_bytes().to_vec())
}

/// As when its connection was cut off, and the ROUTER has not noticed yet.
#[tokio::test]
async fn a_dealer_whose_id_is_still_in_use_loses_nothing() {
    let places = Places::new();
    let mut router = RouterSocket::new(&places.transports, config());
    let mut events = router.events();
    let address = router.bind("tcp://127.0.0.1:0").await.unwrap();
    let predecessor = joined(&address, "DEALER", b"worker").await;
    let mut dealer = DealerSocket::new(&places.transports, config().with_routing_id("worker").unwrap());
    dealer.connect(&address).unwrap();
    for number in 0..10 {
        dealer.send(&numbered(number)).await.unwrap();
    }
    refused(&mut events, Rejection::RoutingId(RoutingIdRefused::AnothersId)).await;
    drop(predecessor);
    for number in 0..10 {
        let (message, peer) = within(router.recv()).await;
        assert_eq!((message, &peer.routing_id()[..]), (numbered(number), &b"worker"[..]));
    }
}

#[tokio::test]
async fn what_the_second_peer_of_a_pair_sends_waits_until_the_first_has_gone() {
    let places = Places::new();
    let mut pair = PairSocket::new(&places.transports, config());
    let mut events = pair.events();
    let address = pair.bind("tcp://127.0.0.1:0").await.unwrap();
    let first = joined(&address, "PAIR", b"").await;
    let mut second = PairSocket::new(&places.transports, config());
    second.connect(&address).unwrap();
    for number in 0..10 {
        second.send(&numbered(number)).await.unwrap();
    }
    refused(&mut events, Rejection::SecondPeer).await;
    drop(first);
    for number in 0..10 {
        assert_eq!(within(pair.recv()).await, numbered(number));
    }
}
