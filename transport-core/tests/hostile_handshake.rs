//! Peers that misbehave before they are authenticated.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::time::{Duration, Instant};

use common::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use transport_core::mechanism::{PasswordVerifier, Passwords, PlainServer, Verdict};
use transport_core::{FramingError, HandshakeError, Limits, Refusal};

#[tokio::test]
async fn a_greeting_that_ends_at_any_byte_is_refused() {
    let mut server = listen().start().await.unwrap();
    let mut events = server.events();
    for cut in 0..64 {
        let mut peer = silent_peer(&server).await;
        peer.write_all(&greeting("NULL")[..cut]).await.unwrap();
        peer.shutdown().await.unwrap();
        assert!(matches!(*next_refusal(&mut events).await, HandshakeError::Closed), "cut at {cut}");
    }
}

#[tokio::test]
async fn an_unknown_mechanism_is_answered_with_ours_and_refused() {
    let mut server = listen().start().await.unwrap();
    let mut events = server.events();
    let mut peer = silent_peer(&server).await;
    peer.write_all(&greeting("GSSAPI")).await.unwrap();
    let answer = read_to_end(&mut peer).await;
    assert_eq!((answer.len(), &answer[12..17]), (64, &b"NULL\0"[..]));
    let reason = next_refusal(&mut events).await;
    assert_eq!(reason.to_string(), "the peer wants the mechanism GSSAPI, this side has NULL");
}

#[tokio::test]
async fn a_listener_with_two_mechanisms_takes_both() {
    let plain = PlainServer::new(Passwords::new().with_user("admin", "secret"));
    let mut server = listen()
        .mechanism(transport_core::mechanism::Null)
        .mechanism(plain)
        .danger_plaintext()
        .start()
        .await
        .unwrap();
    let (_peer, connection) = authenticated_peer(&mut server).await;
    assert_eq!(connection.identity().to_string(), "anonymous");

    let mut peer = silent_peer(&server).await;
    let initiate = command("INITIATE", b"\x0bSocket-Type\0\0\0\x06DEALER");
    peer.write_all(&[greeting("PLAIN"), hello("admin", "secret"), initiate].concat()).await.unwrap();
    let connection = tokio::time::timeout(NET, server.accept()).await.unwrap().unwrap();
    assert_eq!(connection.identity().to_string(), "user:admin");
}

/// A libzmq that sees another mechanism than its own leaves before it has named that, and nobody could say why it was refused.
#[tokio::test]
async fn a_server_names_its_mechanism_when_it_knows_the_clients_even_if_it_has_only_one() {
    let server = listen().start().await.unwrap();
    let mut peer = silent_peer(&server).await;
    let (whole, mut came) = (greeting("NULL"), [0; 64]);
    peer.write_all(&whole[..11]).await.unwrap();
    tokio::time::timeout(NET, peer.read_exact(&mut came[..12])).await.unwrap().unwrap();
    let nothing = tokio::time::timeout(Duration::from_millis(100), peer.read_u8()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    peer.write_all(&whole[11..]).await.unwrap();
    tokio::time::timeout(NET, peer.read_exact(&mut came[12..])).await.unwrap().unwrap();
    assert_eq!(came[..], whole);
}

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_get_the_same_answer() {
    let plain = PlainServer::new(Passwords::new().with_user("admin", "secret"));
    let mut server = listen().mechanism(plain).danger_plaintext().start().await.unwrap();
    let mut events = server.events();
    let mut answers = Vec::new();
    for (user, password) in [("admin", "wrong"), ("nobody", "secret"), ("", ""), ("admin", "")] {
        let mut peer = silent_peer(&server).await;
        peer.write_all(&[greeting("PLAIN"), hello(user, password)].concat()).await.unwrap();
        answers.push(read_to_end(&mut peer).await);
        let reason = next_refusal(&mut events).await;
        let HandshakeError::Refusal(Refusal::Credentials { user: logged }) = &*reason else {
            panic!("{reason}")
        };
        assert_eq!(logged, user);
    }
    assert!(answers.iter().all(|answer| answer.ends_with(b"\x05ERROR\x03400")));
    assert!(answers.iter().all(|answer| answer == &answers[0]));
}

/// The verdict over a known and an unknown user takes the same work: a median over many, far from a factor of two
/// that a lookup without a digest would make. They are asked in turns, so that a machine that becomes slower in the middle
/// makes both slower.
#[test]
fn an_unknown_user_takes_the_same_time_class_as_a_wrong_password() {
    let passwords = (0..1000).fold(Passwords::new(), |p, i| p.with_user(format!("user{i}"), "secret"));
    let time = |user: &str| {
        let start = Instant::now();
        for _ in 0..20 {
            let verdict = passwords.verify(user, &[b'x'; 255]);
            assert!(matches!(verdict, Verdict::Now(false)));
        }
        start.elapsed().as_nanos()
    };
    let times: Vec<[u128; 2]> = (0..2001).map(|_| ["user500", "nobody5"].map(time)).collect();
    let median = |which: usize| {
        let mut times: Vec<u128> = times.iter().map(|both| both[which]).collect();
        times.sort_unstable();
        times[times.len() / 2]
    };
    let (known, unknown) = (median(0), median(1));
    assert!(known < unknown * 2 && unknown < known * 2, "known {known} ns, unknown {unknown} ns");
}

#[tokio::test]
async fn a_store_that_takes_its_time_is_waited_for_within_the_deadline() {
    struct Slow(Duration);
    impl PasswordVerifier for Slow {
        fn verify(&self, user: &str, _password: &[u8]) -> Verdict {
            let (time, user) = (self.0, user.to_owned());
            Verdict::Later(Box::pin(async move {
                tokio::time::sleep(time).await;
                if user == "broken" { Err("the disk is full".to_owned()) } else { Ok(user == "admin") }
            }))
        }
    }
    for (time, user) in [(1, "admin"), (1, "other"), (1, "broken"), (60_000, "admin")] {
        let plain = PlainServer::new(Slow(Duration::from_millis(time)));
        // Short only where it is to pass.
        let within = if time == 1 { NET } else { Duration::from_millis(500) };
        let limits = Limits::default().with_handshake_time(within);
        let mut server = listen().mechanism(plain).danger_plaintext().limits(limits).start().await.unwrap();
        let mut events = server.events();
        let mut peer = silent_peer(&server).await;
        let initiate = command("INITIATE", b"");
        peer.write_all(&[greeting("PLAIN"), hello(user, "x"), initiate].concat()).await.unwrap();
        if (time, user) == (1, "admin") {
            assert!(tokio::time::timeout(NET, server.accept()).await.unwrap().is_some());
            continue;
        }
        let reason = next_refusal(&mut events).await;
        let sent = read_to_end(&mut peer).await;
        match (time, user) {
            (1, "other") => {
                assert!(matches!(*reason, HandshakeError::Refusal(Refusal::Credentials { .. })), "{reason}");
            }
            // Nothing is told to the peer: it may come again.
            (1, _) => {
                assert_eq!(reason.to_string(), "the account store failed: the disk is full");
                assert_eq!(sent.len(), 64);
            }
            _ => assert!(matches!(*reason, HandshakeError::Deadline(_))),
        }
    }
}

#[tokio::test]
async fn frames_beyond_the_limits_are_refused_before_authentication() {
    let mut server = listen().start().await.unwrap();
    let mut events = server.events();
    let long = |size: u64| [&[0x06][..], &size.to_be_bytes()].concat();
    for size in [1u64 << 63, u64::MAX, 64 << 30, 4097] {
        let mut peer = silent_peer(&server).await;
        peer.write_all(&[greeting("NULL"), long(size)].concat()).await.unwrap();
        let reason = next_refusal(&mut events).await;
        let expected = FramingError::TooLarge { announced: size, limit: 4096 };
        assert!(matches!(&*reason, HandshakeError::Framing(error) if *error == expected), "{reason}");
        read_to_end(&mut peer).await;
    }
}

#[tokio::test]
async fn anything_but_ready_ends_a_null_handshake() {
    let mut server = listen().start().await.unwrap();
    let mut events = server.events();
    for (frame, expected) in [
        (command("PING", b"\0\0"), "the peer sent PING where READY belongs"),
        (command("ready", b""), "the peer sent ready where READY belongs"),
        (command("", b""), "the peer sent  where READY belongs"),
        (vec![0x04, 0x00], "its name is longer than the frame"),
        (command("READY", b"\x0bSocket-Type\0\0\0\xffDEALER"), "a property's value is cut off"),
        (command("READY", b"\x0bSocket-Type\0\0\0\x04PUSH"), "the peer is a PUSH socket"),
        (command("ERROR", b"\x03no!"), "the peer refused this side: no!"),
    ] {
        let mut peer = silent_peer(&server).await;
        peer.write_all(&[greeting("NULL"), frame].concat()).await.unwrap();
        let reason = next_refusal(&mut events).await.to_string();
        assert!(reason.contains(expected), "{reason}");
        read_to_end(&mut peer).await;
    }
}
