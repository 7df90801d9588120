//! Settings of endpoints, and what is told of peers that cannot be reached or do not get in; in virtual time.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::time::Duration;

use common::{Places, config, event};
use transport_core::{BackoffConfig, ConnectError, HandshakeError, Policy};
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
