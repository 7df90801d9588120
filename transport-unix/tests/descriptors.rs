//! Descriptors that travel with messages.

mod common;

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{GREETING, NET, bounded, connect_raw, connected, ready, send_raw};
use rustix::io::FdFlags;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use transport_core::{
    BoxStream, Connect, DescriptorError, Limits, Listen, Policy, RecvError, SendError, Transports,
};
use transport_unix::UnixTransport;

/// Takes the end of a pipe apart from whoever holds the other one.
struct Pipe {
    reader: std::io::PipeReader,
    writer: std::io::PipeWriter,
}

impl Pipe {
    fn new() -> Pipe {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        Pipe { reader, writer }
    }

    /// Writes `text` into what a peer received, and reads it here.
    fn ends_in(mut self, received: OwnedFd, text: &str) {
        drop(self.writer);
        let mut received = std::io::PipeWriter::from(received);
        received.write_all(text.as_bytes()).expect("write to what was received");
        drop(received);
        let mut read = String::new();
        self.reader.read_to_string(&mut read).expect("read");
        assert_eq!(read, text);
    }

    /// Waits until nobody has the writing end any more.
    async fn closed_everywhere(self) {
        let Pipe { mut reader, writer } = self;
        drop(writer);
        let end = tokio::task::spawn_blocking(move || reader.read(&mut [0; 8]));
        let end = tokio::time::timeout(NET, end).await;
        let end = end.expect("somebody still has it").expect("the reading thread");
        assert_eq!(end.expect("read"), 0);
    }
}

#[tokio::test]
async fn a_descriptor_arrives_with_its_message_both_ways() {
    let (mut near, mut far) = connected("both-ways", 4, 4).await;
    for round in 0..2 {
        let (from, to) = if round == 0 { (&mut near, &mut far) } else { (&mut far, &mut near) };
        let (first, second) = (Pipe::new(), Pipe::new());
        assert_eq!(from.most_descriptors(), 4);
        from.send("nothing with this one").await.unwrap();
        let fds = [first.writer.as_fd(), second.writer.as_fd()];
        from.send_with_descriptors("two", &fds).await.unwrap();
        from.send("nothing again").await.unwrap();

        let (message, none) = to.recv_with_descriptors().await.unwrap().unwrap();
        assert_eq!((message.to_text(), none.len()), (Some("nothing with this one"), 0));
        let (message, received) = to.recv_with_descriptors().await.unwrap().unwrap();
        assert_eq!(message.to_text(), Some("two"));
        let [one, two] = <[OwnedFd; 2]>::try_from(received).unwrap();
        assert!(rustix::io::fcntl_getfd(&one).unwrap().contains(FdFlags::CLOEXEC));
        first.ends_in(one, "first");
        second.ends_in(two, "second");
        let (message, none) = to.recv_with_descriptors().await.unwrap().unwrap();
        assert_eq!((message.to_text(), none.len()), (Some("nothing again"), 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_message_of_a_server_may_bring_descriptors() {
    // It can come right behind READY: a client that read on during the handshake would lose them.
    for round in 0..50 {
        let transports = Transports::new().with(UnixTransport::new());
        let address = format!("unix:@transport-unix-first-{}-{round}", std::process::id());
        let limits = Limits::default().with_descriptors(1);
        let listen = Listen::new(&transports, &address).policy(Policy::same_user());
        let mut server = listen.limits(limits.clone()).start().await.unwrap();
        let serving = tokio::spawn(async move {
            let pipe = Pipe::new();
            let mut connection = server.accept().await.unwrap();
            connection.send_with_descriptors("at once", &[pipe.writer.as_fd()]).await.unwrap();
            assert!(connection.recv().await.unwrap().is_none());
        });
        let client = Connect::new(&transports, &address).server(Policy::same_user()).limits(limits);
        let mut client = client.await.unwrap();
        let (message, descriptors) = client.recv_with_descriptors().await.unwrap().unwrap();
        assert_eq!((message.to_text(), descriptors.len()), (Some("at once"), 1));
        drop(client);
        serving.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_messages_of_all_sizes_each_has_its_own_descriptors() {
    const MESSAGES: usize = 200;
    let (near, far) = connected("many", 3, 3).await;
    let (sender, _receiver) = near.split();
    let (_sender, mut receiver) = far.split();
    let senders: Vec<_> = (0..4)
        .map(|who| {
            let sender = sender.clone();
            tokio::spawn(async move {
                for number in 0..MESSAGES {
                    let count = number % 4;
                    let files: Vec<_> =
                        (0..count).map(|i| file_with(&format!("{who} {number} {i}"))).collect();
                    let length = [0, 1, 100, 3_000, 70_000, 300_000][number % 6];
                    let parts = [format!("{who} {number}").into_bytes(), vec![7; length]];
                    let message: transport_core::Message = parts.into_iter().collect();
                    let fds: Vec<_> = files.iter().map(AsFd::as_fd).collect();
                    sender.send_with_descriptors(&message, &fds).await.unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    let mut next = [0; 4];
    for _ in 0..4 * MESSAGES {
        let (message, descriptors) = bounded(receiver.recv_with_descriptors()).await.unwrap().unwrap();
        let text = message.to_text().unwrap();
        let (who, number) = text.split_once(' ').unwrap();
        let (who, number): (usize, usize) = (who.parse().unwrap(), number.parse().unwrap());
        assert_eq!(number, next[who], "messages of one sender stay in order");
        next[who] += 1;
        assert_eq!(descriptors.len(), number % 4, "message {text}");
        for (i, descriptor) in descriptors.into_iter().enumerate() {
            assert_eq!(content(descriptor), format!("{text} {i}"));
        }
    }
    for sender in senders {
        sender.await.unwrap();
    }
}

#[tokio::test]
async fn whoever_does_not_ask_for_descriptors_has_them_closed() {
    let (mut near, mut far) = connected("not-asked", 1, 1).await;
    let pipes: Vec<_> = (0..5).map(|_| Pipe::new()).collect();
    for pipe in &pipes {
        near.send_with_descriptors("look", &[pipe.writer.as_fd()]).await.unwrap();
    }
    let mut pipes = pipes.into_iter();
    far.recv().await.unwrap().unwrap();
    pipes.next().unwrap().closed_everywhere().await;
    let mut messages = Vec::new();
    while messages.len() < 2 {
        let room = 2 - messages.len();
        far.recv_many(&mut messages, room).await.unwrap();
    }
    let mut seen = 0;
    while seen < 2 {
        seen +=
            far.recv_each(|message| assert_eq!(message.parts().next(), Some(&b"look"[..]))).await.unwrap();
    }
    for pipe in pipes {
        pipe.closed_everywhere().await;
    }
    let pipe = Pipe::new();
    near.send_with_descriptors("still in step", &[pipe.writer.as_fd()]).await.unwrap();
    let (message, descriptors) = far.recv_with_descriptors().await.unwrap().unwrap();
    assert_eq!((message.to_text(), descriptors.len()), (Some("still in step"), 1));
}

#[tokio::test]
async fn descriptors_are_passed_only_when_both_sides_have_asked_for_it() {
    for (near, far) in [(0, 0), (4, 0), (0, 4)] {
        let (mut near, mut far) = connected(&format!("asked-{near}-{far}"), near, far).await;
        let pipe = Pipe::new();
        for connection in [&mut near, &mut far] {
            assert_eq!(connection.most_descriptors(), 0);
            let error = connection.send_with_descriptors("no", &[pipe.writer.as_fd()]).await.unwrap_err();
            assert!(matches!(error, SendError::Descriptors(DescriptorError::NotAgreed)), "{error:?}");
        }
        // Nothing of it was sent, and the connection goes on.
        near.send("yes").await.unwrap();
        assert_eq!(far.recv().await.unwrap().unwrap().to_text(), Some("yes"));
        // A peer that sends some all the same passes them to nobody.
        let (mut stream, _) = near.into_stream().unwrap();
        write_with(&mut stream, b"\0\x05force", &[pipe.writer.as_fd()]).await;
        let (message, none) = far.recv_with_descriptors().await.unwrap().unwrap();
        assert_eq!((message.to_text(), none.len()), (Some("force"), 0));
        pipe.closed_everywhere().await;
    }
}

#[tokio::test]
async fn three_hundred_descriptors_in_one_message_are_refused() {
    let (mut near, mut far) = connected("three-hundred", 1000, 1000).await;
    let pipe = Pipe::new();
    let fds = vec![pipe.writer.as_fd(); 300];
    let error = near.send_with_descriptors("300", &fds).await.unwrap_err();
    let expected = DescriptorError::TooMany { count: 300, limit: 253 };
    assert!(matches!(&error, SendError::Descriptors(error) if *error == expected), "{error:?}");
    assert_eq!(error.to_string(), "300 descriptors are too many for one message: its receiver takes 253");
    // As many as the kernel passes do go.
    near.send_with_descriptors("253", &fds[..253]).await.unwrap();
    let (message, descriptors) = far.recv_with_descriptors().await.unwrap().unwrap();
    assert_eq!((message.to_text(), descriptors.len()), (Some("253"), 253));
    // Below messages too.
    let (mut stream, _) = near.into_stream().unwrap();
    let bytes = [std::io::IoSlice::new(b"\0\0")];
    let sent = std::future::poll_fn(|cx| stream.poll_write_with_descriptors(cx, &bytes, &fds)).await;
    assert_eq!(sent.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn more_descriptors_than_this_side_takes_end_the_connection_and_are_closed() {
    for pieces in [1, 3] {
        let (near, mut far) = connected(&format!("flood-{pieces}"), 253, 2).await;
        assert_eq!(near.most_descriptors(), 2);
        let pipe = Pipe::new();
        let (mut stream, _) = near.into_stream().unwrap();
        // At once, or with each byte of a message that never ends.
        stream.write_all(b"\0\xff").await.unwrap();
        for _ in 0..pieces {
            write_with(&mut stream, b"x", &vec![pipe.writer.as_fd(); 4 - pieces]).await;
        }
        let error = far.recv_with_descriptors().await.unwrap_err();
        let expected = DescriptorError::TooMany { count: 3, limit: 2 };
        assert!(matches!(&error, RecvError::Descriptors(error) if *error == expected), "{error:?}");
        pipe.closed_everywhere().await;
    }
}

#[tokio::test]
async fn descriptors_before_authentication_never_arrive() {
    let transports = Transports::new().with(UnixTransport::new());
    let name = format!("transport-unix-early-{}", std::process::id());
    let limits = Limits::default().with_descriptors(10);
    let listen = Listen::new(&transports, format!("unix:@{name}")).policy(Policy::same_user());
    let mut server = listen.limits(limits).start().await.unwrap();

    let early: Vec<_> = (0..3).map(|_| Pipe::new()).collect();
    let after = Pipe::new();
    let stream = connect_raw(&name);
    stream.set_nonblocking(true).unwrap();
    let mut stream = tokio::net::UnixStream::from_std(stream).unwrap();
    // The server has looked once when this is there. The next time all waits there, but a read ends behind descriptors.
    let mut answer = [0; 64 + 2];
    bounded(stream.read_exact(&mut answer[..12])).await.unwrap();
    send_raw(&stream, &GREETING[..40], &[early[0].writer.as_fd()]);
    send_raw(&stream, &GREETING[40..], &[]);
    let ready = ready(b"10");
    send_raw(&stream, &ready[..30], &[early[1].writer.as_fd()]);
    send_raw(&stream, &ready[30..], &[early[2].writer.as_fd()]);
    let mut connection = bounded(server.accept()).await.unwrap();
    // The rest of the server's greeting, and its READY.
    bounded(stream.read_exact(&mut answer[12..])).await.unwrap();
    let mut body = vec![0; answer[65].into()];
    bounded(stream.read_exact(&mut body)).await.unwrap();
    send_raw(&stream, b"\0\x02hi", &[after.writer.as_fd()]);
    let (message, descriptors) = connection.recv_with_descriptors().await.unwrap().unwrap();
    assert_eq!((message.to_text(), descriptors.len()), (Some("hi"), 1));
    for pipe in early {
        pipe.closed_everywhere().await;
    }
    after.ends_in(descriptors.into_iter().next().unwrap(), "after authentication");
}

#[tokio::test]
async fn a_property_that_is_no_number_is_refused() {
    let transports = Transports::new().with(UnixTransport::new());
    let name = format!("transport-unix-property-{}", std::process::id());
    let listen = Listen::new(&transports, format!("unix:@{name}")).policy(Policy::same_user());
    let mut server = listen.limits(Limits::default().with_descriptors(1)).start().await.unwrap();
    let mut events = server.events();
    let stream = connect_raw(&name);
    send_raw(&stream, GREETING, &[]);
    send_raw(&stream, &ready(b"lots"), &[]);
    match events.recv().await.unwrap() {
        transport_core::ServerEvent::Refused { reason, .. } => {
            let expected =
                "the peer sent a malformed X-Descriptors property: it is not a number from 1 to 253";
            assert_eq!(reason.to_string(), expected);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_send_with_descriptors_that_is_dropped_sends_all_or_nothing() {
    for halves in [false, true] {
        let (mut near, mut far) = connected(&format!("dropped-{halves}"), 1, 1).await;
        let pipe = Pipe::new();
        let large = vec![1; 4 << 20];
        // Fills the socket.
        assert!(poll_once(near.send(&large[..])).is_none());
        if halves {
            let (sender, receiver) = near.split();
            assert!(poll_once(sender.send_with_descriptors("dropped", &[pipe.writer.as_fd()])).is_none());
            pipe.closed_everywhere().await;
            // One that was begun goes on without its future.
            let begun = Pipe::new();
            let last = tokio::spawn(async move {
                sender.flush().await.unwrap();
                let fds = [begun.writer.as_fd()];
                let sent = poll_once(sender.send_with_descriptors(&large[..], &fds));
                assert!(sent.is_none(), "so much does not fit");
                sender.send("after it").await.unwrap();
                sender.flush().await.unwrap();
                (sender, receiver)
            });
            assert_eq!(far.recv().await.unwrap().unwrap().byte_count(), 4 << 20);
            let (message, descriptors) = far.recv_with_descriptors().await.unwrap().unwrap();
            assert_eq!((message.byte_count(), descriptors.len()), (4 << 20, 1));
            let (message, none) = far.recv_with_descriptors().await.unwrap().unwrap();
            assert_eq!((message.to_text(), none.len()), (Some("after it"), 0));
            last.await.unwrap();
        } else {
            assert!(poll_once(near.send_with_descriptors("dropped", &[pipe.writer.as_fd()])).is_none());
            pipe.closed_everywhere().await;
            let last = tokio::spawn(async move {
                near.send("after it").await.unwrap();
                near
            });
            assert_eq!(far.recv().await.unwrap().unwrap().byte_count(), 4 << 20);
            let (message, none) = far.recv_with_descriptors().await.unwrap().unwrap();
            assert_eq!((message.to_text(), none.len()), (Some("after it"), 0));
            last.await.unwrap();
        }
    }
}

#[test]
fn a_send_with_descriptors_that_is_dropped_on_a_thread_without_a_runtime_goes_on_before_others() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for flush_first in [false, true] {
        let (near, mut far) = runtime.block_on(connected(&format!("no-runtime-{flush_first}"), 1, 1));
        let (sender, _receiver) = near.split();
        let begun = Pipe::new();
        let (large, fds) = (vec![1; 1 << 20], [begun.writer.as_fd()]);
        let mut sending = Box::pin(sender.send_with_descriptors(&large[..], &fds));
        runtime.block_on(async { assert!(poll_once(&mut sending).is_none(), "so much does not fit") });
        drop(sending);
        runtime.block_on(bounded(async {
            let mut receiving = Box::pin(far.recv_with_descriptors());
            assert!(poll_once(&mut receiving).is_none(), "most of it was not written");
            // The socket has room again, and the runtime sees that when it has nothing to do.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let sending = async {
                if flush_first {
                    sender.flush().await?;
                }
                sender.send("after it").await
            };
            let (sent, received) = tokio::join!(sending, receiving);
            sent.unwrap();
            let (message, descriptors) = received.unwrap().unwrap();
            assert_eq!((message.byte_count(), descriptors.len()), (1 << 20, 1));
            assert_eq!(far.recv().await.unwrap().unwrap().to_text(), Some("after it"));
        }));
    }
}

#[tokio::test]
async fn a_raw_stream_of_a_server_passes_descriptors_too() {
    let transports = Transports::new().with(UnixTransport::new());
    let address = format!("unix:@transport-unix-raw-{}", std::process::id());
    let mut server =
        Listen::new(&transports, &address).policy(Policy::same_user()).start_raw().await.unwrap();
    let transport = transports.lookup("unix").unwrap();
    let address = address.parse().unwrap();
    let (near, far) = tokio::join!(transport.connect(&address), server.accept());
    let (mut near, mut far) = (near.unwrap().stream, far.unwrap().into_stream());
    assert!(near.carries_descriptors() && far.carries_descriptors());
    for halves in [false, true] {
        let pipe = Pipe::new();
        write_with(&mut far, b"raw", &[pipe.writer.as_fd()]).await;
        let mut space = [0; 10];
        let mut buffer = tokio::io::ReadBuf::new(&mut space);
        let mut descriptors = Vec::new();
        if halves {
            let (mut read, _write) = near.into_split();
            std::future::poll_fn(|cx| read.poll_read_with_descriptors(cx, &mut buffer, &mut descriptors))
                .await
                .unwrap();
            assert_eq!(buffer.filled(), b"raw");
            pipe.ends_in(descriptors.remove(0), "raw");
            return;
        }
        std::future::poll_fn(|cx| near.poll_read_with_descriptors(cx, &mut buffer, &mut descriptors))
            .await
            .unwrap();
        assert_eq!(buffer.filled(), b"raw");
        pipe.ends_in(descriptors.remove(0), "raw");
    }
}

async fn write_with(stream: &mut BoxStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let bufs = [std::io::IoSlice::new(bytes)];
    let written = std::future::poll_fn(|cx| stream.poll_write_with_descriptors(cx, &bufs, descriptors)).await;
    assert_eq!(written.expect("write"), bytes.len());
}

/// A file in memory: how slow or full a disk is does not matter.
fn file_with(text: &str) -> std::fs::File {
    let memory = rustix::fs::memfd_create("text", rustix::fs::MemfdFlags::CLOEXEC).expect("a file");
    let mut file = std::fs::File::from(memory);
    file.write_all(text.as_bytes()).expect("write");
    file
}

fn content(descriptor: OwnedFd) -> String {
    use std::io::Seek as _;
    let mut file = std::fs::File::from(descriptor);
    file.rewind().expect("rewind");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("read");
    text
}

fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
