//! Too many open files at accept. In a file, and so a process, of its own: the limit counts for all tests of one.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use common::*;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt as _;
use transport_core::ServerEvent;

#[tokio::test]
async fn running_out_of_open_files_is_reported_and_survived() {
    let mut server = listen().start().await.unwrap();
    let mut events = server.events();
    // A peer whose socket exists before files run out, so that only accepting fails.
    let unbound = tokio::net::TcpSocket::new_v4().unwrap();
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(40);
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    let mut peer = unbound.connect(address(&server)).await.unwrap();
    let failures = async {
        let mut pauses = Vec::new();
        while pauses.len() < 3 {
            if let Some(ServerEvent::AcceptFailed { error, retry_in }) = events.recv().await {
                assert_eq!(error.raw_os_error(), Some(24), "{error}");
                pauses.push(retry_in);
            }
        }
        pauses
    };
    let pauses = tokio::time::timeout(NET, failures).await.unwrap();
    assert!(pauses.windows(2).all(|pair| pair[1] == pair[0] * 2), "{pauses:?}");
    drop(hoard);
    peer.write_all(&[greeting("NULL"), ready()].concat()).await.unwrap();
    assert!(tokio::time::timeout(NET, server.accept()).await.unwrap().is_some());
}
