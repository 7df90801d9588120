//! PAIR.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use common::{Places, config, event, within};
use transport_zmq::{PairSocket, Rejection, SocketEvent};

#[tokio::test]
async fn two_talk_both_ways_over_every_transport() {
    let places = Places::new();
    for place in places.all() {
        let mut one = PairSocket::new(&places.transports, config());
        let mut two = PairSocket::new(&places.transports, config());
        two.connect(one.bind(&place).await.unwrap()).unwrap();
        for number in 0..100u8 {
            within(one.send(&[number])).await.unwrap();
            assert_eq!(within(two.recv()).await[0], [number][..]);
            within(two.send(&[number])).await.unwrap();
            assert_eq!(within(one.recv()).await[0], [number][..]);
        }
    }
}

#[tokio::test]
async fn a_second_peer_is_turned_away_until_the_first_has_gone() {
    let places = Places::new();
    let mut one = PairSocket::new(&places.transports, config());
    let mut events = one.events();
    let address = one.bind("tcp://127.0.0.1:0").await.unwrap();
    let mut first = PairSocket::new(&places.transports, config());
    first.connect(&address).unwrap();
    first.send("first").await.unwrap();
    assert_eq!(within(one.recv()).await.to_text(), Some("first"));
    let mut second = PairSocket::new(&places.transports, config());
    second.connect(&address).unwrap();
    let reason = event(&mut events, |event| match event {
        SocketEvent::Rejected { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(reason.await, Rejection::SecondPeer);
    one.send("for the first").await.unwrap();
    assert_eq!(within(first.recv()).await.to_text(), Some("for the first"));
    drop(first);
    within(second.send("second")).await.unwrap();
    let text = async {
        loop {
            if let Some("second") = one.recv().await.to_text() {
                return;
            }
        }
    };
    within(text).await;
}

/// A PAIR has one peer, wherever it is: what waits for it is not spread over the places where it may be.
#[tokio::test]
async fn what_is_sent_before_the_peer_is_there_goes_to_whichever_comes() {
    let places = Places::new();
    let [one, other] = ["inproc://one", "inproc://other"];
    for is_bound_too in [false, true] {
        let mut pair = PairSocket::new(&places.transports, config());
        for place in [one, other] {
            pair.connect(place).unwrap();
        }
        for number in 0..10u8 {
            within(pair.send(&[number])).await.unwrap();
        }
        let mut first = PairSocket::new(&places.transports, config());
        if is_bound_too {
            first.connect(pair.bind("inproc://bound").await.unwrap()).unwrap();
        } else {
            first.bind(other).await.unwrap();
        }
        for number in 0..10u8 {
            assert_eq!(within(first.recv()).await[0], [number][..]);
        }
        // The other place is there too, and has no part in it while the first peer is there.
        let mut second = PairSocket::new(&places.transports, config());
        second.bind(one).await.unwrap();
        let mut events = pair.events();
        event(&mut events, |event| matches!(event, SocketEvent::Rejected { .. }).then_some(())).await;
        for number in 10..20u8 {
            within(pair.send(&[number])).await.unwrap();
            assert_eq!(within(first.recv()).await[0], [number][..]);
        }
        within(first.close()).await;
        event(&mut events, |event| matches!(event, SocketEvent::Disconnected { .. }).then_some(())).await;
        within(pair.send("for the second")).await.unwrap();
        assert_eq!(within(second.recv()).await.to_text(), Some("for the second"));
        within(pair.close()).await;
        within(second.close()).await;
    }
}

#[tokio::test]
async fn what_waits_stays_with_the_endpoints_that_a_pair_is_still_connected_to() {
    let places = Places::new();
    let mut pair = PairSocket::new(&places.transports, config());
    let mut events = pair.events();
    for place in ["inproc://one", "inproc://other"] {
        pair.connect(place).unwrap();
    }
    within(pair.send("kept")).await.unwrap();
    pair.disconnect("inproc://one").unwrap();
    let mut peer = PairSocket::new(&places.transports, config());
    peer.bind("inproc://other").await.unwrap();
    assert_eq!(within(peer.recv()).await.to_text(), Some("kept"));
    within(peer.close()).await;
    pair.disconnect("inproc://other").unwrap();
    pair.connect("inproc://nowhere").unwrap();
    within(pair.send("for nobody")).await.unwrap();
    pair.disconnect("inproc://nowhere").unwrap();
    let unsent = event(&mut events, |event| match event {
        SocketEvent::Unsent { messages, .. } => Some(messages),
        _ => None,
    });
    assert_eq!(unsent.await, 1);
}
