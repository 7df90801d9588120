//! Sockets of the crate `zeromq` behind our messages, policy and limits.
#![cfg(feature = "zeromq")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::time::Duration;

use bytes::Bytes;
use transport_core::tcp::TcpTransport;
use transport_core::{Connection, Limits, Listen, Message, Policy, Server, Transports};
use transport_zmq::zeromq::{Adapter, AdapterError, from_zeromq, to_zeromq};
use zeromq::{DealerSocket, Socket as _};

#[tokio::test]
async fn messages_pass_both_ways_with_all_their_parts() {
    let (mut adapter, mut served, _server) = pair(Limits::default()).await;
    let message: Message = ["text", "", "more"].into_iter().collect();
    adapter.send(&message).await.unwrap();
    assert_eq!(bounded(served.recv()).await.unwrap().unwrap(), message);
    served.send(&message).await.unwrap();
    assert_eq!(bounded(adapter.recv()).await.unwrap(), message);
}

#[tokio::test]
async fn a_policy_that_wants_to_know_who_is_there_refuses_the_socket() {
    for policy in [Policy::nobody(), Policy::same_user(), Policy::user("alice")] {
        let denied = Adapter::new(DealerSocket::new(), &policy).err().unwrap();
        assert!(denied.to_string().contains("anonymous"), "{denied}");
    }
}

#[tokio::test]
async fn a_message_beyond_the_limits_is_dropped_and_the_next_one_received() {
    let limits = Limits::default().with_message(10).with_parts(2);
    let (mut adapter, mut served, _server) = pair(limits).await;
    served.send("more than ten bytes").await.unwrap();
    served.send(&["a", "b", "c"].into_iter().collect::<Message>()).await.unwrap();
    served.send("fits").await.unwrap();
    for expected in [(19, 1), (3, 3)] {
        match bounded(adapter.recv()).await {
            Err(AdapterError::TooLarge { bytes, parts }) => assert_eq!((bytes, parts), expected),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bounded(adapter.recv()).await.unwrap().to_text(), Some("fits"));
}

#[test]
fn a_message_becomes_the_other_crates_and_back_without_a_copy() {
    let part = Bytes::from(vec![7; 1000]);
    let there = to_zeromq(&Message::new(part.clone()));
    let back = from_zeromq(there);
    assert_eq!(back[0].as_ptr(), part.as_ptr());
}

async fn pair(limits: Limits) -> (Adapter<DealerSocket>, Connection, Server) {
    let transports = Transports::new().with(TcpTransport::new());
    let listen = Listen::new(&transports, "tcp://127.0.0.1:0").policy(Policy::danger_anyone());
    let mut server = listen.start().await.unwrap();
    let mut socket = DealerSocket::new();
    bounded(socket.connect(&server.local_address().to_string())).await.unwrap();
    let served = bounded(server.accept()).await.unwrap();
    (Adapter::new(socket, &Policy::danger_anyone()).unwrap().with_limits(limits), served, server)
}

async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it hangs")
}
