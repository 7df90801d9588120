//! Routing ids: theft, and ids that are none.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use transport_core::mechanism::{Passwords, PlainServer};
use transport_core::tcp::TcpTransport;
use transport_core::{Address, Policy, Transports};
use transport_zmq::{
    Disconnected, Handover, Rejection, RouteError, RouterSocket, RoutingIdRefused, Security, SocketEvent,
    SocketEvents,
};

use crate::common::raw::{
    command, greeting, hello, joined, message, property, read_frame, read_to_end, ready, saying,
};
use crate::common::subject::{Kind, Subject};
use crate::common::{config, connected, event, within};

/// A ROUTER for two users, and where it is.
async fn router(handover: Handover) -> (RouterSocket, Address) {
    let passwords = Passwords::new().with_user("alice", "a").with_user("mallory", "m");
    let mut config = config();
    config.security =
        Security::new(Policy::danger_anyone()).with_mechanism(PlainServer::new(passwords)).danger_plaintext();
    let router =
        RouterSocket::new(&Transports::new().with(TcpTransport::new()), config).with_handover(handover);
    let address = router.bind("tcp://127.0.0.1:0").await.unwrap();
    (router, address)
}

/// Logs in as a DEALER that asks for this routing id, and says something.
async fn log_in(address: &Address, user: &str, routing_id: &[u8]) -> TcpStream {
    let metadata = [property("Socket-Type", b"DEALER"), property("Identity", routing_id)].concat();
    let bytes = [
        greeting("PLAIN"),
        hello(user, &user[..1]),
        command("INITIATE", &metadata),
        message(&[format!("{user} was here").as_bytes()]),
    ];
    let mut stream = saying(address, &bytes.concat()).await;
    within(stream.read_exact(&mut [0; 64])).await.unwrap();
    stream
}

async fn rejection(events: &mut SocketEvents) -> Rejection {
    event(events, |event| match event {
        SocketEvent::Rejected { reason, .. } => Some(reason),
        _ => None,
    })
    .await
}

/// The victim's owner alone may take its id over, and only where that was asked for.
#[tokio::test]
async fn an_id_is_not_given_to_another_principal_with_handover_or_without() {
    for handover in [Handover::Never, Handover::ToSamePrincipal] {
        let (mut router, address) = router(handover).await;
        let mut events = router.events();
        let mut alice = log_in(&address, "alice", b"alice").await;
        let (text, victim) = within(router.recv()).await;
        assert_eq!(
            (text.to_text(), victim.identity().to_string()),
            (Some("alice was here"), "user:alice".to_owned())
        );
        for _ in 0..3 {
            let mut mallory = log_in(&address, "mallory", b"alice").await;
            let refused = rejection(&mut events).await;
            assert_eq!(refused, Rejection::RoutingId(RoutingIdRefused::AnothersId), "{handover:?}");
            read_to_end(&mut mallory).await;
        }
        assert!(router.try_recv().is_none(), "nothing of hers was received");
        router.send_to(b"alice", "for alice").await.unwrap();
        while within(read_frame(&mut alice)).await.unwrap().1 != b"for alice" {}

        let mut again = log_in(&address, "alice", b"alice").await;
        if handover == Handover::Never {
            assert_eq!(rejection(&mut events).await, Rejection::RoutingId(RoutingIdRefused::InUse));
            read_to_end(&mut again).await;
        } else {
            let (_, heir) = within(router.recv()).await;
            assert_ne!(heir, victim);
            let reason = event(&mut events, |event| match event {
                SocketEvent::Disconnected { reason, .. } => Some(reason),
                _ => None,
            });
            assert!(matches!(reason.await, Disconnected::Rejected(Rejection::HandedOver)));
            router.send_to(b"alice", "for the heir").await.unwrap();
            while within(read_frame(&mut again)).await.unwrap().1 != b"for the heir" {}
        }
    }
}

#[tokio::test]
async fn ids_that_are_empty_are_made_and_those_that_are_reserved_or_too_long_refused() {
    let mut subject = Subject::start(Kind::Router, config()).await;
    let mut empty = joined(&subject.address, "DEALER", b"").await;
    for reserved in [&b"\0"[..], b"\0\0\0\0\x01", &[0; 255]] {
        let mut peer =
            saying(&subject.address, &[greeting("NULL"), ready("DEALER", reserved)].concat()).await;
        assert_eq!(subject.rejection().await, Rejection::RoutingId(RoutingIdRefused::Reserved));
        read_to_end(&mut peer).await;
    }
    let longest = joined(&subject.address, "DEALER", &[b'i'; 255]).await;
    connected(&mut subject.events, 1).await;
    let hello = [greeting("NULL"), ready("DEALER", &[b'i'; 256])].concat();
    let mut too_long = saying(&subject.address, &hello).await;
    let reason = subject.refusal().await.to_string();
    assert!(reason.contains("it has 256 bytes, the limit is 255"), "{reason}");
    read_to_end(&mut too_long).await;
    // Who has the others' ids does not matter to them.
    empty.write_all(&message(&[b"still here"])).await.unwrap();
    assert_eq!(read_frame(&mut empty).await.unwrap().1, b"still here");
    drop(longest);
    subject.serves().await;
}

#[tokio::test]
async fn a_peer_that_has_vanished_is_an_error_whatever_name_it_is_called_by() {
    let (mut router, address) = router(Handover::Never).await;
    let alice = log_in(&address, "alice", b"alice").await;
    let (_, peer) = within(router.recv()).await;
    let mut events = router.events();
    drop(alice);
    event(&mut events, |event| matches!(event, SocketEvent::Disconnected { .. }).then_some(())).await;
    assert!(matches!(router.send_to(b"alice", "x").await, Err(RouteError::NoSuchPeer { .. })));
    assert!(matches!(router.send_to_peer(&peer, "x").await, Err(RouteError::Peer(_))));
    // Its name is free for anyone again, and what is sent to the old connection does not reach the new one.
    let mut mallory = log_in(&address, "mallory", b"alice").await;
    within(router.recv()).await;
    assert!(matches!(router.send_to_peer(&peer, "for alice").await, Err(RouteError::Peer(_))));
    let silent = tokio::time::timeout(Duration::from_millis(50), async {
        loop {
            let (flags, body) = read_frame(&mut mallory).await.unwrap();
            assert_ne!((flags & 0x04, &body[..]), (0, &b"for alice"[..]));
        }
    });
    assert!(silent.await.is_err());
}
