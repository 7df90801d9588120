//! The open stream.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use transport_core::{BoxRead, BoxWrite, ReadHalf, Stream, WriteHalf};

use super::pipe::Pipe;

/// A byte stream that travels as messages.
pub(super) struct ZmqStream {
    incoming: Incoming,
    outgoing: Outgoing,
}

/// The incoming direction, which the peer is told to stop when this is dropped.
struct Incoming(Arc<Pipe>);

/// The outgoing direction, which ends behind what was written when this is dropped.
struct Outgoing(Arc<Pipe>);

impl ZmqStream {
    pub(super) fn new(pipe: Arc<Pipe>) -> ZmqStream {
        ZmqStream { incoming: Incoming(Arc::clone(&pipe)), outgoing: Outgoing(pipe) }
    }
}

impl Stream for ZmqStream {
    fn has_arrived(&self) -> bool {
        self.incoming.0.may_have_arrived()
    }

    fn into_split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        (Box::new(self.incoming), Box::new(self.outgoing))
    }
}

impl ReadHalf for Incoming {
    fn has_arrived(&self) -> bool {
        self.0.may_have_arrived()
    }
}

impl WriteHalf for Outgoing {}

impl AsyncRead for Incoming {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, buf)
    }
}

impl AsyncWrite for Outgoing {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(cx)
    }
}

impl AsyncRead for ZmqStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.incoming).poll_read(cx, buf)
    }
}

impl AsyncWrite for ZmqStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.outgoing).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.outgoing).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.outgoing.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.outgoing).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.outgoing).poll_shutdown(cx)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.0.stop_reading();
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.0.finish_writing();
    }
}
