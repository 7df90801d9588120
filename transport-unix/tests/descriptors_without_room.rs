//! Descriptors for which this process has no room. A process of its own, since the limit is that of a process.

mod common;

use std::os::fd::AsFd as _;

use common::{NET, connected};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use transport_core::RecvError;

#[tokio::test]
async fn descriptors_that_find_no_room_are_an_error_and_closed() {
    let (mut near, mut far) = connected("no-room", 10, 10).await;
    let (reader, writer) = std::io::pipe().unwrap();
    near.send_with_descriptors("ten", &[writer.as_fd(); 10]).await.unwrap();
    drop(writer);
    // Room for three more.
    let free = rustix::io::dup(&reader).unwrap();
    let next = std::os::fd::AsRawFd::as_raw_fd(&free);
    drop(free);
    let before = getrlimit(Resource::Nofile);
    let tight = Rlimit { current: Some(u64::try_from(next).unwrap() + 3), ..before };
    setrlimit(Resource::Nofile, tight).unwrap();
    let received = far.recv_with_descriptors().await;
    setrlimit(Resource::Nofile, before).unwrap();
    let error = received.unwrap_err();
    assert!(matches!(error, RecvError::Io(_)), "{error:?}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.ends_with("this process may have too many open files"), "{cause}");
    // Those that had come are closed: nobody has the writing end any more.
    let mut read = std::io::PipeReader::from(std::os::fd::OwnedFd::from(reader));
    let read = tokio::task::spawn_blocking(move || std::io::Read::read(&mut read, &mut [0; 8]));
    let end = tokio::time::timeout(NET, read).await;
    assert_eq!(end.expect("somebody has it").unwrap().unwrap(), 0);
}
