//! Too many open files at accept, of every kind of socket. In a file, and so a process, of its own: the limit counts for all
//! tests of one.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use common::raw::{greeting, ready};
use common::subject::{Kind, Subject};
use common::{config, connected, event};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt as _;
use transport_zmq::SocketEvent;

#[tokio::test]
async fn running_out_of_open_files_is_told_and_survived_by_every_kind_of_socket() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(100);
    setrlimit(Resource::Nofile, limit).unwrap();
    for kind in Kind::ALL {
        let mut subject = Subject::start(kind, config()).await;
        // A peer whose socket exists before files run out, so that only accepting fails.
        let unbound = tokio::net::TcpSocket::new_v4().unwrap();
        let mut hoard = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            hoard.push(file);
        }
        let place = format!("127.0.0.1:{}", common::port(&subject.address)).parse().unwrap();
        let mut peer = unbound.connect(place).await.unwrap();
        for _ in 0..2 {
            let error = event(&mut subject.events, |event| match event {
                SocketEvent::AcceptFailed { error, .. } => Some(error),
                _ => None,
            });
            assert_eq!(error.await.raw_os_error(), Some(24), "{kind:?}");
        }
        // Who is there already is served meanwhile.
        subject.serves().await;
        drop(hoard);
        peer.write_all(&[greeting("NULL"), ready(kind.peer_type(), b"")].concat()).await.unwrap();
        connected(&mut subject.events, 1).await;
        subject.takes_others_in().await;
    }
}
