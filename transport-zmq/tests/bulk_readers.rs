//! How often a socket looks at a stream that has nothing for it, after bulk and after little.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use common::raw::{greeting, message, ready};
use common::{config, within};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use transport_core::{
    Address, BoxFuture, Claims, Established, Evidence, Listener, Protection, Source, Stream, Transport,
    TransportError, Transports,
};
use transport_zmq::PullSocket;

/// A transport in memory whose far ends the test plays, and which counts the reads that found nothing.
struct Counting {
    far_ends: mpsc::UnboundedSender<DuplexStream>,
    in_vain: Arc<AtomicUsize>,
}

struct CountingStream(DuplexStream, Arc<AtomicUsize>);

impl Transport for Counting {
    fn scheme(&self) -> &'static str {
        "counting"
    }

    fn connect<'a>(&'a self, _address: &'a Address) -> BoxFuture<'a, Result<Established, TransportError>> {
        // Whatever is written at once fits.
        let (near, far) = tokio::io::duplex(1 << 20);
        self.far_ends.send(far).unwrap();
        let stream = Box::new(CountingStream(near, Arc::clone(&self.in_vain)));
        let (evidence, claims) = (Evidence::new(Protection::SameHost), Claims::new());
        Box::pin(async { Ok(Established { stream, evidence, claims, source: Source::SameProcess }) })
    }

    fn listen<'a>(
        &'a self,
        _address: &'a Address,
    ) -> BoxFuture<'a, Result<Box<dyn Listener>, TransportError>> {
        unimplemented!("the test plays the far end")
    }
}

impl AsyncRead for CountingStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.0).poll_read(cx, buf);
        if read.is_pending() {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for CountingStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Stream for CountingStream {}

/// Lets the socket's tasks run until each waits for something, or looks again.
async fn let_tasks_run() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn after_bulk_a_socket_looks_again_before_it_waits_and_after_little_it_does_not() {
    const MESSAGES: usize = 10;
    let (far_ends, mut opened) = mpsc::unbounded_channel();
    let in_vain = Arc::new(AtomicUsize::new(0));
    let counting = Counting { far_ends, in_vain: Arc::clone(&in_vain) };
    let mut pull = PullSocket::new(&Transports::new().with(counting), config());
    pull.connect("counting://here").unwrap();
    let mut far = within(opened.recv()).await.unwrap();
    far.write_all(&[greeting("NULL"), ready("PUSH", b"")].concat()).await.unwrap();

    let mut reads_in_vain = async |size: usize| {
        let bytes = message(&[&vec![7; size]]);
        let mut counted = 0;
        for _ in 0..MESSAGES {
            far.write_all(&bytes).await.unwrap();
            let before = in_vain.load(Ordering::Relaxed);
            assert_eq!(within(pull.recv()).await.byte_count(), size);
            let_tasks_run().await;
            counted += in_vain.load(Ordering::Relaxed) - before;
        }
        counted
    };
    // The handshake's reads are not counted.
    reads_in_vain(100).await;
    assert_eq!(reads_in_vain(100).await, MESSAGES, "once each, and then the task sleeps");
    let bulk = reads_in_vain(64 << 10).await;
    // Nothing wakes the task but itself.
    assert!(bulk > MESSAGES, "{bulk} for {MESSAGES} messages");
}
