//! Endpoints: their settings and spellings, and what is told of peers that cannot be reached or do not get in.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use common::{Places, config, event, within};
use transport_core::{Address, BackoffConfig, ConnectError, HandshakeError, Policy};
use transport_zmq::{DealerSocket, HighWaterMark, PullSocket, PushSocket, SocketConfig, SocketEvent};

#[test]
fn without_settings_everything_has_a_bound() {
    let config = SocketConfig::new(Policy::same_user());
    assert_eq!(config.send_mark, HighWaterMark::new(1000, 4 << 20));
    assert_eq!(config.receive_mark, config.send_mark);
    assert_eq!(config.linger, Duration::from_secs(30));
    assert_eq!((config.limits.message, config.limits.parts), (16 << 20, 1024));
    assert_eq!(config.limits.handshake_time, Duration::from_secs(5));
    assert!(!config.immediate && !config.conflate && config.routing_id.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_not_there_is_tried_again_at_growing_intervals_until_it_is() {
    let places = Places::new();
    let backoff = BackoffConfig::default();
    let longest = Duration::from_secs(5);
    let mut push =
        PushSocket::new(&places.transports, config().with_reconnect(backoff.with_longest(longest)));
    let mut events = push.events();
    push.connect("inproc://later").unwrap();
    let start = tokio::time::Instant::now();
    let mut waited = Duration::ZERO;
    for _ in 0..20 {
        let retry_in = event(&mut events, |event| match event {
            SocketEvent::ConnectFailed { error, retry_in, .. } => {
                assert!(matches!(*error, ConnectError::Transport(_)), "{error}");
                Some(retry_in)
            }
            _ => None,
        });
        // Each is tried when the one before said.
        let elapsed = start.elapsed();
        let wait = retry_in.await.unwrap();
        assert!(wait <= longest && start.elapsed() - elapsed <= longest, "{wait:?}");
        waited += wait;
    }
    assert!(waited > longest, "{waited:?}");
    let mut pull = PullSocket::new(&places.transports, config());
    pull.bind("inproc://later").await.unwrap();
    push.send("at last").await.unwrap();
    assert_eq!(pull.recv().await.to_text(), Some("at last"));
}

#[tokio::test(start_paused = true)]
async fn both_sides_are_told_why_a_handshake_failed_and_what_does_not_mend_itself_is_not_tried_again() {
    let places = Places::new();
    let denies = SocketConfig::new(Policy::uid(4711));
    let bound = PullSocket::new(&places.transports, denies.clone());
    let connecting = DealerSocket::new(&places.transports, denies);
    let (mut there, mut here) = (bound.events(), connecting.events());
    let address = bound.bind("inproc://picky").await.unwrap();

    // The connecting side's policy does not allow the server.
    connecting.connect(&address).unwrap();
    let (error, retry_in) = event(&mut here, |event| match event {
        SocketEvent::ConnectFailed { error, retry_in, .. } => Some((error, retry_in)),
        _ => None,
    })
    .await;
    let ConnectError::Handshake(reason) = &*error else { panic!("{error:?}") };
    assert!(matches!(reason, HandshakeError::Denied { .. }), "{reason:?}");
    assert_eq!(retry_in, None);

    // The bound side's does not allow the client; of the other one it was told that it hung up.
    let push = PushSocket::new(&places.transports, config());
    push.connect(&address).unwrap();
    for hung_up in [true, false] {
        let reason = event(&mut there, |event| match event {
            SocketEvent::HandshakeFailed { reason, .. } => Some(reason),
            _ => None,
        });
        let reason = reason.await;
        assert_eq!(matches!(*reason, HandshakeError::Closed), hung_up, "{reason:?}");
        assert_eq!(matches!(*reason, HandshakeError::Denied { .. }), !hung_up, "{reason:?}");
    }
}

#[tokio::test]
async fn a_place_that_is_made_for_a_socket_is_private_told_and_gone_with_it() {
    let places = Places::new();
    let mut pull = PullSocket::new(&places.transports, config());
    let (one, other) = (pull.bind("ipc://*").await.unwrap(), pull.bind("ipc://*").await.unwrap());
    assert_ne!(one, other);
    let folder = |address: &Address| address.path().unwrap().parent().unwrap().to_owned();
    for address in [&one, &other] {
        assert_eq!(folder(address).metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let mut push = PushSocket::new(&places.transports, config());
        push.connect(address).unwrap();
        push.send("here").await.unwrap();
        assert_eq!(within(pull.recv()).await.to_text(), Some("here"));
        within(push.close()).await;
    }
    pull.unbind(&one).await.unwrap();
    within(async {
        while folder(&one).exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert!(folder(&other).exists());
    within(pull.close()).await;
    assert!(!folder(&other).exists());

    let error = PullSocket::new(&places.transports, config()).connect("ipc://*").unwrap_err();
    assert_eq!(
        error.to_string(),
        "ipc://* names no place until a socket is bound there; use the address that bind has told"
    );
}
