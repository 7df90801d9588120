//! Ten thousand peers that say nothing.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::time::{Duration, Instant};

use common::*;
use tokio::io::AsyncWriteExt as _;
use transport_core::{HandshakeError, Limits, ServerEvent};

const SILENT: usize = 10_000;
const DEADLINE: Duration = Duration::from_secs(3);

fn raise_open_files() -> bool {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let needed = SILENT as u64 + 2000;
    if limit.current.is_none_or(|current| current >= needed) {
        return true;
    }
    limit.current = limit.maximum;
    let raised = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).is_ok();
    raised && limit.current.is_none_or(|current| current >= needed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_silent_peers_are_freed_and_a_good_one_gets_in_meanwhile() {
    if !raise_open_files() {
        eprintln!("skipped: this needs {} open files, and the limit cannot be raised", SILENT + 2000);
        return;
    }
    let limits = Limits::default().with_handshake_time(DEADLINE);
    let mut server = listen().limits(limits).start().await.unwrap();
    let mut events = server.events();
    let address = address(&server);
    let flood = tokio::spawn(async move {
        let mut silent = Vec::with_capacity(SILENT);
        for _ in 0..SILENT {
            silent.push(tokio::net::TcpStream::connect(address).await.unwrap());
        }
        silent
    });
    let counting = tokio::spawn(async move {
        let (mut evicted, mut late, mut gap) = (0, 0, 0);
        while evicted + late + gap < SILENT {
            match events.next().await.unwrap() {
                transport_core::EventOrGap::Event(ServerEvent::Refused { reason, .. }) => match *reason {
                    HandshakeError::Evicted => evicted += 1,
                    HandshakeError::Deadline(_) => late += 1,
                    ref other => panic!("{other}"),
                },
                transport_core::EventOrGap::Event(_) => {}
                transport_core::EventOrGap::Gap(count) => gap += usize::try_from(count).unwrap(),
            }
        }
        (evicted, late, gap)
    });
    // In the middle of it, from another address and from the same. Who comes from another one never gives way; of the same, on
    // a busy machine 256 others may come before its handshake is done, and then it gives way too and tries again.
    let start = Instant::now();
    let mut good = 0;
    while !flood.is_finished() || good < 20 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        let elsewhere = good % 2 == 0;
        if elsewhere {
            socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
        }
        let mut peer = socket.connect(address).await.unwrap();
        let hello = [greeting("NULL"), ready(), b"\x00\x02ok".to_vec()].concat();
        let gave_way = async {
            let _reset = peer.write_all(&hello).await;
            read_to_end(&mut peer).await;
        };
        let mut connection = tokio::select! {
            biased;
            accepted = tokio::time::timeout(NET, server.accept()) => accepted.unwrap().unwrap(),
            () = gave_way => {
                assert!(!elsewhere, "it is not of those who are too many");
                continue;
            }
        };
        assert_eq!(connection.recv().await.unwrap().unwrap()[0], "ok");
        good += 1;
        // It is the silent ones that shall flood.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let silent = flood.await.unwrap();
    let (evicted, late, gap) = tokio::time::timeout(NET, counting).await.unwrap().unwrap();
    // As many as may be pending, in each of the deadlines that have passed meanwhile.
    let rounds = usize::try_from(start.elapsed().as_secs() / DEADLINE.as_secs()).unwrap() + 1;
    assert!(evicted + gap > 0, "evicted {evicted}, late {late}, events lost {gap}");
    assert!(late <= 256 * rounds, "evicted {evicted}, late {late} in {rounds} rounds, events lost {gap}");
    for mut peer in silent {
        read_to_end(&mut peer).await;
    }
}
