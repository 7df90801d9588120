//! Before a peer is authenticated.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use transport_core::mechanism::{Passwords, PlainServer};
use transport_core::{FramingError, HandshakeError, Limits, Policy, Refusal};
use transport_zmq::{Security, SocketConfig};

use crate::common::config;
use crate::common::raw::{command, greeting, hello, message, property, read_to_end, ready, saying, silent};
use crate::common::subject::{Kind, Subject, with_each_kind};

/// What a hostile peer says instead of a handshake with NULL, and what the events say of it.
fn hostile_handshakes(kind: Kind) -> Vec<(Vec<u8>, &'static str)> {
    let long = |size: u64| [&[0x06][..], &size.to_be_bytes()].concat();
    let socket_type = |name: &str| command("READY", &property("Socket-Type", name.as_bytes()));
    let wrong = if kind == Kind::Pull { "PULL" } else { "PUSH" };
    let mut all = vec![
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "does not speak ZMTP"),
        (vec![0; 64], "does not speak ZMTP"),
        // libzmq 2 and libzmq 3: an empty identity of ZMTP 1.0, and the greeting of ZMTP 2.0 with its socket type.
        (vec![1, 0], "does not speak ZMTP"),
        (vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 1, 5, 0, 0], "ZMTP 2.0 (libzmq 3 or older)"),
        (greeting("GSSAPI"), "the peer wants the mechanism GSSAPI, this side has NULL"),
        (greeting("CURVE"), "the peer wants the mechanism CURVE, this side has NULL"),
        (greeting("null"), "the peer wants the mechanism"),
    ];
    let after_greeting = [
        (long(u64::MAX), "the limit is 4096"),
        (long(1 << 63), "the limit is 4096"),
        (long(64 << 30), "the limit is 4096"),
        (long(4097), "the limit is 4096"),
        (command("PING", b"\0\0"), "the peer sent PING where READY belongs"),
        (command("SUBSCRIBE", b""), "the peer sent SUBSCRIBE where READY belongs"),
        (command("HELLO", b"\x05admin\x06secret"), "the peer sent HELLO where READY belongs"),
        (command("", b""), "where READY belongs"),
        (vec![0x04, 0x00], "its name is longer than the frame"),
        (message(&[b"too early"]), "malformed handshake command"),
        (command("READY", b"\x0bSocket-Type\0\0\0\xffDEALER"), "a property's value is cut off"),
        (command("READY", &[property("Socket-Type", b"DEALER"), vec![9]].concat()), "a property"),
        (socket_type(wrong), "socket, which a"),
        (socket_type("NONSENSE"), ""),
        (ready(kind.peer_type(), &[b'i'; 256]), "256"),
        (command("ERROR", b"\x03no!"), "the peer refused this side: no!"),
    ];
    all.extend(after_greeting.map(|(bytes, reason)| ([greeting("NULL"), bytes].concat(), reason)));
    all
}

#[tokio::test]
async fn what_is_no_handshake_is_refused_with_its_reason() {
    for kind in Kind::ALL {
        let mut subject = Subject::start(kind, config()).await;
        for (bytes, expected) in hostile_handshakes(kind) {
            let mut peer = saying(&subject.address, &bytes).await;
            let reason = subject.refusal().await.to_string();
            assert!(
                reason.contains(expected),
                "{kind:?} {}: {reason}",
                bytes[..bytes.len().min(100)].escape_ascii()
            );
            read_to_end(&mut peer).await;
            subject.serves().await;
        }
        subject.takes_others_in().await;
    }
}

#[tokio::test]
async fn a_handshake_that_ends_at_any_byte_is_refused() {
    for kind in Kind::ALL {
        let mut subject = Subject::start(kind, config()).await;
        let whole = [greeting("NULL"), ready(kind.peer_type(), b"")].concat();
        for cut in 0..whole.len() {
            saying(&subject.address, &whole[..cut]).await.shutdown().await.unwrap();
            let reason = subject.refusal().await;
            assert!(matches!(*reason, HandshakeError::Closed), "{kind:?}, cut at {cut}: {reason}");
        }
        subject.serves().await;
        subject.takes_others_in().await;
    }
}

#[tokio::test]
async fn silence_at_any_stage_of_a_handshake_is_refused_at_its_deadline() {
    with_each_kind(|kind| async move {
        let limits = Limits::default().with_handshake_time(Duration::from_millis(500));
        let mut subject = Subject::start(kind, config().with_limits(limits)).await;
        let mut peers = Vec::new();
        // At once, in the middle of the greeting, after it, and in the middle of READY.
        for said in [
            &[][..],
            &greeting("NULL")[..20],
            &greeting("NULL"),
            &[&greeting("NULL")[..], &[4, 99, 5]].concat(),
        ] {
            peers.push(saying(&subject.address, said).await);
        }
        for mut peer in peers {
            let reason = subject.refusal().await;
            assert!(matches!(*reason, HandshakeError::Deadline(_)), "{kind:?}: {reason}");
            read_to_end(&mut peer).await;
        }
        subject.serves().await;
        subject.takes_others_in().await;
    })
    .await;
}

fn with_passwords() -> SocketConfig {
    let plain = PlainServer::new(Passwords::new().with_user("admin", "secret"));
    let both = Security::new(Policy::danger_anyone())
        .with_mechanism(transport_core::mechanism::Null)
        .with_mechanism(plain)
        .danger_plaintext();
    let mut config = config();
    config.security = both;
    config
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_get_the_same_answer_in_the_same_time() {
    for kind in Kind::ALL {
        let mut subject = Subject::start(kind, with_passwords()).await;
        let mut answers = Vec::new();
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..30 {
            for (which, (user, password)) in
                [("admin", "wrong"), ("nobody", "secret")].into_iter().enumerate()
            {
                let start = Instant::now();
                let bytes = [greeting("PLAIN"), hello(user, password)].concat();
                let mut peer = saying(&subject.address, &bytes).await;
                answers.push(read_to_end(&mut peer).await);
                times[which].push(start.elapsed());
                let reason = subject.refusal().await;
                let HandshakeError::Refusal(Refusal::Credentials { user: logged }) = &*reason else {
                    panic!("{reason}")
                };
                assert_eq!(logged, user, "{round}");
            }
        }
        assert!(answers[0].ends_with(b"\x05ERROR\x03400"));
        assert!(answers.iter().all(|answer| answer == &answers[0]), "{kind:?}");
        // What one would learn by waiting: whether one of them is looked up, and the other is not.
        let [known, unknown] = times.map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2]
        });
        assert!(known < unknown * 3 && unknown < known * 3, "{kind:?}: {known:?}, {unknown:?}");
        subject.serves().await;
    }
}

#[tokio::test]
async fn hello_that_is_cut_or_malformed_is_refused() {
    let mut subject = Subject::start(Kind::Router, with_passwords()).await;
    for body in
        [&b""[..], b"\x05admin", b"\x05admin\x07secret", b"\xffadmin\x06secret", b"\x05admin\x06secretmore"]
    {
        let mut peer = saying(&subject.address, &[greeting("PLAIN"), command("HELLO", body)].concat()).await;
        let reason = subject.refusal().await;
        assert!(
            matches!(&*reason, HandshakeError::Refusal(Refusal::Malformed { token: "HELLO", .. })),
            "{}: {reason}",
            body.escape_ascii()
        );
        read_to_end(&mut peer).await;
    }
    subject.serves().await;
}

#[tokio::test]
async fn hundreds_that_say_nothing_give_way_to_good_peers_from_the_same_address() {
    with_each_kind(|kind| async move {
        let limits =
            Limits::default().with_pending_handshakes(16).with_handshake_time(Duration::from_secs(1));
        let mut subject = Subject::start(kind, config().with_limits(limits)).await;
        let mut pending = VecDeque::new();
        for _ in 0..10 {
            for _ in 0..50 {
                pending.push_back(silent(&subject.address).await);
            }
            subject.takes_others_in().await;
            subject.serves().await;
            while pending.len() > 16 {
                read_to_end(&mut pending.pop_front().unwrap()).await;
            }
        }
        let reason = subject.refusal().await;
        assert!(matches!(*reason, HandshakeError::Evicted), "{kind:?}: {reason}");
        for mut peer in pending {
            read_to_end(&mut peer).await;
        }
    })
    .await;
}

/// The limit holds before authentication, whatever is allowed afterwards.
#[tokio::test]
async fn a_large_limit_for_messages_is_none_for_handshakes() {
    let limits = Limits::default().with_message(1 << 30);
    let mut subject = Subject::start(Kind::Pull, config().with_limits(limits)).await;
    let announced = [greeting("NULL"), [&[0x06][..], &(1u64 << 20).to_be_bytes()].concat()].concat();
    let mut peer = saying(&subject.address, &announced).await;
    let reason = subject.refusal().await;
    let expected = FramingError::TooLarge { announced: 1 << 20, limit: 4096 };
    assert!(matches!(&*reason, HandshakeError::Framing(error) if *error == expected), "{reason}");
    read_to_end(&mut peer).await;
}
