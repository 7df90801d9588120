//! Peers written byte by byte that connect: what no library sends any more, or none is sure to send.

use interop::{Settings, Sockets};
use transport::RecvError;
use transport::core::framing::FramingError;
use transport_zmq::{Disconnected, SocketEvent};

use crate::raw::{OLDER, PIECES, Raw, TYPES, command, frame, greeting, property, ready, unusual_greetings};
use crate::set_up::event;

#[tokio::test]
async fn older_versions_that_connect_are_refused_by_name_and_others_get_in() {
    for (ours, theirs) in TYPES {
        let mut sockets = Sockets::ours();
        let endpoint = bound(&mut sockets, ours).await;
        let mut events = sockets.here().socket(ours).events();
        for (bytes, name) in OLDER {
            let mut raw = Raw::connect(&endpoint).await;
            raw.send(bytes).await;
            let reason = event(&mut events, |event| match event {
                SocketEvent::HandshakeFailed { reason, .. } => Some(reason.to_string()),
                _ => None,
            });
            let reason = reason.await;
            assert!(reason.contains(name), "{ours}: {reason}");
            raw.closed().await;
        }
        let _raw = Raw::joined(&endpoint, 1, theirs).await;
        event(&mut events, |event| matches!(event, SocketEvent::Connected { .. }).then_some(())).await;
    }
}

#[tokio::test]
async fn a_subscriber_of_3_0_subscribes_by_messages_and_gets_no_command() {
    for ours in ["PUB", "XPUB"] {
        let mut sockets = Sockets::ours();
        let endpoint = bound(&mut sockets, ours).await;
        let mut raw = Raw::joined(&endpoint, 0, "SUB").await;
        raw.send(&frame(0, b"\x01a")).await;
        publish_until_heard(&mut sockets, ours, "a", &mut raw).await;
        for topic in ["b: not this", "a: this"] {
            sockets.send(ours, &[topic]).await;
        }
        assert_eq!(raw.frame_longer_than_a_topic().await, (0, b"a: this".to_vec()));
        raw.send(&[frame(0, b"\x00a"), frame(0, b"\x01b")].concat()).await;
        publish_until_heard(&mut sockets, ours, "b", &mut raw).await;
        for topic in ["a: not this", "b: this"] {
            sockets.send(ours, &[topic]).await;
        }
        assert_eq!(raw.frame_longer_than_a_topic().await, (0, b"b: this".to_vec()));
    }
}

#[tokio::test]
async fn both_forms_of_a_subscription_are_taken_on_one_connection() {
    let mut sockets = Sockets::ours();
    let endpoint = bound(&mut sockets, "XPUB").await;
    let mut raw = Raw::joined(&endpoint, 1, "SUB").await;
    // Subscribed by a message and cancelled by a command, and the other way round.
    let steps = [frame(0, b"\x01a"), command("SUBSCRIBE", b"b"), command("CANCEL", b"a"), frame(0, b"\x00b")];
    raw.send(&steps.concat()).await;
    for expected in ["\u{1}a", "\u{1}b", "\0a", "\0b"] {
        assert_eq!(sockets.recv("XPUB").await, [expected]);
    }
}

#[tokio::test]
async fn a_subscriber_of_ours_says_what_the_publishers_version_knows() {
    let topics = ["a".to_owned(), "t".repeat(254), "t".repeat(255), "t".repeat(256)];
    for minor in [0, 1] {
        let mut sockets = Sockets::ours();
        sockets.open("SUB", "SUB", Settings { subscribe: topics.to_vec(), ..Settings::new() }).await;
        let endpoint = sockets.bind("SUB", "tcp://127.0.0.1:0").await;
        let mut raw = Raw::joined(&endpoint, minor, "PUB").await;
        let mut said = Vec::new();
        for _ in &topics {
            said.push(raw.frame().await);
        }
        sockets.unsubscribe("SUB", "a").await;
        said.push(raw.frame().await);
        let (name, cancel): (&[u8], &[u8]) =
            if minor == 0 { (b"\x01", b"\x00a") } else { (b"\x09SUBSCRIBE", b"\x06CANCELa") };
        let flags = if minor == 0 { 0 } else { 4 };
        let expected = topics.iter().map(|topic| (flags, [name, topic.as_bytes()].concat()));
        assert_eq!(said, expected.chain([(flags, cancel.to_vec())]).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_ping_is_answered_with_its_context_whatever_the_version() {
    for minor in [0, 1] {
        let mut sockets = Sockets::ours();
        let endpoint = bound(&mut sockets, "PULL").await;
        let mut raw = Raw::joined(&endpoint, minor, "PUSH").await;
        for context in ["", "c", "sixteen bytes .."] {
            raw.send(&command("PING", &[b"\0\0", context.as_bytes()].concat())).await;
            assert_eq!(raw.frame().await, (4, [b"\x04PONG", context.as_bytes()].concat()));
        }
        // More than that is cut.
        raw.send(&command("PING", b"\0\0seventeen bytes ..")).await;
        assert_eq!(raw.frame().await, (4, b"\x04PONGseventeen bytes ".to_vec()));
        // Between the parts of a message, which stays whole.
        raw.send(&[frame(1, b"first"), command("PING", b"\0\0"), frame(0, b"second")].concat()).await;
        assert_eq!(raw.frame().await, (4, b"\x04PONG".to_vec()));
        assert_eq!(sockets.recv("PULL").await, ["first", "second"]);
    }
}

#[tokio::test]
async fn a_peer_is_taken_for_dead_when_its_time_to_live_is_over() {
    let mut sockets = Sockets::ours();
    let endpoint = bound(&mut sockets, "PULL").await;
    let mut events = sockets.here().socket("PULL").events();
    // No time, and a long one: the peer stays.
    for time in [[0, 0], 10u16.to_be_bytes(), 655u16.to_be_bytes()] {
        let mut raw = Raw::joined(&endpoint, 1, "PUSH").await;
        raw.send(&command("PING", &time)).await;
        assert_eq!(raw.frame().await.0, 4);
        raw.send(&frame(0, b"still there")).await;
        assert_eq!(sockets.recv("PULL").await, ["still there"]);
        drop(raw);
        assert!(matches!(end(&mut events).await, Disconnected::ByPeer));
    }
    let mut raw = Raw::joined(&endpoint, 1, "PUSH").await;
    // A tenth of a second.
    raw.send(&command("PING", &[0, 1])).await;
    let end = end(&mut events).await;
    let Disconnected::Receive(error) = &end else { panic!("{end:?}") };
    assert!(matches!(**error, RecvError::Framing(FramingError::Silent { .. })), "{error:?}");
}

#[tokio::test]
async fn a_greeting_may_come_in_pieces_and_say_what_does_not_matter() {
    for greeting in unusual_greetings() {
        for pieces in PIECES {
            let mut sockets = Sockets::ours();
            let endpoint = bound(&mut sockets, "PULL").await;
            let mut raw = Raw::connect(&endpoint).await;
            raw.send_in(pieces, &greeting).await;
            raw.finish_as("PUSH").await;
            raw.send(&frame(0, b"hello")).await;
            assert_eq!(sockets.recv("PULL").await, ["hello"], "{greeting:x?}");
        }
    }
}

#[tokio::test]
async fn a_ready_of_more_than_255_bytes_is_read() {
    let mut sockets = Sockets::ours();
    let endpoint = bound(&mut sockets, "PULL").await;
    let mut raw = Raw::connect(&endpoint).await;
    raw.send(&greeting(1)).await;
    let properties = [property("Socket-Type", b"PUSH"), property("X-Long", &[b'x'; 1000])].concat();
    raw.send(&command("READY", &properties)).await;
    raw.send(&frame(0, b"hello")).await;
    assert_eq!(sockets.recv("PULL").await, ["hello"]);
}

#[tokio::test]
async fn of_a_peer_that_goes_half_way_nothing_is_delivered_and_the_next_one_gets_in() {
    let whole = frame(0, b"whole");
    let rest = [frame(1, b"first part"), frame(0, b"second part")].concat();
    let mut sockets = Sockets::ours();
    let endpoint = bound(&mut sockets, "PULL").await;
    let mut events = sockets.here().socket("PULL").events();
    for length in 1..rest.len() {
        let mut raw = Raw::joined(&endpoint, 1, "PUSH").await;
        raw.send(&[&whole, &rest[..length]].concat()).await;
        assert_eq!(sockets.recv("PULL").await, ["whole"]);
        drop(raw);
        let end = end(&mut events).await;
        let Disconnected::Receive(error) = &end else { panic!("{end:?}") };
        assert!(matches!(**error, RecvError::Truncated), "{error:?}");
    }
    let handshake = [greeting(1), ready("PUSH")].concat();
    for length in 0..handshake.len() {
        let mut raw = Raw::connect(&endpoint).await;
        raw.send(&handshake[..length]).await;
        drop(raw);
        event(&mut events, |event| matches!(event, SocketEvent::HandshakeFailed { .. }).then_some(())).await;
    }
    let mut raw = Raw::joined(&endpoint, 1, "PUSH").await;
    raw.send(&whole).await;
    assert_eq!(sockets.recv("PULL").await, ["whole"]);
    assert_eq!(sockets.recv_within("PULL", 50).await, None);
}

/// Opens a socket of this type and name, and binds it.
async fn bound(sockets: &mut Sockets, r#type: &str) -> String {
    sockets.open(r#type, r#type, Settings::new()).await;
    sockets.bind(r#type, "tcp://127.0.0.1:0").await
}

/// What is published before the subscription has come is lost.
async fn publish_until_heard(sockets: &mut Sockets, name: &str, topic: &str, raw: &mut Raw) {
    loop {
        sockets.send(name, &[topic]).await;
        let soon = std::time::Duration::from_millis(10);
        while tokio::time::timeout(soon, raw.stream.peek(&mut [0])).await.is_ok() {
            if raw.frame().await.1 == topic.as_bytes() {
                return;
            }
        }
    }
}

/// Waits until a peer has gone, and tells why.
async fn end(events: &mut transport_zmq::SocketEvents) -> Disconnected {
    event(events, |event| match event {
        SocketEvent::Disconnected { reason, .. } => Some(reason),
        _ => None,
    })
    .await
}
