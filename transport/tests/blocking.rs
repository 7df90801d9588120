//! Connections for threads without tokio.
#![cfg(feature = "blocking")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use transport::blocking::{self, Caller, Connection, Error, Server};
use transport::core::call::{CallError, CallLimits, ErrorReply};
use transport::{ConnectError, Limits, Message, Policy, RecvError};

const NET: Duration = Duration::from_secs(20);

/// Gives a test up that hangs.
fn bounded(test: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let test = thread::spawn(move || {
        test();
        done.send(()).unwrap();
    });
    match finished.recv_timeout(NET) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the test hangs"),
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => test.join().unwrap(),
    }
}

fn serve(address: &str) -> Server {
    blocking::listen(transport::listen(address).policy(Policy::danger_anyone())).unwrap()
}

fn connect(server: &Server) -> Connection {
    let address = server.local_address().to_string();
    blocking::connect(transport::connect(address).server(Policy::danger_anyone())).unwrap()
}

fn pair(address: &str) -> (Server, Connection, Connection) {
    let mut server = serve(address);
    let near = connect(&server);
    let far = server.accept().unwrap().unwrap();
    (server, near, far)
}

fn addresses(name: &str) -> Vec<String> {
    let mut addresses = vec!["tcp://127.0.0.1:0".to_owned(), format!("mem://blocking-{name}")];
    if cfg!(feature = "unix") {
        addresses.push(format!("unix:@blocking-{name}-{}", std::process::id()));
    }
    addresses
}

#[test]
fn messages_go_both_ways_over_every_transport_and_the_end_is_seen() {
    bounded(|| {
        for address in addresses("both") {
            let (server, mut near, mut far) = pair(&address);
            let echo = thread::spawn(move || {
                while let Some(message) = far.recv().unwrap() {
                    far.send(&message).unwrap();
                }
                far.close().unwrap();
            });
            for length in [0, 1, 1000, 300_000] {
                let message = Message::new(vec![7; length]);
                near.send(&message).unwrap();
                assert_eq!(near.recv().unwrap(), Some(message));
            }
            for _ in 0..3 {
                near.feed("a batch").unwrap();
            }
            near.flush().unwrap();
            let mut messages = Vec::new();
            while messages.len() < 3 {
                near.recv_many(&mut messages, 10).unwrap();
            }
            near.close().unwrap();
            echo.join().unwrap();
            assert_eq!(server.handle().connection_count(), 0);
        }
    });
}

#[test]
fn a_recv_with_a_timeout_gives_up_and_loses_nothing() {
    bounded(|| {
        let (_server, mut near, mut far) = pair("tcp://127.0.0.1:0");
        let start = Instant::now();
        let error = near.recv_timeout(Duration::from_millis(30)).unwrap_err();
        assert!(matches!(error, Error::TimedOut(_)), "{error}");
        assert!(start.elapsed() >= Duration::from_millis(30));
        far.send("after that").unwrap();
        assert_eq!(near.recv_timeout(NET).unwrap().unwrap().to_text(), Some("after that"));
    });
}

#[test]
fn halves_are_used_by_several_threads_at_once() {
    const EACH: usize = 500;
    bounded(|| {
        for address in addresses("halves") {
            let (_server, near, far) = pair(&address);
            let echo = thread::spawn(move || {
                let (sender, mut receiver) = far.split().unwrap();
                while let Some(message) = receiver.recv().unwrap() {
                    sender.send(&message).unwrap();
                }
                sender.close().unwrap();
            });
            let (sender, mut receiver) = near.split().unwrap();
            let send_all = |thread: u8| {
                let sender = sender.clone();
                move || (0..EACH).for_each(|i| sender.send(&[thread, i.to_le_bytes()[0]]).unwrap())
            };
            let senders: Vec<_> = (0..3).map(|thread| thread::spawn(send_all(thread))).collect();
            let mut next = [0; 3];
            for _ in 0..3 * EACH {
                let message = receiver.recv().unwrap().unwrap();
                let thread = usize::from(message[0][0]);
                assert_eq!(usize::from(message[0][1]), next[thread] % 256);
                next[thread] += 1;
            }
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            sender.close().unwrap();
            assert!(receiver.recv().unwrap().is_none());
            echo.join().unwrap();
        }
    });
}

#[test]
fn what_a_sender_sent_arrives_without_a_further_call() {
    bounded(|| {
        let (_server, near, mut far) = pair("tcp://127.0.0.1:0");
        let (sender, _receiver) = near.split().unwrap();
        // Two in a row: the second one comes in a burst.
        sender.send("one").unwrap();
        sender.send("two").unwrap();
        assert_eq!(far.recv().unwrap().unwrap().to_text(), Some("one"));
        assert_eq!(far.recv().unwrap().unwrap().to_text(), Some("two"));
    });
}

#[test]
fn a_server_takes_peers_in_while_nobody_accepts_and_its_connections_outlive_it() {
    bounded(|| {
        let mut server = serve("tcp://127.0.0.1:0");
        let mut clients: Vec<_> = (0..5).map(|_| connect(&server)).collect();
        let mut accepted: Vec<_> = (0..5).map(|_| server.accept().unwrap().unwrap()).collect();
        assert!(matches!(server.accept_timeout(Duration::from_millis(10)), Err(Error::TimedOut(_))));
        drop(server);
        for connection in &mut accepted {
            connection.send("still there").unwrap();
        }
        for client in &mut clients {
            assert_eq!(client.recv().unwrap().unwrap().to_text(), Some("still there"));
        }
    });
}

#[test]
fn a_shutdown_from_another_thread_ends_accept_and_waiting_receivers() {
    bounded(|| {
        let (mut server, _near, mut far) = pair("tcp://127.0.0.1:0");
        let handle = server.handle();
        let receiving = thread::spawn(move || far.recv().unwrap());
        let accepting = thread::spawn(move || server.accept().unwrap().is_none());
        assert_eq!(handle.shutdown(NET).unwrap().cut, 0);
        assert!(accepting.join().unwrap());
        assert!(receiving.join().unwrap().is_none());
    });
}

#[test]
fn errors_are_those_of_the_async_calls() {
    bounded(|| {
        let nobody = transport::connect("mem://blocking-nobody").server(Policy::same_process());
        assert!(matches!(blocking::connect(nobody), Err(Error::Failed(ConnectError::Transport(_)))));

        let mut server = serve("mem://blocking-errors");
        let limits = Limits::default().with_message(1000);
        let connect =
            transport::connect("mem://blocking-errors").server(Policy::same_process()).limits(limits);
        let mut near = blocking::connect(connect).unwrap();
        let mut far = server.accept().unwrap().unwrap();
        far.send(&vec![0; 2000]).unwrap();
        assert!(matches!(near.recv(), Err(Error::Failed(RecvError::Framing(_)))));
    });
}

#[test]
fn calls_are_made_by_several_threads_and_answered_by_one() {
    bounded(|| {
        for address in addresses("calls") {
            let (_server, near, far) = pair(&address);
            let serving = thread::spawn(move || {
                blocking::serve(far, CallLimits::default(), |request| {
                    let request = request.to_message();
                    match request.to_text() {
                        Some("fail") => Err(ErrorReply::new("failed", "as was asked")),
                        _ => Ok(request),
                    }
                })
            });
            let caller = Caller::new(near, CallLimits::default()).unwrap();
            let call_all = |thread: usize| {
                let caller = caller.clone();
                move || {
                    for call in 0..50 {
                        let request = Message::from(format!("{thread} {call}"));
                        assert_eq!(caller.call(&request).unwrap(), request);
                    }
                }
            };
            let callers: Vec<_> = (0..4).map(|number| thread::spawn(call_all(number))).collect();
            callers.into_iter().for_each(|caller| caller.join().unwrap());
            let failed = caller.call_within(NET, "fail").unwrap_err();
            assert!(matches!(failed, Error::Failed(CallError::Answered(_))), "{failed}");
            caller.close().unwrap();
            serving.join().unwrap().unwrap();
        }
    });
}

#[test]
fn a_call_within_a_runtime_is_an_error_and_no_panic() {
    bounded(|| {
        let (mut server, mut near, mut far) = pair("tcp://127.0.0.1:0");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let error = near.send("x").unwrap_err();
            assert!(error.to_string().starts_with("a blocking call within a tokio runtime"), "{error}");
            assert!(matches!(near.recv(), Err(Error::WithinRuntime)));
            assert!(matches!(server.accept(), Err(Error::WithinRuntime)));
            let connect = transport::connect("mem://nobody").server(Policy::same_process());
            assert!(matches!(blocking::connect(connect), Err(Error::WithinRuntime)));
            let listen = transport::listen("mem://nobody").policy(Policy::same_process());
            assert!(matches!(blocking::listen(listen), Err(Error::WithinRuntime)));
        });
        // Nothing was done to the connection, and dropping one within a runtime is no panic either.
        near.send("outside").unwrap();
        assert_eq!(far.recv().unwrap().unwrap().to_text(), Some("outside"));
        runtime.block_on(async { drop((near, far, server)) });
    });
}
