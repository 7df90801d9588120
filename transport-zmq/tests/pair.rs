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
