//! After a peer was authenticated.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt as _;
use transport_core::{FramingError, Limits, RecvError, SendError};
use transport_zmq::{Disconnected, HighWaterMark};

use crate::common::raw::{command, frame, joined, message, read_frame, read_to_end};
use crate::common::subject::{Kind, Subject};
use crate::common::{config, within};

/// What an authenticated peer sends, and what the events say of its end.
fn violations() -> Vec<(Vec<u8>, &'static str)> {
    let long = |flags: u8, size: u64| [&[flags | 0x02][..], &size.to_be_bytes(), &[0; 100]].concat();
    let mut all = vec![
        ([1, 0].repeat(2000), "more than 1024 parts"),
        ([message(&[b"a", b"b"]), command("PING", b"")].concat(), "malformed PING"),
        (command("PING", b"\0"), "malformed PING"),
        ([&[0x01, 1, b'a'][..], &long(0x01, 1 << 40)].concat(), "the limit is 16777216"),
    ];
    for flags in [0x00, 0x01, 0x04] {
        for size in [1 << 63, u64::MAX, 64 << 30, (16 << 20) + 1] {
            all.push((long(flags, size), "the limit is"));
        }
    }
    all
}

#[tokio::test]
async fn what_breaks_the_protocol_or_a_limit_ends_the_connection_with_its_reason() {
    for kind in Kind::ALL {
        let mut subject = Subject::start(kind, config()).await;
        for (bytes, expected) in violations() {
            let mut peer = joined(&subject.address, kind.peer_type(), b"").await;
            let _reset = peer.write_all(&bytes).await;
            let reason = subject.departure().await;
            assert!(matches!(reason, Disconnected::Receive(_)), "{kind:?}: {reason}");
            assert!(
                reason.to_string().contains(expected),
                "{kind:?} {}: {reason}",
                bytes[..12].escape_ascii()
            );
            read_to_end(&mut peer).await;
            subject.serves().await;
        }
        subject.takes_others_in().await;
    }
}

#[tokio::test]
async fn a_peer_that_vanishes_in_the_middle_of_a_message_is_told_of_and_the_message_is_dropped() {
    for kind in Kind::ALL {
        let mut subject = Subject::start(kind, config()).await;
        for part in [&b"\x01\x04half"[..], &frame(0, &[7; 300])[..200], &[0x02, 0, 0]] {
            let mut peer = joined(&subject.address, kind.peer_type(), b"").await;
            peer.write_all(part).await.unwrap();
            peer.shutdown().await.unwrap();
            let reason = subject.departure().await;
            let Disconnected::Receive(error) = &reason else { panic!("{reason}") };
            assert!(matches!(**error, RecvError::Truncated), "{kind:?}: {reason}");
        }
        subject.serves().await;
        while let Ok(text) = subject.texts.try_recv() {
            assert!(!text.starts_with(b"half") && !text.starts_with(&[7; 10]), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn commands_that_do_not_belong_there_are_ignored_and_pings_between_parts_answered() {
    for kind in Kind::ALL {
        let mut subject = Subject::start(kind, config()).await;
        let mut peer = joined(&subject.address, kind.peer_type(), b"").await;
        let strange = [
            command("FOO", b"xyz"),
            command("READY", b"\x0bSocket-Type\0\0\0\x06ROUTER"),
            command("ERROR", b"\x01a"),
            command("PONG", b""),
            command("HELLO", b""),
            command("MESSAGE", b"12345678"),
            vec![0x04, 0],
            b"\x04\x03\x09AB".to_vec(),
        ];
        let mut good = kind.good_message("good");
        if kind == Kind::Rep {
            // Between the delimiter and the body.
            let at = message(&[b"", b""]).len() / 2;
            good = [&good[..at], &command("PING", b"\0\x01ctx"), &good[at..]].concat();
        } else {
            good = [command("PING", b"\0\x01ctx"), good].concat();
        }
        peer.write_all(&[strange.concat(), good].concat()).await.unwrap();
        // A publisher's ticks come before and after.
        let answered = async {
            loop {
                let (flags, body) = read_frame(&mut peer).await.expect("it is still connected");
                if flags & 0x04 != 0 && body.starts_with(b"\x04PONG") {
                    assert_eq!(body, b"\x04PONGctx", "{kind:?}");
                    return;
                }
            }
        };
        within(answered).await;
        if !matches!(kind, Kind::Pub) {
            while !within(subject.texts.recv()).await.unwrap().ends_with(b"good") {}
        }
        subject.serves().await;
        assert!(subject.departed().is_none(), "{kind:?}");
    }
}

/// Its queue has its bound, it is cut at the deadline, and others are served all the time.
#[tokio::test]
async fn a_peer_that_asks_and_reads_nothing_is_cut_at_the_write_deadline_and_holds_up_nobody() {
    let by_messages = HighWaterMark::new(20, 64 << 20);
    let by_bytes = HighWaterMark::new(1_000_000, 64 << 10);
    let kinds = [Kind::Router, Kind::Rep];
    let all = kinds.into_iter().flat_map(|kind| [by_messages, by_bytes].map(|mark| (kind, mark)));
    // All at once, since each waits for the deadline.
    join_all(all.map(|(kind, mark)| async move {
        let limits = Limits::default().with_write_time(Duration::from_secs(1));
        let mut subject = Subject::start(kind, config().with_send_mark(mark).with_limits(limits)).await;
        let mut peer = joined(&subject.address, kind.peer_type(), b"").await;
        let request = message(if kind == Kind::Rep { &[b"", &[7; 50_000]] } else { &[&[7; 50_000]] });
        let flooding = async { while peer.write_all(&request).await.is_ok() {} };
        let serving = async {
            let mut served = 0;
            loop {
                subject.serves().await;
                served += 1;
                if let Some(reason) = subject.departed() {
                    return (reason, served);
                }
            }
        };
        let ((reason, served), ()) = within(async { tokio::join!(serving, flooding) }).await;
        assert!(matches!(&reason, Disconnected::Send(SendError::Stalled(_))), "{kind:?}: {reason}");
        assert!(served > 20, "{kind:?}: {served}");
        subject.takes_others_in().await;
    }))
    .await;
}

/// A publisher waits for nobody: what one does not take is dropped, and counted.
#[tokio::test]
async fn a_subscriber_that_pings_and_reads_nothing_loses_messages_and_holds_up_nobody() {
    for kind in [Kind::XPub, Kind::Pub] {
        let mark = HighWaterMark::new(20, 64 << 10);
        let mut subject = Subject::start(kind, config().with_send_mark(mark)).await;
        let mut peer = joined(&subject.address, kind.peer_type(), b"").await;
        let ping = command("PING", b"\0\x010123456789abcdef").repeat(500);
        peer.write_all(&kind.good_message("")).await.unwrap();
        let flooding = tokio::spawn(async move { while peer.write_all(&ping).await.is_ok() {} });
        // The way to it is full of answers when its messages are dropped.
        while subject.dropped.load(Ordering::Relaxed) == 0 {
            subject.serves().await;
        }
        flooding.abort();
        subject.takes_others_in().await;
    }
}

#[tokio::test]
async fn a_flood_of_pings_is_answered_or_ends_and_holds_up_nobody() {
    for kind in Kind::ALL {
        let limits = Limits::default().with_write_time(Duration::from_millis(300));
        let mut subject = Subject::start(kind, config().with_limits(limits)).await;
        let mut peer = joined(&subject.address, kind.peer_type(), b"").await;
        let pings = b"\x04\x17\x04PING\0\x000123456789abcdef".repeat(10_000);
        let flood = tokio::spawn(async move {
            // Without reading an answer.
            for _ in 0..40 {
                if peer.write_all(&pings).await.is_err() {
                    return;
                }
            }
        });
        let mut served = 0;
        while !flood.is_finished() {
            subject.serves().await;
            served += 1;
        }
        assert!(served > 0, "{kind:?}");
        subject.takes_others_in().await;
    }
}

/// What cannot be received is not read: memory for it is the stream's.
#[tokio::test]
async fn a_flood_of_messages_stops_at_the_mark_and_others_are_served() {
    let mark = HighWaterMark::new(50, 1 << 20);
    for kind in [Kind::Router, Kind::Pull, Kind::Sub, Kind::Rep] {
        let mut subject = Subject::start(kind, config().with_receive_mark(mark)).await;
        let mut peer = joined(&subject.address, kind.peer_type(), b"").await;
        let flood = kind.good_message("flood").repeat(1000);
        let flooding = tokio::spawn(async move { while peer.write_all(&flood).await.is_ok() {} });
        for _ in 0..50 {
            subject.serves().await;
        }
        subject.takes_others_in().await;
        flooding.abort();
    }
}

#[tokio::test]
async fn the_limits_of_the_socket_hold_for_messages_over_all_their_parts() {
    let limits = Limits::default().with_message(10_000).with_parts(5);
    for kind in Kind::ALL {
        let mut subject = Subject::start(kind, config().with_limits(limits.clone())).await;
        let many_small = message(&[&[0; 3000][..]; 4]);
        for (bytes, large) in [(many_small, true), (message(&[&b"x"[..]; 6]), false)] {
            let mut peer = joined(&subject.address, kind.peer_type(), b"").await;
            let _reset = peer.write_all(&bytes).await;
            let reason = subject.departure().await;
            let Disconnected::Receive(error) = &reason else { panic!("{reason}") };
            let RecvError::Framing(error) = &**error else { panic!("{reason}") };
            assert_eq!(matches!(error, FramingError::TooLarge { .. }), large, "{kind:?}: {reason}");
            assert_eq!(
                matches!(error, FramingError::TooManyParts { limit: 5 }),
                !large,
                "{kind:?}: {reason}"
            );
        }
        subject.serves().await;
    }
}
