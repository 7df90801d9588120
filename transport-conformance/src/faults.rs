//! Streams that break, crumble, stall and fall silent: what connections over this transport make of it.

use std::time::Duration;

use transport_core::framing::{FramingError, Role};
use transport_core::test_util::{Direction, FaultControl, FaultPlan, FaultyTransport};
use transport_core::{
    Connect, Connection, Limits, Listen, Message, Policy, RecvError, SendError, Server, ServerEvent,
    ServerEvents, Transports,
};

use crate::establish::{parse, transport};
use crate::harness::Harness;
use crate::pattern::numbered;

/// A client's stream ends after 0, 1, 2 ... bytes: during the handshake the server refuses it, within the message it says that
/// it was truncated, and never does a part of a message pass for one.
pub async fn a_stream_that_ends_at_any_byte_is_noticed(harness: impl Harness) {
    let found =
        break_at_each_byte(&harness, |bytes| FaultPlan::new().outgoing(Direction::new().end_after(bytes)));
    let Found { refused, ended, truncated, failed } = found.await;
    assert!(refused > 64, "more than a greeting: {refused}");
    assert_eq!((ended, failed), (1, 0), "the one place between the handshake and the message");
    assert_eq!(truncated, 46, "within the message, its heads and its parts");
}

/// The same for a stream that is reset.
pub async fn a_stream_that_is_reset_at_any_byte_is_noticed(harness: impl Harness) {
    let found =
        break_at_each_byte(&harness, |bytes| FaultPlan::new().outgoing(Direction::new().reset_after(bytes)));
    let Found { refused, ended, truncated, failed } = found.await;
    assert!(refused > 64, "more than a greeting: {refused}");
    // Which end it is depends on what the transport tells its other end, and at the place between the handshake and the
    // message the server may find that its last word cannot be said.
    assert!((46..=47).contains(&(ended + truncated + failed)), "{ended}, {truncated}, {failed}");
}

/// Messages of many shapes are read and written in pieces of a few bytes, through connections and halves.
pub async fn messages_pass_in_pieces_of_any_size(harness: impl Harness) {
    let Faulty { transports, faults, address } = faulty(&harness);
    let mut server = serve(&transports, &address, Limits::default()).await;
    for most in [1, 2, 7, 100] {
        let pieces = move || Direction::new().in_pieces(most);
        faults.plan(move |_, _| FaultPlan::new().incoming(pieces()).outgoing(pieces()));
        let (mut near, mut far) = meet(&transports, &mut server, Limits::default()).await;
        let echo = tokio::spawn(async move {
            while let Some(message) = far.recv().await.expect("recv") {
                far.send(&message).await.expect("send back");
            }
        });
        let shapes = || {
            let numbers = [0, 1, 254, 255, 256, 5000].into_iter().enumerate();
            numbers
                .map(|(number, length)| numbered(number, length))
                .chain([["", "", ""].into_iter().collect()])
        };
        for message in shapes() {
            near.send(&message).await.expect("send");
            assert!(near.recv().await.expect("recv") == Some(message), "in pieces of {most}");
        }
        let (sender, mut receiver) = near.split();
        for message in shapes() {
            sender.send(&message).await.expect("send");
            assert!(receiver.recv().await.expect("recv") == Some(message), "in pieces of {most}");
        }
        drop((sender, receiver));
        echo.await.expect("the echo ends with its peer");
    }
}

/// A stream that takes no byte for the write time is given up, by connections and by halves.
pub async fn a_stream_that_takes_nothing_is_given_up(harness: impl Harness) {
    let limits = || Limits::default().with_write_time(Duration::from_millis(100));
    let Faulty { transports, faults, address } = faulty(&harness);
    let mut server = serve(&transports, &address, limits()).await;
    faults.plan(|role, _| match role {
        Role::Client => FaultPlan::new().outgoing(Direction::new().stall_after(1000, Duration::MAX)),
        Role::Server => FaultPlan::new(),
    });
    let message = Message::new(vec![0; 500]);
    let (mut near, _far) = meet(&transports, &mut server, limits()).await;
    let error = loop {
        if let Err(error) = near.send(&message).await {
            break error;
        }
    };
    assert!(matches!(error, SendError::Stalled(_)), "{error}");

    let (near, _far) = meet(&transports, &mut server, limits()).await;
    let (sender, _receiver) = near.split();
    let error = loop {
        if let Err(error) = async { sender.send(&message).await.and(sender.flush().await) }.await {
            break error;
        }
    };
    assert!(matches!(error, SendError::Stalled(_)), "{error}");
}

/// When nothing gets through any more, and nobody is told, heartbeats find out at both ends.
pub async fn a_peer_that_falls_silent_is_given_up(harness: impl Harness) {
    let limits = || {
        let limits = Limits::default().with_ping_after(Duration::from_millis(50));
        limits.with_dead_after(Duration::from_millis(200))
    };
    let Faulty { transports, faults, address } = faulty(&harness);
    let mut server = serve(&transports, &address, limits()).await;
    // Nothing is sent before: on a busy machine so short a time may pass without a word before it arrives.
    let (mut near, mut far) = meet(&transports, &mut server, limits()).await;
    faults.partition(true);
    let (near, far) = tokio::join!(near.recv(), far.recv());
    for received in [near, far] {
        assert!(matches!(received, Err(RecvError::Framing(FramingError::Silent { .. }))), "{received:?}");
    }
}

/// How often a connection came to which end.
#[derive(Default)]
struct Found {
    refused: u32,
    ended: u32,
    truncated: u32,
    failed: u32,
}

/// Connects and sends a message of 40 bytes in two parts, again and again over a stream that breaks one byte later each
/// time, until the message arrives.
async fn break_at_each_byte(harness: &impl Harness, plan: fn(u64) -> FaultPlan) -> Found {
    let Faulty { transports, faults, address } = faulty(harness);
    let mut server = serve(&transports, &address, Limits::default()).await;
    let mut events = server.events();
    let address = server.local_address().to_string();
    let message = numbered(123, 40);
    let mut found = Found::default();
    for bytes in 0.. {
        faults.plan(move |role, _| if role == Role::Client { plan(bytes) } else { FaultPlan::new() });
        let client = async {
            // Whatever this side finds: it is the server that is looked at.
            if let Ok(mut near) = connect(&transports, &address, Limits::default()).await {
                let _broken = near.send(&message).await;
                let _broken = near.close().await;
            }
        };
        let accepted = async {
            tokio::select! {
                biased;
                accepted = server.accept() => Some(accepted.expect("the server goes on").recv().await),
                () = refusal(&mut events) => None,
            }
        };
        match tokio::join!(client, accepted).1 {
            None => found.refused += 1,
            Some(Ok(None)) => found.ended += 1,
            Some(Err(RecvError::Truncated)) => found.truncated += 1,
            Some(Err(_)) => found.failed += 1,
            Some(Ok(Some(received))) => {
                assert!(received == message, "a part of the message passed for one");
                break;
            }
        }
    }
    found
}

/// The transport with faults around it.
struct Faulty {
    transports: Transports,
    faults: FaultControl,
    address: String,
}

fn faulty(harness: &impl Harness) -> Faulty {
    let address = harness.address();
    let faulty = FaultyTransport::new(transport(harness, &parse(&address)));
    let faults = faulty.control();
    Faulty { transports: Transports::new().with(faulty), faults, address }
}

async fn serve(transports: &Transports, address: &str, limits: Limits) -> Server {
    let listen = Listen::new(transports, address).policy(Policy::danger_anyone()).limits(limits);
    listen.start().await.expect("listen at a fresh address")
}

fn connect(transports: &Transports, address: &str, limits: Limits) -> Connect {
    Connect::new(transports, address).server(Policy::danger_anyone()).limits(limits)
}

/// Both ends of a connection: the connecting one first.
async fn meet(transports: &Transports, server: &mut Server, limits: Limits) -> (Connection, Connection) {
    let address = server.local_address().to_string();
    let (near, far) = tokio::join!(connect(transports, &address, limits), server.accept());
    (near.expect("connect"), far.expect("the server goes on"))
}

async fn refusal(events: &mut ServerEvents) {
    loop {
        if let ServerEvent::Refused { .. } = events.recv().await.expect("the server goes on") {
            return;
        }
    }
}
