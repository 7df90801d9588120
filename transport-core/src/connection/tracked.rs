//! A stream that keeps its place at its server.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::Cut;
use super::life::Life;
use crate::transport::{BoxRead, BoxStream, BoxWrite, ReadHalf, Stream};

/// A stream, or a half of one, that counts as one of its server's connections until it is dropped, and fails when the
/// server cuts it.
pub(crate) struct Tracked<S> {
    stream: S,
    life: Life,
}

impl<S> Tracked<S> {
    pub(crate) fn new(stream: S, life: Life) -> Tracked<S> {
        Tracked { stream, life }
    }
}

impl Tracked<BoxStream> {
    pub(crate) fn boxed(stream: BoxStream, life: Life) -> BoxStream {
        Box::new(Tracked::new(stream, life))
    }
}

fn unless_cut<R>(poll: Poll<io::Result<R>>, cut: impl FnOnce() -> Option<Cut>) -> Poll<io::Result<R>> {
    match poll {
        Poll::Pending => match cut() {
            Some(cut) => Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, cut))),
            None => Poll::Pending,
        },
        ready => ready,
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tracked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        unless_cut(poll, || self.life.poll_cut_for_recv(cx))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tracked<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        unless_cut(poll, || self.life.poll_cut_for_send(cx))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        unless_cut(poll, || self.life.poll_cut_for_send(cx))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        unless_cut(poll, || self.life.poll_cut_for_send(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(cx);
        unless_cut(poll, || self.life.poll_cut_for_send(cx))
    }
}

impl Stream for Tracked<BoxStream> {
    fn plain_socket(&self) -> Option<BorrowedFd<'_>> {
        self.stream.plain_socket()
    }

    fn has_arrived(&self) -> bool {
        self.stream.has_arrived()
    }

    fn into_split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let Tracked { stream, life } = *self;
        let (read, write) = stream.into_split();
        (Box::new(Tracked::new(read, life.share())), Box::new(Tracked::new(write, life)))
    }
}

impl ReadHalf for Tracked<BoxRead> {
    fn has_arrived(&self) -> bool {
        self.stream.has_arrived()
    }
}
