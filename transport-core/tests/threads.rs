//! Senders on threads that belong to no runtime.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use transport_core::mem::MemTransport;
use transport_core::tcp::TcpTransport;
use transport_core::{Connect, Connection, Limits, Listen, Message, Policy, SendError, Transports};

const PATIENCE: Duration = Duration::from_secs(20);

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn pair(place: &str) -> (Connection, Connection) {
    let transports = Transports::new().with(TcpTransport::new()).with(MemTransport::new());
    let policy = Policy::danger_anyone;
    let mut server = Listen::new(&transports, place).policy(policy()).start().await.unwrap();
    let limits = Limits::default().with_queued_out(64 << 20);
    let connect = Connect::new(&transports, server.local_address().to_string()).server(policy());
    (connect.limits(limits).await.unwrap(), server.accept().await.unwrap())
}

#[test]
fn what_a_thread_without_a_runtime_sends_is_written_in_the_runtime_of_the_connection() {
    for place in ["tcp://127.0.0.1:0", "mem://threads"] {
        let runtime = runtime();
        let (near, mut far) = runtime.block_on(pair(place));
        let (sender, _receiver) = runtime.block_on(async { near.split() });
        let message = Message::from(vec![7; 60_000]);
        // The first are written by this thread, as far as the stream takes them; all together are more than it does.
        for lone in 0..500 {
            assert!(sender.try_send(&message).unwrap());
            if lone < 3 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        runtime.block_on(async {
            let all = async {
                for _ in 0..500 {
                    assert_eq!(far.recv().await.unwrap().unwrap(), message);
                }
                sender.flush().await.unwrap();
                assert!(sender.take_unsent().await.is_empty());
            };
            tokio::time::timeout(PATIENCE, all).await.unwrap();
        });
    }
}

#[test]
fn a_sender_whose_runtime_has_gone_is_told_and_stops_at_once() {
    let runtime = runtime();
    let (near, _far) = runtime.block_on(pair("tcp://127.0.0.1:0"));
    let (sender, _receiver) = runtime.block_on(async { near.split() });
    runtime.shutdown_timeout(PATIENCE);
    let message = Message::from(vec![7; 100_000]);
    let error = (0..1000).find_map(|_| sender.try_send(&message).err()).unwrap();
    assert!(matches!(error, SendError::Io(_)), "{error:?}");
    let stopped = self::runtime()
        .block_on(async { tokio::time::timeout(PATIENCE, sender.take_unsent()).await.is_ok() });
    assert!(stopped);
}

#[test]
fn a_sender_whose_runtime_goes_in_the_middle_of_a_write_is_told_and_gets_back_what_was_not_sent() {
    let runtime = runtime();
    for begun in [false, true] {
        let (near, mut far) = runtime.block_on(pair(&format!("mem://going-{begun}")));
        let goes = Builder::new_current_thread().enable_all().build().unwrap();
        let (sender, _receiver) = goes.block_on(async { near.split() });
        // The pipe has room for 64 KiB: a message is written here, and perhaps one in part.
        let message = |number| Message::from(vec![number; 50_000]);
        (0..10).for_each(|number| assert!(sender.try_send(&message(number)).unwrap()));
        if begun {
            goes.block_on(async {
                while sender.queued() > 0 {
                    tokio::task::yield_now().await;
                }
            });
        }
        drop(goes);
        let ends = async {
            assert!(matches!(sender.flush().await, Err(SendError::Io(_))));
            assert!(matches!(sender.send("late").await, Err(SendError::Io(_))));
            let unsent: Vec<u8> = sender.take_unsent().await.iter().map(|message| message[0][0]).collect();
            assert!(
                unsent == [1, 2, 3, 4, 5, 6, 7, 8, 9][usize::from(begun || unsent[0] == 2)..],
                "{unsent:?}"
            );
            assert!(matches!(sender.close().await, Err(SendError::Io(_))));
            assert_eq!(far.recv().await.unwrap().unwrap()[0][0], 0);
        };
        runtime.block_on(async { tokio::time::timeout(PATIENCE, ends).await.unwrap() });
    }
}
