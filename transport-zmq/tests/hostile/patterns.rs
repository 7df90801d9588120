//! What breaks the rules of a pattern: envelopes, replies, pairs, socket types.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use transport_core::framing::zmtp::SocketType;
use transport_core::{FramingError, HandshakeError};
use transport_zmq::{
    Disconnected, PairSocket, Rejection, RepSocket, ReplyError, ReqSocket, RequestError, SocketEvent,
};

use crate::common::raw::{
    command, greeting, joined, message, property, read_frame, read_to_end, ready, saying,
};
use crate::common::subject::{Kind, Subject};
use crate::common::{config, event, tcp, within};

#[tokio::test]
async fn a_replier_drops_requests_without_an_envelope_and_carries_one_of_a_thousand_hops() {
    let mut subject = Subject::start(Kind::Rep, config()).await;
    let mut peer = joined(&subject.address, "DEALER", b"").await;
    let hops: Vec<String> = (0..1022).map(|hop| format!("hop {hop}")).collect();
    let mut long: Vec<&[u8]> = hops.iter().map(String::as_bytes).collect();
    for bad in [&[&b"no delimiter"[..]][..], &[b""], &[b"a", b"b", b"c"], &[b"a", b""], &long] {
        peer.write_all(&message(bad)).await.unwrap();
    }
    long.extend([&b""[..], b"body"]);
    peer.write_all(&message(&long)).await.unwrap();
    // The only one that is answered.
    for part in &long {
        assert_eq!(read_frame(&mut peer).await.unwrap().1, *part);
    }
    subject.serves().await;
    while let Ok(text) = subject.texts.try_recv() {
        assert!(text == b"body" || text.starts_with(b"request"), "{}", text.escape_ascii());
    }
    // With one part more it is beyond the limit.
    long.insert(0, b"one more");
    let _reset = peer.write_all(&message(&long)).await;
    let reason = subject.departure().await.to_string();
    assert!(reason.contains("more than 1024 parts"), "{reason}");
    subject.serves().await;
}

#[tokio::test]
async fn a_peer_that_asks_and_takes_no_replies_is_no_reason_to_wait() {
    let config = config().with_send_mark(transport_zmq::HighWaterMark::new(10, 64 << 10));
    let mut rep = RepSocket::new(&tcp(), config.clone());
    let address = rep.bind("tcp://127.0.0.1:0").await.unwrap();
    let mut deaf = joined(&address, "DEALER", b"").await;
    let request = message(&[b"", &[7; 60_000]]);
    let asking = tokio::spawn(async move { while deaf.write_all(&request).await.is_ok() {} });
    // Until the way back is full.
    within(async {
        loop {
            let request = rep.recv().await;
            if let Err(error) = rep.send(&request).await {
                assert!(matches!(error, ReplyError::NoRoom), "{error}");
                break;
            }
        }
    })
    .await;
    let peers = rep.peers();
    let mut req = ReqSocket::new(&tcp(), config);
    req.connect(&address).unwrap();
    let serving = async {
        loop {
            let request = rep.recv().await;
            let _no_room = rep.send(&request).await;
        }
    };
    tokio::select! {
        answer = within(req.request("and I?")) => assert_eq!(answer.unwrap().to_text(), Some("and I?")),
        () = serving => {}
    }
    assert!(peers[0].dropped() > 0);
    asking.abort();
}

/// A REP that the test plays itself.
async fn replier() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!("tcp://{}", listener.local_addr().unwrap());
    (listener, place)
}

/// The next connection, after its handshake, and a request on it.
async fn asked(listener: &TcpListener) -> tokio::net::TcpStream {
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    stream.write_all(&[greeting("NULL"), ready("REP", b"")].concat()).await.unwrap();
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut [0; 64]).await.unwrap();
    assert!(read_frame(&mut stream).await.unwrap().1.starts_with(b"\x05READY"));
    stream
}

#[tokio::test]
async fn replies_that_nobody_asked_for_or_from_the_wrong_peer_are_dropped() {
    let mut req = ReqSocket::new(&tcp(), config());
    let ((one, first), (two, second)) = (replier().await, replier().await);
    req.connect(&*first).unwrap();
    req.connect(&*second).unwrap();
    let (mut one, mut two) = within(async { tokio::join!(asked(&one), asked(&two)) }).await;
    // Before any request, from both.
    for peer in [&mut one, &mut two] {
        peer.write_all(&message(&[b"", b"unasked"])).await.unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(matches!(req.recv().await, Err(RequestError::NothingAsked)));
    for round in 0..4u8 {
        req.send(&[round]).await.unwrap();
        // Whoever was asked; the other one answers first, and more than once.
        let (asked, other) = tokio::select! {
            frame = read_frame(&mut one) => { frame.unwrap(); (&mut one, &mut two) }
            frame = read_frame(&mut two) => { frame.unwrap(); (&mut two, &mut one) }
        };
        assert_eq!(read_frame(asked).await.unwrap().1, [round]);
        for _ in 0..3 {
            other.write_all(&message(&[b"", b"not you"])).await.unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        asked.write_all(&message(&[b"", &[round, 1]])).await.unwrap();
        // A second reply to the same request is to none.
        asked.write_all(&message(&[b"", &[round, 2]])).await.unwrap();
        assert_eq!(within(req.recv()).await.unwrap()[0], [round, 1][..]);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_reply_without_its_envelope_ends_the_connection_with_its_reason() {
    for bad in [&[&b"nodelim"[..]][..], &[b""], &[b"x", b"y"], &[b"\0\0\0\0", b"", b"x"]] {
        let mut req = ReqSocket::new(&tcp(), config());
        let (listener, place) = replier().await;
        req.connect(&*place).unwrap();
        let mut peer = asked(&listener).await;
        req.send("question").await.unwrap();
        peer.write_all(&message(bad)).await.unwrap();
        let mut events = req.events();
        assert!(matches!(within(req.recv()).await, Err(RequestError::PeerLost)));
        let reason = event(&mut events, |event| match event {
            SocketEvent::Disconnected { reason, .. } => Some(reason),
            _ => None,
        });
        assert!(matches!(reason.await, Disconnected::Rejected(Rejection::MalformedReply)));
        read_to_end(&mut peer).await;
    }
}

#[tokio::test]
async fn a_second_peer_of_a_pair_is_turned_away_and_its_messages_are_not_received() {
    let mut pair = PairSocket::new(&tcp(), config());
    let mut events = pair.events();
    let address = pair.bind("tcp://127.0.0.1:0").await.unwrap();
    let mut first = joined(&address, "PAIR", b"").await;
    crate::common::connected(&mut events, 1).await;
    for _ in 0..20 {
        let hello = [greeting("NULL"), ready("PAIR", b""), message(&[b"me too"])].concat();
        let mut second = saying(&address, &hello).await;
        let reason = event(&mut events, |event| match event {
            SocketEvent::Rejected { reason, .. } => Some(reason),
            _ => None,
        });
        assert_eq!(reason.await, Rejection::SecondPeer);
        read_to_end(&mut second).await;
    }
    first.write_all(&message(&[b"only me"])).await.unwrap();
    assert_eq!(within(pair.recv()).await.to_text(), Some("only me"));
    pair.send("yes").await.unwrap();
    assert_eq!(read_frame(&mut first).await.unwrap().1, b"yes");
    assert!(pair.try_recv().is_none());
}

#[tokio::test]
async fn socket_types_that_do_not_fit_are_refused_with_both_names() {
    let all = ["PAIR", "PUB", "SUB", "REQ", "REP", "DEALER", "ROUTER", "PULL", "PUSH", "XPUB", "XSUB"];
    for (kind, own, fitting) in [
        (Kind::Router, "ROUTER", &["REQ", "DEALER", "ROUTER"][..]),
        (Kind::Pull, "PULL", &["PUSH"]),
        (Kind::Sub, "SUB", &["PUB", "XPUB"]),
        (Kind::XPub, "XPUB", &["SUB", "XSUB"]),
        (Kind::Pub, "PUB", &["SUB", "XSUB"]),
        (Kind::Rep, "REP", &["REQ", "DEALER"]),
    ] {
        let mut subject = Subject::start(kind, config()).await;
        let ours: SocketType = own.parse().unwrap();
        for theirs in all {
            if fitting.contains(&theirs) {
                assert!(ours.is_compatible(theirs.parse().unwrap()));
                drop(joined(&subject.address, theirs, b"").await);
                continue;
            }
            let hello = [greeting("NULL"), ready(theirs, b"")].concat();
            let mut peer = saying(&subject.address, &hello).await;
            let reason = subject.refusal().await;
            let expected = FramingError::Incompatible { ours: own.to_owned(), theirs: theirs.to_owned() };
            assert!(matches!(&*reason, HandshakeError::Framing(error) if *error == expected), "{reason}");
            read_to_end(&mut peer).await;
        }
        // One that says two things is held to both.
        let both =
            [property("Socket-Type", fitting[0].as_bytes()), property("Socket-Type", b"PAIR")].concat();
        let mut peer = saying(&subject.address, &[greeting("NULL"), command("READY", &both)].concat()).await;
        assert!(subject.refusal().await.to_string().contains("PAIR"));
        read_to_end(&mut peer).await;
        subject.serves().await;
    }
}
