//! Clients: connections that come back by themselves.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;
use transport_core::framing::LengthPrefixed;
use transport_core::mechanism::{Passwords, PlainClient, PlainServer};
use transport_core::mem::MemTransport;
use transport_core::{
    BackoffConfig, Client, ClientConfig, ClientEnd, ClientEvent, ClientEvents, ClientSendError, ClientState,
    Connect, ConnectError, Connection, Disconnect, GaveUp, HandshakeError, Listen, Message, Policy, Server,
    ServerEvent, Transports,
};

/// Of virtual time, unless a test says otherwise: nothing takes this long unless it hangs.
const LONG: Duration = Duration::from_secs(24 * 3600);
const SECOND: Duration = Duration::from_secs(1);

fn transports() -> Transports {
    Transports::new().with(MemTransport::new())
}

async fn serve(transports: &Transports) -> Server {
    Listen::new(transports, "mem://here").policy(Policy::same_process()).start().await.unwrap()
}

fn connect(transports: &Transports) -> Connect {
    Connect::new(transports, "mem://here").server(Policy::same_process())
}

fn keep(transports: &Transports, config: ClientConfig) -> Client {
    connect(transports).keep_with(config).unwrap()
}

async fn accept(server: &mut Server) -> Connection {
    tokio::time::timeout(LONG, server.accept()).await.unwrap().unwrap()
}

async fn recv(connection: &mut Connection) -> String {
    let message = tokio::time::timeout(LONG, connection.recv()).await.unwrap().unwrap().unwrap();
    message.to_text().unwrap().to_owned()
}

async fn recv_at_client(client: &mut Client) -> String {
    let message = tokio::time::timeout(LONG, client.recv()).await.unwrap().unwrap().unwrap();
    message.to_text().unwrap().to_owned()
}

async fn next(events: &mut ClientEvents) -> ClientEvent {
    tokio::time::timeout(LONG, events.recv()).await.unwrap().expect("the client goes on")
}

async fn next_disconnect(events: &mut ClientEvents) -> ClientEvent {
    loop {
        let event = next(events).await;
        if matches!(event, ClientEvent::Disconnected { .. }) {
            return event;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_before_the_server_is_there_arrives_in_order() {
    let transports = transports();
    let client = keep(&transports, ClientConfig::default());
    for i in 0..100 {
        client.send(&i.to_string()).await.unwrap();
    }
    tokio::time::sleep(5 * SECOND).await;
    let mut server = serve(&transports).await;
    let mut connection = accept(&mut server).await;
    for i in 0..100 {
        assert_eq!(recv(&mut connection).await, i.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_comes_back_when_the_server_does_and_receives_on() {
    let transports = transports();
    let mut server = serve(&transports).await;
    let mut client = keep(&transports, ClientConfig::default());
    for round in 0..5 {
        let mut connection = accept(&mut server).await;
        connection.send(&round.to_string()).await.unwrap();
        assert_eq!(recv_at_client(&mut client).await, round.to_string());
        drop(connection);
        server.shutdown(Duration::ZERO).await;
        tokio::time::sleep(60 * SECOND).await;
        client.send(&round.to_string()).await.unwrap();
        server = serve(&transports).await;
        let mut connection = accept(&mut server).await;
        assert_eq!(recv(&mut connection).await, round.to_string());
        drop(connection);
    }
}

#[tokio::test(start_paused = true)]
async fn events_tell_the_story_in_order() {
    let transports = transports();
    let mut server = serve(&transports).await;
    let mut client = keep(&transports, ClientConfig::default());
    let mut events = client.events();
    let mut connection = accept(&mut server).await;
    assert!(matches!(next(&mut events).await, ClientEvent::Connecting { .. }));
    let connected = next(&mut events).await;
    assert!(
        matches!(&connected, ClientEvent::Connected { identity, .. } if identity.to_string() == "process")
    );
    client.send("one").await.unwrap();
    client.send("two").await.unwrap();
    assert_eq!((recv(&mut connection).await, recv(&mut connection).await), ("one".into(), "two".into()));
    connection.send("answer").await.unwrap();
    assert_eq!(recv_at_client(&mut client).await, "answer");
    tokio::time::sleep(3 * SECOND).await;
    server.shutdown(Duration::ZERO).await;
    drop(connection);
    let ClientEvent::Disconnected { reason, lasted, received, may_be_lost, kept, .. } =
        next(&mut events).await
    else {
        panic!("the connection is lost");
    };
    assert!(matches!(reason, Disconnect::ByServer));
    assert_eq!((lasted, received, may_be_lost, kept), (3 * SECOND, 1, 2, 0));
    assert!(matches!(next(&mut events).await, ClientEvent::Waiting { time } if time <= SECOND));
    assert!(matches!(next(&mut events).await, ClientEvent::Connecting { .. }));
    let failed = next(&mut events).await;
    assert!(matches!(
        failed,
        ClientEvent::ConnectFailed { error, again: true, .. } if matches!(&*error, ConnectError::Transport(_))
    ));
    assert!(matches!(next(&mut events).await, ClientEvent::Waiting { .. }));
    drop(client);
    let last = loop {
        match events.recv().await {
            Some(ClientEvent::Closed { unsent }) => break unsent,
            Some(_) => {}
            None => panic!("the end is told"),
        }
    };
    assert_eq!(last, 0);
    assert!(events.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_holds_senders_up_until_there_is_room() {
    let transports = transports();
    let client = keep(&transports, ClientConfig::default().with_queue_messages(3));
    for i in 0..3 {
        client.send(&i.to_string()).await.unwrap();
    }
    assert!(tokio::time::timeout(60 * SECOND, client.send("held up")).await.is_err());
    assert_eq!(client.handle().queued(), 3);
    let handle = client.handle();
    let sending = tokio::spawn(async move { handle.send("3").await });
    let mut server = serve(&transports).await;
    let mut connection = accept(&mut server).await;
    for i in 0..4 {
        assert_eq!(recv(&mut connection).await, i.to_string());
    }
    sending.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_an_error_after_the_time_that_was_set() {
    let transports = transports();
    let config = ClientConfig::default().with_queue_bytes(1000).with_queue_time(5 * SECOND);
    let client = keep(&transports, config);
    client.send(&[0; 2000]).await.unwrap();
    let start = Instant::now();
    let error = client.send("one more").await.unwrap_err();
    assert!(matches!(error, ClientSendError::Full(time) if time == 5 * SECOND), "{error}");
    assert_eq!(start.elapsed(), 5 * SECOND);
    assert!(matches!(client.handle().try_send("one more"), Err(ClientSendError::Full(_))));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_the_policy_denies_ends_the_client() {
    let transports = transports();
    let _server = serve(&transports).await;
    let mut client = Connect::new(&transports, "mem://here").keep().unwrap();
    let mut events = client.events();
    let Err(GaveUp::ForGood(error)) = client.recv().await else {
        panic!("the client gives up");
    };
    assert!(matches!(&*error, ConnectError::Handshake(HandshakeError::Denied(_))), "{error}");
    let sent = client.send("too late").await;
    assert!(matches!(sent, Err(ClientSendError::Ended(ClientEnd::GaveUp(_)))), "{sent:?}");
    assert!(matches!(client.state(), ClientState::GaveUp(_)));
    assert!(client.connected().await.is_err());
    assert!(matches!(next(&mut events).await, ClientEvent::Connecting { .. }));
    assert!(matches!(next(&mut events).await, ClientEvent::ConnectFailed { again: false, .. }));
    assert!(matches!(next(&mut events).await, ClientEvent::GaveUp { unsent: 0, .. }));
    assert!(events.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_this_side_ends_the_client_and_what_waits_comes_back() {
    let transports = transports();
    let plain = PlainServer::new(Passwords::new().with_user("alice", "right"));
    let listen = Listen::new(&transports, "mem://here").policy(Policy::user("alice")).mechanism(plain);
    let _server = listen.start().await.unwrap();
    let mechanism = PlainClient::new("alice", "wrong").unwrap();
    let mut client = connect(&transports).mechanism(mechanism).keep().unwrap();
    client.send("unsent").await.unwrap();
    let Err(GaveUp::ForGood(error)) = client.recv().await else {
        panic!("the client gives up");
    };
    let ConnectError::Handshake(HandshakeError::RefusedByPeer { reason }) = &*error else {
        panic!("{error}");
    };
    assert_eq!(reason, "400");
    assert_eq!(client.close(SECOND).await, [Message::from("unsent")]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_finds_no_place_keeps_what_it_sends_and_comes_again() {
    let transports = transports();
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let listen = Listen::new(&transports, "mem://here").policy(Policy::same_process());
    let listen = listen.admission(move |identity, claims| {
        assert_eq!(
            (identity.to_string(), claims.text("Socket-Type")),
            ("process".to_owned(), Some("DEALER"))
        );
        if count.fetch_add(1, Ordering::Relaxed) < 3 { Err("full".into()) } else { Ok(()) }
    });
    let mut server = listen.start().await.unwrap();
    let mut events = server.events();
    let mut client = keep(&transports, ClientConfig::default());
    let mut refusals = client.events();
    client.send("kept").await.unwrap();
    let mut connection = accept(&mut server).await;
    assert_eq!(recv(&mut connection).await, "kept");
    for _ in 0..3 {
        let Some(ServerEvent::Refused { reason, .. }) = events.recv().await else { panic!("it was refused") };
        let HandshakeError::NoPlace(source) = &*reason else { panic!("{reason}") };
        assert_eq!((reason.name(), source.to_string()), ("no_place", "full".to_owned()));
        let error = loop {
            if let ClientEvent::ConnectFailed { error, .. } = next(&mut refusals).await {
                break error;
            }
        };
        assert!(matches!(&*error, ConnectError::Handshake(HandshakeError::Closed)), "{error}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn mistakes_in_the_settings_show_at_once() {
    let transports = transports();
    let mistake = |address, fallback| {
        let config = ClientConfig::default().with_fallback(fallback);
        Connect::new(&transports, address).keep_with(config).err()
    };
    assert!(matches!(mistake("nonsense", "mem://b"), Some(ConnectError::Address(_))));
    assert!(matches!(mistake("mem://a", "nonsense"), Some(ConnectError::Address(_))));
    assert!(matches!(mistake("mem://a", "udp://b:1"), Some(ConnectError::Scheme(_))));
    assert!(mistake("mem://a", "mem://b").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_client_gives_up_when_it_was_told_to_and_says_why_the_last_attempt_failed() {
    let transports = transports();
    let start = Instant::now();
    let mut client = keep(&transports, ClientConfig::default().with_give_up_after(90 * SECOND));
    let error = client.recv().await.unwrap_err();
    assert_eq!(start.elapsed(), 90 * SECOND);
    let GaveUp::TooLong { time, last: Some(_) } = &error else { panic!("{error}") };
    assert_eq!(*time, 90 * SECOND);
    assert!(std::error::Error::source(&error).is_some());
}

#[tokio::test(start_paused = true)]
async fn waits_stay_below_their_ceilings_and_grow() {
    let transports = transports();
    let backoff = BackoffConfig::default().with_first(SECOND).with_longest(8 * SECOND).with_seed(7);
    let mut client = keep(&transports, ClientConfig::default().with_backoff(backoff));
    let mut events = client.events();
    let mut waits = Vec::new();
    while waits.len() < 40 {
        if let ClientEvent::Waiting { time } = next(&mut events).await {
            waits.push(time);
        }
    }
    for (wait, ceiling) in waits.iter().zip([1, 2, 4].into_iter().chain(std::iter::repeat(8))) {
        assert!(*wait <= ceiling * SECOND, "{waits:?}");
    }
    assert!(waits.iter().any(|wait| *wait > 4 * SECOND), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn waits_start_small_again_only_after_a_connection_that_lasted() {
    let transports = transports();
    let backoff = BackoffConfig::default().with_first(SECOND).with_longest(1000 * SECOND);
    let config = ClientConfig::default().with_backoff(backoff.with_stable_after(10 * SECOND));
    let mut client = keep(&transports, config);
    let mut events = client.events();
    // A server that throws everyone out at once is no better than none.
    let mut server = serve(&transports).await;
    let mut longest = Duration::ZERO;
    for _ in 0..12 {
        drop(accept(&mut server).await);
        while !matches!(next(&mut events).await, ClientEvent::Disconnected { .. }) {}
        let ClientEvent::Waiting { time } = next(&mut events).await else { panic!("it waits") };
        longest = longest.max(time);
    }
    assert!(longest > 16 * SECOND, "{longest:?}");
    let connection = accept(&mut server).await;
    tokio::time::sleep(10 * SECOND).await;
    drop(connection);
    while !matches!(next(&mut events).await, ClientEvent::Disconnected { .. }) {}
    let ClientEvent::Waiting { time } = next(&mut events).await else { panic!("it waits") };
    assert!(time <= SECOND, "{time:?}");
}

#[tokio::test(start_paused = true)]
async fn of_several_addresses_the_first_that_lives_is_used_without_waiting() {
    let transports = transports();
    let listen = Listen::new(&transports, "mem://third").policy(Policy::same_process());
    let mut third = listen.start().await.unwrap();
    let config = ClientConfig::default().with_fallback("mem://second").with_fallback("mem://third");
    let start = Instant::now();
    let client = keep(&transports, config);
    let connection = accept(&mut third).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    client.connected().await.unwrap();
    assert!(
        matches!(client.state(), ClientState::Connected { address, .. } if address.to_string() == "mem://third")
    );
    // After a good connection the first address is preferred again.
    let mut first = serve(&transports).await;
    tokio::time::sleep(60 * SECOND).await;
    drop(connection);
    let _connection = accept(&mut first).await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_no_use_is_given_up_alone() {
    let transports = transports();
    let plain = PlainServer::new(Passwords::new().with_user("alice", "right"));
    let listen = Listen::new(&transports, "mem://here").policy(Policy::user("alice")).mechanism(plain);
    let _other = listen.start().await.unwrap();
    let mut client = keep(&transports, ClientConfig::default().with_fallback("mem://second"));
    let mut events = client.events();
    let listen = Listen::new(&transports, "mem://second").policy(Policy::same_process());
    let mut tries = 0;
    while let ClientEvent::Connecting { .. }
    | ClientEvent::Waiting { .. }
    | ClientEvent::ConnectFailed { .. } = next(&mut events).await
    {
        tries += 1;
        if tries == 20 {
            break;
        }
    }
    let mut second = listen.start().await.unwrap();
    let _connection = accept(&mut second).await;
}

#[tokio::test(start_paused = true)]
async fn closing_sends_what_waits_first() {
    let transports = transports();
    let client = keep(&transports, ClientConfig::default());
    let handle = client.handle();
    for i in 0..10 {
        client.send(&i.to_string()).await.unwrap();
    }
    let closing = tokio::spawn(client.close(60 * SECOND));
    tokio::time::sleep(SECOND).await;
    let sent = handle.send("too late").await;
    assert!(matches!(sent, Err(ClientSendError::Ended(ClientEnd::Closed))), "{sent:?}");
    let mut server = serve(&transports).await;
    let mut connection = accept(&mut server).await;
    for i in 0..10 {
        assert_eq!(recv(&mut connection).await, i.to_string());
    }
    assert!(connection.recv().await.unwrap().is_none());
    assert!(closing.await.unwrap().is_empty());
    assert!(matches!(handle.state(), ClientState::Closed));
}

#[tokio::test(start_paused = true)]
async fn closing_gives_up_after_its_time_and_returns_what_waits() {
    let transports = transports();
    let client = keep(&transports, ClientConfig::default());
    client.send("one").await.unwrap();
    client.send("two").await.unwrap();
    let start = Instant::now();
    assert_eq!(client.close(7 * SECOND).await, [Message::from("one"), Message::from("two")]);
    assert_eq!(start.elapsed(), 7 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn closing_with_nothing_to_send_does_not_wait_for_a_server() {
    let transports = transports();
    let client = keep(&transports, ClientConfig::default());
    tokio::time::sleep(10 * SECOND).await;
    let start = Instant::now();
    assert!(client.close(LONG).await.is_empty());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_handle_can_close_the_client_and_recv_ends_after_what_has_arrived() {
    let transports = transports();
    let mut server = serve(&transports).await;
    let mut client = keep(&transports, ClientConfig::default());
    let mut connection = accept(&mut server).await;
    connection.send("last").await.unwrap();
    client.connected().await.unwrap();
    tokio::time::sleep(SECOND).await;
    let handle = client.handle();
    let closing = tokio::spawn(async move { handle.close(SECOND).await });
    assert!(connection.recv().await.unwrap().is_none());
    drop(connection);
    assert!(closing.await.unwrap().is_empty());
    assert_eq!(recv_at_client(&mut client).await, "last");
    assert!(client.recv().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_close_goes_on_and_a_further_one_waits_for_it() {
    let transports = transports();
    let client = keep(&transports, ClientConfig::default());
    let handle = client.handle();
    client.send("kept").await.unwrap();
    let start = Instant::now();
    assert!(tokio::time::timeout(SECOND, handle.close(5 * SECOND)).await.is_err());
    assert!(tokio::time::timeout(SECOND, client.connected()).await.is_err());
    assert_eq!(handle.close(LONG).await, [Message::from("kept")]);
    assert_eq!(start.elapsed(), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_waits_between_attempts_lets_others_have_their_turn() {
    let transports = transports();
    let backoff = BackoffConfig::default().with_first(Duration::ZERO);
    let client = keep(&transports, ClientConfig::default().with_backoff(backoff));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(client.close(Duration::ZERO).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_client_closes_the_connection_and_ends_its_handles() {
    let transports = transports();
    let mut server = serve(&transports).await;
    let client = keep(&transports, ClientConfig::default());
    let mut connection = accept(&mut server).await;
    client.connected().await.unwrap();
    let handle = client.handle();
    drop(client);
    assert!(tokio::time::timeout(LONG, connection.recv()).await.unwrap().unwrap().is_none());
    assert!(matches!(handle.send("x").await, Err(ClientSendError::Ended(ClientEnd::Closed))));
    assert!(matches!(handle.connected().await, Err(ClientEnd::Closed)));
    assert!(handle.events().recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_send_has_queued_nothing_and_a_dropped_recv_loses_nothing() {
    let transports = transports();
    let mut client = keep(&transports, ClientConfig::default().with_queue_messages(1));
    client.send("first").await.unwrap();
    for _ in 0..10 {
        assert!(tokio::time::timeout(SECOND, client.send("never")).await.is_err());
        assert!(tokio::time::timeout(SECOND, client.recv()).await.is_err());
    }
    let mut server = serve(&transports).await;
    let mut connection = accept(&mut server).await;
    assert_eq!(recv(&mut connection).await, "first");
    client.send("second").await.unwrap();
    assert_eq!(recv(&mut connection).await, "second");
    for i in 0..100 {
        let mut waiting = Box::pin(client.recv());
        assert!((&mut waiting).now_or_never().is_none());
        connection.send(&i.to_string()).await.unwrap();
        tokio::time::sleep(SECOND).await;
        // It has been woken for the message.
        drop(waiting);
        assert_eq!(recv_at_client(&mut client).await, i.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn flush_waits_until_the_stream_has_taken_everything() {
    let transports = transports();
    let client = keep(&transports, ClientConfig::default());
    client.send("one").await.unwrap();
    let handle = client.handle();
    assert!(tokio::time::timeout(60 * SECOND, handle.flush()).await.is_err());
    let mut server = serve(&transports).await;
    let mut connection = accept(&mut server).await;
    handle.flush().await.unwrap();
    assert_eq!(handle.queued(), 0);
    assert_eq!(recv(&mut connection).await, "one");
}

#[tokio::test(start_paused = true)]
async fn flush_waits_for_what_was_queued_before_a_message_that_cannot_be_carried() {
    let transports = transports();
    let listen =
        Listen::new(&transports, "mem://here").policy(Policy::same_process()).framing(LengthPrefixed);
    let mut server = listen.start().await.unwrap();
    let mut client = connect(&transports).framing(LengthPrefixed).keep().unwrap();
    let (handle, mut events) = (client.handle(), client.events());
    // More than the pipe takes, and less than keeps the next one from being encoded.
    client.send(&[0; 100_000][..]).await.unwrap();
    let mut flushing = Box::pin(handle.flush());
    assert!((&mut flushing).now_or_never().is_none());
    client.send(&["two", "parts"].into_iter().collect::<Message>()).await.unwrap();
    while !matches!(next(&mut events).await, ClientEvent::Unencodable { .. }) {}
    assert!(tokio::time::timeout(SECOND, &mut flushing).await.is_err(), "the first one has not left");
    let mut connection = accept(&mut server).await;
    assert_eq!(connection.recv().await.unwrap().unwrap().byte_count(), 100_000);
    tokio::time::timeout(LONG, flushing).await.unwrap().unwrap();
    handle.flush().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_framing_cannot_carry_is_told_and_the_others_go_on() {
    let transports = transports();
    let listen =
        Listen::new(&transports, "mem://here").policy(Policy::same_process()).framing(LengthPrefixed);
    let mut server = listen.start().await.unwrap();
    let mut client = connect(&transports).framing(LengthPrefixed).keep().unwrap();
    let mut events = client.events();
    client.send("one").await.unwrap();
    client.send(&["two", "parts"].into_iter().collect::<Message>()).await.unwrap();
    client.send("three").await.unwrap();
    client.handle().flush().await.unwrap();
    let mut connection = accept(&mut server).await;
    assert_eq!((recv(&mut connection).await, recv(&mut connection).await), ("one".into(), "three".into()));
    while !matches!(next(&mut events).await, ClientEvent::Unencodable { .. }) {}
    drop(connection);
    let lost = next_disconnect(&mut events).await;
    assert!(matches!(lost, ClientEvent::Disconnected { may_be_lost: 2, kept: 0, .. }), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_receives_nothing_is_held_up_and_loses_nothing() {
    let transports = transports();
    let mut server = serve(&transports).await;
    let mut client = keep(&transports, ClientConfig::default());
    let mut connection = accept(&mut server).await;
    let mut sent = 0;
    while tokio::time::timeout(SECOND, connection.send(&vec![7; 10_000])).await.is_ok() {
        sent += 1;
        assert!(sent < 1000, "somewhere there is an end");
    }
    let sending = tokio::spawn(async move {
        connection.flush().await.unwrap();
        connection.send("end").await.unwrap();
        connection
    });
    let mut received = 0;
    while client.recv().await.unwrap().unwrap()[0].len() == 10_000 {
        received += 1;
    }
    // The one that the last, dropped `send` had queued went out too.
    assert_eq!(received, sent + 1);
    sending.await.unwrap();
}

#[test]
fn a_client_ends_with_its_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let client = {
        let _inside = first.enter();
        keep(&transports(), ClientConfig::default())
    };
    drop(first);
    runtime().block_on(async move {
        let ended = tokio::time::timeout(30 * SECOND, client.connected()).await.unwrap();
        assert!(matches!(ended, Err(ClientEnd::Closed)));
        assert!(matches!(client.send("x").await, Err(ClientSendError::Ended(ClientEnd::Closed))));
    });
}
