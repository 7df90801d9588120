//! A stream that keeps its place at its server, and is counted.

use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::closed::CloseReason;
use super::error::Cut;
use super::life::Life;
use crate::transport::{BoxRead, BoxStream, BoxWrite, ReadHalf, Stream, WriteHalf};

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

impl<S> Tracked<S> {
    pub(crate) fn life(&self) -> &Life {
        &self.life
    }

    /// Reads by `read`, unless the connection has been cut, and counts what came.
    #[inline]
    fn poll_read_by(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        read: impl FnOnce(&mut S, &mut Context<'_>, &mut ReadBuf<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        if let Some(cut) = self.life.poll_cut_for_recv(cx) {
            return Poll::Ready(Err(failed(cut)));
        }
        let before = buf.filled().len();
        let read = ready!(read(&mut self.stream, cx, buf));
        let bytes = buf.filled().len() - before;
        self.life.count_read(bytes);
        if read.is_ok() && bytes == 0 && buf.remaining() > 0 {
            self.life.end(|| Some(CloseReason::PeerClosed));
        }
        Poll::Ready(self.noting(read))
    }

    /// Writes by `write`, unless the connection has been cut, and counts what went.
    #[inline]
    fn poll_write_by(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut S, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Some(cut) = self.life.poll_cut_for_send(cx) {
            return Poll::Ready(Err(failed(cut)));
        }
        let written = ready!(write(&mut self.stream, cx));
        if let Ok(bytes) = written {
            self.life.count_written(bytes);
        }
        Poll::Ready(self.noting(written))
    }

    fn noting<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.life.end(|| Some(CloseReason::Io(error.kind())));
        }
        result
    }
}

impl Tracked<BoxStream> {
    pub(crate) fn boxed(stream: BoxStream, life: Life) -> BoxStream {
        Box::new(Tracked::new(stream, life))
    }
}

fn failed(cut: Cut) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, cut)
}

impl<S: AsyncRead + Unpin> AsyncRead for Tracked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_read_by(cx, buf, |stream, cx, buf| Pin::new(stream).poll_read(cx, buf))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tracked<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_by(cx, |stream, cx| Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_by(cx, |stream, cx| Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(cut) = self.life.poll_cut_for_send(cx) {
            return Poll::Ready(Err(failed(cut)));
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(cut) = self.life.poll_cut_for_send(cx) {
            return Poll::Ready(Err(failed(cut)));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Stream for Tracked<BoxStream> {
    fn plain_socket(&self) -> Option<BorrowedFd<'_>> {
        self.stream.plain_socket()
    }

    fn has_arrived(&self) -> bool {
        self.stream.has_arrived()
    }

    fn carries_descriptors(&self) -> bool {
        self.stream.carries_descriptors()
    }

    fn poll_read_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        descriptors: &mut Vec<OwnedFd>,
    ) -> Poll<io::Result<()>> {
        self.poll_read_by(cx, buf, |stream, cx, buf| stream.poll_read_with_descriptors(cx, buf, descriptors))
    }

    fn poll_write_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_by(cx, |stream, cx| stream.poll_write_with_descriptors(cx, bufs, descriptors))
    }

    fn move_to_runtime(&mut self) -> io::Result<()> {
        self.stream.move_to_runtime()
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

    fn poll_read_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        descriptors: &mut Vec<OwnedFd>,
    ) -> Poll<io::Result<()>> {
        self.poll_read_by(cx, buf, |stream, cx, buf| stream.poll_read_with_descriptors(cx, buf, descriptors))
    }
}

impl WriteHalf for Tracked<BoxWrite> {
    fn poll_write_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_by(cx, |stream, cx| stream.poll_write_with_descriptors(cx, bufs, descriptors))
    }
}
