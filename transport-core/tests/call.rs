//! Calls: replies in any order, deadlines, cancellation, back-pressure, and peers that do not keep to the protocol.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::runtime::Builder;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use transport_core::call::{
    self, CallError, CallLimits, CallProtocolError, Caller, CallsEnded, ErrorReply, LoneCaller, ServeError,
};
use transport_core::framing::LengthPrefixed;
use transport_core::mem::MemTransport;
use transport_core::{Connect, Connection, Listen, Message, Policy, Transports};

const SOON: Duration = Duration::from_secs(30);
const CALL: u8 = 1;
const REPLY: u8 = 2;
const ERROR: u8 = 3;
const CANCEL: u8 = 4;

/// The side that connected and the side that accepted.
async fn pair() -> (Connection, Connection) {
    let transports = Transports::new().with(MemTransport::new());
    let mut server =
        Listen::new(&transports, "mem://call").policy(Policy::same_process()).start().await.unwrap();
    let client = Connect::new(&transports, "mem://call").server(Policy::same_process()).await.unwrap();
    (client, server.accept().await.unwrap())
}

type Served = JoinHandle<Result<(), ServeError>>;

/// A caller, and a server of an async handler.
async fn serving<F>(
    limits: CallLimits,
    handler: impl FnMut(Message) -> F + Send + 'static,
) -> (Caller, Served)
where
    F: Future<Output = Result<Message, ErrorReply>> + Send + 'static,
{
    let (client, accepted) = pair().await;
    let served = tokio::spawn(call::serve(accepted, limits.clone(), handler));
    (Caller::new(client, limits), served)
}

/// A caller, and the other side to be played by hand.
async fn by_hand(limits: CallLimits) -> (Caller, Connection) {
    let (client, accepted) = pair().await;
    (Caller::new(client, limits), accepted)
}

/// A call as the side that answers sees it.
async fn next_call(connection: &mut Connection) -> (Vec<u8>, Message) {
    let message = timeout(SOON, connection.recv()).await.unwrap().unwrap().unwrap();
    (message[0].to_vec(), message.parts()[1..].iter().cloned().collect())
}

fn with_kind(kind: u8, head: &[u8], body: &str) -> Message {
    let head: Vec<u8> = [&[kind], &head[1..]].concat();
    [head, body.as_bytes().to_vec()].into_iter().collect()
}

fn text(message: &Message) -> &str {
    message.to_text().unwrap()
}

async fn until(mut done: impl FnMut() -> bool) {
    timeout(SOON, async {
        while !done() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it comes to pass");
}

#[tokio::test]
async fn a_call_is_answered_and_so_are_messages_of_many_parts_and_sizes() {
    let (caller, served) = serving(CallLimits::default(), async |request| Ok(request)).await;
    let many: Message = (0..20u8).map(|part| vec![part; usize::from(part)]).collect();
    let large: Message = [vec![1; 300_000], vec![2; 17_000], vec![3; 3]].into_iter().collect();
    for message in [Message::from("ping"), Message::from(""), many, large] {
        assert_eq!(caller.call(&message).await.unwrap(), message);
    }
    caller.close().await.unwrap();
    timeout(SOON, served).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_call_at_once_and_each_gets_its_own_reply() {
    let (caller, _served) = serving(CallLimits::default().with_calls(64), async |request: Message| {
        // Some are ready at once, some later, and not in the order of their calls.
        for _ in 0..request[0][0] % 5 {
            tokio::task::yield_now().await;
        }
        Ok(request)
    })
    .await;
    let tasks = (0..200u8).map(|number| {
        let caller = caller.clone();
        tokio::spawn(async move {
            for round in 0..50u8 {
                assert_eq!(caller.call(&[number, round]).await.unwrap()[0], [number, round][..]);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        timeout(SOON, task).await.unwrap().unwrap();
    }
    assert_eq!((caller.count(), caller.stray_replies()), (0, 0));
}

#[tokio::test]
async fn replies_come_in_any_order() {
    let (caller, mut server) = by_hand(CallLimits::default()).await;
    let answering = async {
        let mut calls = Vec::new();
        for _ in 0..10 {
            calls.push(next_call(&mut server).await);
        }
        for (head, body) in calls.iter().rev() {
            server.send(&with_kind(REPLY, head, &format!("to {}", text(body)))).await.unwrap();
        }
    };
    let calling = async {
        let calls: Vec<_> = (0..10)
            .map(|number| {
                let caller = caller.clone();
                tokio::spawn(async move { caller.call(&number.to_string()).await })
            })
            .collect();
        for (number, call) in calls.into_iter().enumerate() {
            assert_eq!(text(&call.await.unwrap().unwrap()), format!("to {number}"));
        }
    };
    timeout(SOON, async { tokio::join!(answering, calling) }).await.unwrap();
}

#[tokio::test]
async fn an_error_reply_comes_with_its_name_and_text() {
    let (caller, _served) =
        serving(CallLimits::default(), async |_| Err(ErrorReply::new("not-found", "no such thing"))).await;
    let CallError::Answered(error) = caller.call("x").await.unwrap_err() else { panic!("it was answered") };
    assert_eq!((error.name(), error.text()), ("not-found", "no such thing"));
}

#[tokio::test]
async fn a_handler_that_panics_is_answered_for_and_the_others_go_on() {
    let (caller, _served) = serving(CallLimits::default(), |request: Message| {
        assert_ne!(text(&request), "before its future");
        async move {
            assert_ne!(text(&request), "at once");
            tokio::task::yield_now().await;
            assert_ne!(text(&request), "in its task");
            Ok(request)
        }
    })
    .await;
    for place in ["before its future", "at once", "in its task"] {
        let (panicked, good) = tokio::join!(caller.call(place), caller.call("good"));
        let CallError::Answered(error) = panicked.unwrap_err() else { panic!("it was answered") };
        assert_eq!(error.name(), ErrorReply::PANICKED);
        assert!(!error.text().contains(place), "a panic's message stays where it was");
        assert_eq!(text(&good.unwrap()), "good");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_answered_ends_at_its_deadline_and_the_other_side_is_told() {
    let (caller, mut server) = by_hand(CallLimits::default()).await;
    let start = tokio::time::Instant::now();
    let short = caller.call_within(Duration::from_secs(5), "short");
    let long = caller.call("long");
    let (short, long) = tokio::join!(async { (short.await.unwrap_err(), start.elapsed()) }, async {
        (long.await.unwrap_err(), start.elapsed())
    },);
    assert!(matches!(short.0, CallError::Deadline(time) if time.as_secs() == 5), "{}", short.0);
    assert!(short.0.may_have_been_executed());
    assert!((5..6).contains(&short.1.as_secs()) && (30..31).contains(&long.1.as_secs()));
    let (head, _) = next_call(&mut server).await;
    next_call(&mut server).await;
    let cancel = server.recv().await.unwrap().unwrap();
    assert_eq!((cancel.part_count(), cancel[0][0], &cancel[0][1..]), (1, CANCEL, &head[1..]));
    assert_eq!(caller.count(), 0);
    // The reply comes all the same: it is dropped, and the slot's next call does not get it.
    server.send(&with_kind(REPLY, &head, "late")).await.unwrap();
    let (answered, ()) = tokio::join!(caller.call("next"), async {
        server.recv().await.unwrap().unwrap(); // the other cancellation
        let (head, _) = next_call(&mut server).await;
        server.send(&with_kind(REPLY, &head, "in time")).await.unwrap();
    });
    assert_eq!(text(&answered.unwrap()), "in time");
    assert_eq!(caller.stray_replies(), 1);
}

/// Tells when it is dropped.
struct TellDrop(mpsc::UnboundedSender<()>);

impl Drop for TellDrop {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn dropping_a_calls_future_stops_its_handler() {
    let (begun, mut has_begun) = mpsc::unbounded_channel();
    let (dropped, mut was_dropped) = mpsc::unbounded_channel();
    let (caller, _served) = serving(CallLimits::default(), move |request: Message| {
        let (begun, guard) = (begun.clone(), TellDrop(dropped.clone()));
        async move {
            if text(&request) == "for ever" {
                begun.send(()).unwrap();
                std::future::pending::<()>().await;
            }
            std::mem::forget(guard);
            Ok(request)
        }
    })
    .await;
    tokio::select! {
        _ = caller.call("for ever") => panic!("it is never answered"),
        begun = has_begun.recv() => begun.unwrap(),
    }
    assert_eq!(caller.count(), 0);
    timeout(SOON, was_dropped.recv()).await.unwrap().unwrap();
    assert_eq!(text(&caller.call("still here").await.unwrap()), "still here");
}

#[tokio::test]
async fn replies_that_nobody_waits_for_are_dropped_and_counted() {
    let (caller, mut server) = by_hand(CallLimits::default()).await;
    let (reply, ()) = tokio::join!(caller.call("x"), async {
        let (head, _) = next_call(&mut server).await;
        server.send(&with_kind(REPLY, &[0, 9, 9, 9, 9, 9, 9, 9, 9], "unknown")).await.unwrap();
        server.send(&with_kind(ERROR, &[0, 255, 255, 255, 255, 0, 0, 0, 0], "unknown")).await.unwrap();
        server.send(&with_kind(REPLY, &head, "first")).await.unwrap();
        server.send(&with_kind(REPLY, &head, "again")).await.unwrap();
    });
    assert_eq!(text(&reply.unwrap()), "first");
    until(|| caller.stray_replies() == 3).await;
    let (reply, ()) = tokio::join!(caller.call("y"), async {
        let (head, _) = next_call(&mut server).await;
        server.send(&with_kind(REPLY, &head, "still here")).await.unwrap();
    });
    assert_eq!(text(&reply.unwrap()), "still here");
}

#[tokio::test]
async fn a_malformed_reply_ends_all_calls_with_what_was_wrong() {
    for (answer, expected) in [
        (Message::from("no head"), CallProtocolError::HeadLength { found: 7 }),
        (Message::from("\u{9}12345678"), CallProtocolError::Kind { found: 9 }),
        (Message::from("\u{1}12345678"), CallProtocolError::NotCalled),
    ] {
        let (caller, mut server) = by_hand(CallLimits::default()).await;
        let (one, two, ()) = tokio::join!(caller.call("a"), caller.call("b"), async {
            server.send(&answer).await.unwrap();
        });
        for error in [one.unwrap_err(), two.unwrap_err()] {
            let CallError::Lost(CallsEnded::Protocol(found)) = &error else { panic!("{error}") };
            assert_eq!(*found, expected);
        }
        let error = caller.call("c").await.unwrap_err();
        assert!(matches!(error, CallError::NotSent(CallsEnded::Protocol(_))), "{error}");
        assert!(!error.may_have_been_executed());
    }
}

#[tokio::test]
async fn when_the_connection_is_lost_all_calls_say_that_nobody_knows() {
    let (caller, mut server) = by_hand(CallLimits::default()).await;
    let (one, two, ()) = tokio::join!(caller.call("a"), caller.call("b"), async {
        next_call(&mut server).await;
        drop(server);
    });
    for error in [one.unwrap_err(), two.unwrap_err()] {
        assert!(matches!(error, CallError::Lost(_)) && error.may_have_been_executed(), "{error}");
        assert!(error.to_string().contains("unknown whether the call was executed"));
    }
    assert!(matches!(caller.call("c").await.unwrap_err(), CallError::NotSent(_)));
}

#[test]
fn when_the_runtime_of_a_caller_ends_all_calls_say_so_in_another_one() {
    let runtime = || Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (goes, stays) = (runtime(), runtime());
    let (caller, _server) = goes.block_on(by_hand(CallLimits::default()));
    stays.block_on(async {
        let mut calling = Box::pin(caller.call("x"));
        assert!((&mut calling).now_or_never().is_none());
        goes.shutdown_background();
        let error = timeout(SOON, calling).await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::Lost(CallsEnded::Send(_))), "{error}");
        let error = timeout(SOON, caller.call("y")).await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::NotSent(CallsEnded::Send(_))), "{error}");
        assert!(timeout(SOON, caller.clone().close()).await.unwrap().is_err());
    });
}

#[tokio::test(start_paused = true)]
async fn of_a_call_that_is_dropped_after_its_deadline_the_other_side_is_told_too() {
    let (caller, mut server) = by_hand(CallLimits::default()).await;
    let mut calling = Box::pin(caller.call_within(Duration::from_secs(1), "short"));
    assert!((&mut calling).now_or_never().is_none());
    // Nobody looks at it when its time is over.
    let (head, _) = next_call(&mut server).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(calling);
    let cancel = timeout(SOON, server.recv()).await.unwrap().unwrap().unwrap();
    assert_eq!((cancel.part_count(), cancel[0][0], &cancel[0][1..]), (1, CANCEL, &head[1..]));
    assert_eq!(caller.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_the_bound_wait_for_room_up_to_their_deadline() {
    let (caller, mut server) = by_hand(CallLimits::default().with_calls(2)).await;
    let first: Vec<_> = (0..2)
        .map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move { caller.call_within(Duration::from_secs(60), "first").await })
        })
        .collect();
    let (head, _) = next_call(&mut server).await;
    next_call(&mut server).await;
    let error = caller.call_within(Duration::from_secs(1), "no room").await.unwrap_err();
    assert!(matches!(error, CallError::TooMany(2)) && !error.may_have_been_executed(), "{error}");
    let (reply, ()) = tokio::join!(caller.call("room"), async {
        server.send(&with_kind(REPLY, &head, "one done")).await.unwrap();
        let (head, body) = next_call(&mut server).await;
        assert_eq!(text(&body), "room");
        server.send(&with_kind(REPLY, &head, "second")).await.unwrap();
    });
    assert_eq!(text(&reply.unwrap()), "second");
    assert_eq!(first.into_iter().filter(JoinHandle::is_finished).count(), 1);
}

#[tokio::test]
async fn no_more_handlers_are_at_work_than_allowed() {
    let (begun, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let handler = {
        let (begun, done) = (Arc::clone(&begun), Arc::clone(&done));
        move |request| {
            let (begun, done) = (Arc::clone(&begun), Arc::clone(&done));
            async move {
                begun.fetch_add(1, Ordering::Relaxed);
                done.acquire().await.unwrap().forget();
                Ok(request)
            }
        }
    };
    let (client, accepted) = pair().await;
    tokio::spawn(call::serve(accepted, CallLimits::default().with_calls(4), handler));
    let caller = Caller::new(client, CallLimits::default());
    let calls: Vec<_> = (0..100u8)
        .map(|number| {
            let caller = caller.clone();
            tokio::spawn(async move { assert_eq!(caller.call(&[number]).await.unwrap()[0], [number][..]) })
        })
        .collect();
    for finished in 0..=96 {
        until(|| begun.load(Ordering::Relaxed) == finished + 4).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(begun.load(Ordering::Relaxed), finished + 4);
        done.add_permits(1);
    }
    done.add_permits(3);
    for call in calls {
        timeout(SOON, call).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_waiting_call_that_is_given_up_is_never_begun() {
    let (begun, mut has_begun) = mpsc::unbounded_channel();
    let release = Arc::new(Notify::new());
    let (client, accepted) = pair().await;
    let waiter = Arc::clone(&release);
    let handler = move |request: Message| {
        begun.send(text(&request).to_owned()).unwrap();
        let waiter = Arc::clone(&waiter);
        async move {
            waiter.notified().await;
            Ok(request)
        }
    };
    tokio::spawn(call::serve(accepted, CallLimits::default().with_calls(1), handler));
    let mut caller = LoneCaller::new(client, CallLimits::default());
    caller.start("one").await.unwrap();
    let two = caller.start("two").await.unwrap();
    caller.start("three").await.unwrap();
    caller.flush().await.unwrap();
    assert_eq!(has_begun.recv().await.unwrap(), "one");
    assert!(caller.cancel(two) && !caller.cancel(two));
    caller.flush().await.unwrap();
    // On one thread the server's turn comes with each yield: it has received what was sent by then.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    for _ in 0..2 {
        release.notify_one();
        let (_, reply) = timeout(SOON, caller.next_reply()).await.unwrap().unwrap().unwrap();
        assert!(["one", "three"].contains(&text(&reply.unwrap())));
    }
    assert_eq!(has_begun.recv().await.unwrap(), "three");
    assert!(caller.next_reply().await.unwrap().is_none());
}

#[tokio::test]
async fn a_caller_that_breaks_the_protocol_is_refused_with_what_was_wrong() {
    let call = |id: &str| -> Message { [[&[CALL], id.as_bytes()].concat(), vec![]].into_iter().collect() };
    for (messages, expected) in [
        (vec![Message::from("a request without a head")], CallProtocolError::HeadLength { found: 24 }),
        (vec![["", "from a REQ socket"].into_iter().collect()], CallProtocolError::HeadLength { found: 0 }),
        (vec![Message::from("\u{7}12345678")], CallProtocolError::Kind { found: 7 }),
        (vec![Message::from("\u{2}12345678")], CallProtocolError::Unasked),
        (vec![["\u{4}12345678", "x"].into_iter().collect()], CallProtocolError::CancelParts),
        (vec![call("12345678"), call("12345678")], CallProtocolError::IdInUse),
    ] {
        let (mut client, accepted) = pair().await;
        let served = tokio::spawn(call::serve(accepted, CallLimits::default(), async |_| {
            std::future::pending().await
        }));
        for message in &messages {
            client.feed(message).await.unwrap();
        }
        client.flush().await.unwrap();
        let error = timeout(SOON, served).await.unwrap().unwrap().unwrap_err();
        assert!(matches!(error, ServeError::Protocol(found) if found == expected), "{error}");
        assert!(!matches!(client.recv().await, Ok(Some(_))), "the connection is closed");
    }
}

#[tokio::test]
async fn cancelling_what_is_not_under_way_is_no_error() {
    let (mut client, accepted) = pair().await;
    tokio::spawn(call::serve(accepted, CallLimits::default(), async |request| Ok(request)));
    client.send("\u{4}12345678").await.unwrap();
    client.send(&["\u{1}12345678", "x"].into_iter().collect::<Message>()).await.unwrap();
    assert_eq!(client.recv().await.unwrap().unwrap(), ["\u{2}12345678", "x"].into_iter().collect());
}

#[tokio::test]
async fn replies_at_work_are_sent_after_the_caller_has_closed_its_direction() {
    let (release, released) = oneshot::channel::<()>();
    let mut released = Some(released);
    let (caller, served) = serving(CallLimits::default(), move |request| {
        let released = released.take().unwrap();
        async move {
            released.await.unwrap();
            Ok(request)
        }
    })
    .await;
    let calling = caller.clone();
    let call = tokio::spawn(async move { calling.call("last words").await });
    until(|| caller.count() == 1).await;
    let (closed, ()) = tokio::join!(caller.close(), async { release.send(()).unwrap() });
    closed.unwrap();
    assert_eq!(text(&call.await.unwrap().unwrap()), "last words");
    timeout(SOON, served).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_shuts_down_lets_handlers_finish() {
    let transports = Transports::new().with(MemTransport::new());
    let mut server =
        Listen::new(&transports, "mem://drain").policy(Policy::same_process()).start().await.unwrap();
    let client = Connect::new(&transports, "mem://drain").server(Policy::same_process()).await.unwrap();
    let accepted = server.accept().await.unwrap();
    let (begun, mut has_begun) = mpsc::unbounded_channel();
    let release = Arc::new(Notify::new());
    let waiter = Arc::clone(&release);
    tokio::spawn(call::serve(accepted, CallLimits::default(), move |request| {
        begun.send(()).unwrap();
        let waiter = Arc::clone(&waiter);
        async move {
            waiter.notified().await;
            Ok(request)
        }
    }));
    let caller = Caller::new(client, CallLimits::default());
    let call = {
        let caller = caller.clone();
        tokio::spawn(async move { caller.call("work").await })
    };
    has_begun.recv().await.unwrap();
    let (drained, ()) = tokio::join!(server.shutdown(SOON), async {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        release.notify_one();
        assert_eq!(text(&timeout(SOON, call).await.unwrap().unwrap().unwrap()), "work");
        // The server waits for this side to close too.
        drop(caller);
    });
    assert_eq!(drained.cut, 0);
}

#[tokio::test]
async fn a_framing_of_one_part_says_that_it_cannot_carry_calls() {
    let transports = Transports::new().with(MemTransport::new());
    let listen =
        Listen::new(&transports, "mem://one-part").policy(Policy::same_process()).framing(LengthPrefixed);
    let mut server = listen.start().await.unwrap();
    let connect =
        Connect::new(&transports, "mem://one-part").server(Policy::same_process()).framing(LengthPrefixed);
    let caller = Caller::new(connect.await.unwrap(), CallLimits::default());
    let _accepted = server.accept().await.unwrap();
    let error = caller.call("x").await.unwrap_err();
    assert!(matches!(error, CallError::Unencodable(_)) && !error.may_have_been_executed(), "{error}");
    assert_eq!(caller.count(), 0);
}

#[tokio::test]
async fn a_lone_caller_keeps_replies_to_other_calls() {
    let (client, accepted) = pair().await;
    tokio::spawn(call::serve_with(accepted, CallLimits::default(), |request| {
        let message = request.message();
        request.reply(message)
    }));
    let mut caller = LoneCaller::new(client, CallLimits::default().with_calls(3));
    let (a, b) = (caller.start("a").await.unwrap(), caller.start("b").await.unwrap());
    assert_eq!(text(&caller.call("c").await.unwrap()), "c");
    // Two replies wait to be taken, and count.
    let third = caller.start("d").await.unwrap();
    assert!(matches!(caller.start("e").await, Err(CallError::TooMany(3))));
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let (id, reply) = caller.next_reply().await.unwrap().unwrap();
        seen.push((id, text(&reply.unwrap()).to_owned()));
    }
    assert_eq!(seen, [(a, "a".to_owned()), (b, "b".to_owned()), (third, "d".to_owned())]);
    assert_eq!(caller.each_reply(|_, _| ()).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lone_callers_calls_end_at_their_deadline() {
    let (client, mut server) = pair().await;
    let mut caller = LoneCaller::new(client, CallLimits::default().with_time(Duration::from_secs(3)));
    let start = tokio::time::Instant::now();
    let id = caller.start("x").await.unwrap();
    let (expired, error) = caller.next_reply().await.unwrap().unwrap();
    assert_eq!((expired, start.elapsed().as_secs()), (id, 3));
    assert!(matches!(error.unwrap_err(), CallError::Deadline(_)));
    let (head, _) = next_call(&mut server).await;
    caller.flush().await.unwrap();
    let cancel = server.recv().await.unwrap().unwrap();
    assert_eq!((cancel[0][0], &cancel[0][1..]), (CANCEL, &head[1..]));
    // Dropping the future of a call cancels it.
    assert!(timeout(Duration::from_secs(1), caller.call("y")).await.is_err());
    caller.flush().await.unwrap();
    next_call(&mut server).await;
    assert_eq!(server.recv().await.unwrap().unwrap()[0][0], CANCEL);
    assert_eq!(caller.count(), 0);
}

#[tokio::test]
async fn a_lone_callers_connection_that_is_lost_ends_all_calls() {
    let (client, mut server) = pair().await;
    let mut caller = LoneCaller::new(client, CallLimits::default());
    caller.start("a").await.unwrap();
    caller.start("b").await.unwrap();
    caller.flush().await.unwrap();
    let (head, _) = next_call(&mut server).await;
    server.send(&with_kind(REPLY, &head, "the only one")).await.unwrap();
    drop(server);
    let (_, reply) = caller.next_reply().await.unwrap().unwrap();
    assert_eq!(text(&reply.unwrap()), "the only one");
    assert!(matches!(caller.next_reply().await, Err(CallsEnded::Closed | CallsEnded::Send(_))));
    assert!(matches!(caller.start("c").await, Err(CallError::NotSent(_))));
    assert!(matches!(caller.call("c").await, Err(CallError::NotSent(_))));
}

#[tokio::test]
async fn large_calls_in_both_directions_at_once_do_not_wait_for_each_other() {
    let (client, accepted) = pair().await;
    tokio::spawn(call::serve_with(accepted, CallLimits::default(), |request| {
        let message = request.message();
        request.reply(message)
    }));
    // More than all buffers between the two sides hold.
    let large = vec![7; 100_000];
    let mut caller = LoneCaller::new(client, CallLimits::default());
    let exchange = async {
        for _ in 0..200 {
            caller.start(&large).await.unwrap();
        }
        let mut replies = 0;
        while caller.count() > 0 || replies < 200 {
            replies +=
                caller.each_reply(|_, reply| assert_eq!(reply.unwrap().byte_count(), 100_000)).await.unwrap();
        }
        assert_eq!(replies, 200);
    };
    timeout(SOON, exchange).await.unwrap();
}
