//! Descriptors: with their message where a stream carries them, and a clear error elsewhere.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};

use transport_core::{DescriptorError, Limits, Listen, Policy, SendError};

use crate::establish::client_of;
use crate::harness::Harness;

/// With both sides' consent a descriptor arrives with its message, through connections and halves; over a stream that
/// carries none, asking for it is an error that says why, and the connection goes on.
pub async fn descriptors_are_passed_or_refused_clearly(harness: impl Harness) {
    let limits = Limits::default().with_descriptors(2);
    let listen = Listen::new(&harness.transports(), harness.address()).policy(Policy::danger_anyone());
    let mut server = listen.limits(limits.clone()).start().await.expect("listen");
    let client = client_of(&harness, server.local_address()).limits(limits);
    let (near, far) = tokio::join!(client, server.accept());
    let (mut near, mut far) = (near.expect("connect"), far.expect("the server goes on"));

    let (reader, writer) = std::io::pipe().expect("a pipe");
    let sent = near.send_with_descriptors("take this", &[writer.as_fd()]).await;
    if harness.carries_descriptors() {
        assert_eq!((near.most_descriptors(), far.most_descriptors()), (2, 2));
        sent.expect("send");
        let (message, descriptors) = far.recv_with_descriptors().await.expect("recv").expect("a message");
        assert_eq!(message.to_text(), Some("take this"));
        drop(writer);
        is_what_the_reader_belongs_to(descriptors, reader);
    } else {
        assert_eq!((near.most_descriptors(), far.most_descriptors()), (0, 0));
        let error = sent.expect_err("this stream carries none");
        assert!(matches!(error, SendError::Descriptors(DescriptorError::NotAgreed)), "{error:?}");
    }

    let (near, mut near_receiver) = near.split();
    let (far, _far_receiver) = far.split();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let sent = far.send_with_descriptors("and this", &[writer.as_fd()]).await;
    assert_eq!(sent.is_ok(), harness.carries_descriptors(), "{sent:?}");
    far.send("the end").await.expect("send");
    if harness.carries_descriptors() {
        let (message, descriptors) =
            near_receiver.recv_with_descriptors().await.expect("recv").expect("a message");
        assert_eq!(message.to_text(), Some("and this"));
        drop(writer);
        is_what_the_reader_belongs_to(descriptors, reader);
    }
    let (message, none) = near_receiver.recv_with_descriptors().await.expect("recv").expect("a message");
    assert_eq!((message.to_text(), none.len()), (Some("the end"), 0));
    drop(near);
}

fn is_what_the_reader_belongs_to(descriptors: Vec<OwnedFd>, mut reader: std::io::PipeReader) {
    let mut descriptors = descriptors.into_iter();
    let writer = descriptors.next().expect("one descriptor");
    assert!(descriptors.next().is_none(), "only one");
    std::io::PipeWriter::from(writer).write_all(b"through the pipe").expect("write");
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("read");
    assert_eq!(text, "through the pipe");
}
