//! Byte streams, whole and in halves.

use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::sockets::has_bytes;
use crate::descriptors::cannot_carry;

/// An open byte stream.
///
/// A wrapper forwards [`is_write_vectored`](AsyncWrite::is_write_vectored), or large messages are written piece by
/// piece.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// The socket beneath, when the bytes of this stream are exactly those of the socket: for `splice(2)`, for
    /// passing descriptors and for spinning. `None` when something, such as TLS, is in between.
    fn plain_socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Whether bytes of the peer wait in the kernel although the last read found none: a server that drains asks
    /// this before it takes the stream for empty. The default asks the plain socket; a wrapper forwards it.
    fn has_arrived(&self) -> bool {
        self.plain_socket().is_some_and(has_bytes)
    }

    /// Whether descriptors can be passed beside the bytes: over a Unix socket with nothing in between. Core asks before
    /// it uses the two methods below; a wrapper forwards all three, or none.
    fn carries_descriptors(&self) -> bool {
        false
    }

    /// Reads as [`AsyncRead`] does, and appends the descriptors that came with the bytes, with close-on-exec set. A read
    /// ends where bytes with descriptors end.
    ///
    /// # Errors
    ///
    /// When this stream carries none, or some could not be taken in; those that could are closed then.
    fn poll_read_with_descriptors(
        &mut self,
        _cx: &mut Context<'_>,
        _buf: &mut ReadBuf<'_>,
        _descriptors: &mut Vec<OwnedFd>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(cannot_carry()))
    }

    /// Writes as [`AsyncWrite`] does, with descriptors that go with the first byte: all of them, or nothing was written.
    ///
    /// # Errors
    ///
    /// When this stream carries none.
    fn poll_write_with_descriptors(
        &mut self,
        _cx: &mut Context<'_>,
        _bufs: &[IoSlice<'_>],
        _descriptors: &[BorrowedFd<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(cannot_carry()))
    }

    /// Moves to the tokio runtime of the calling thread: from now on that one must run for this stream to go on, and no
    /// other. A socket is registered there; a stream with nothing but memory has nothing to do; a wrapper forwards it.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported), which is the default, when the stream cannot move; else when the system
    /// refuses. The stream is as it was then.
    fn move_to_runtime(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Splits the stream for use by two tasks. The default shares it behind a lock; a socket can do better.
    ///
    /// Dropping the outgoing half of a socket closes that direction; of other streams it may not, so use
    /// [`shutdown`](tokio::io::AsyncWriteExt::shutdown).
    fn into_split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (read, write) = tokio::io::split(self);
        (Box::new(read), Box::new(write))
    }
}

/// The incoming half of a split [`Stream`].
pub trait ReadHalf: AsyncRead + Send + Unpin {
    /// As [`Stream::has_arrived`].
    fn has_arrived(&self) -> bool {
        false
    }

    /// As [`Stream::poll_read_with_descriptors`].
    fn poll_read_with_descriptors(
        &mut self,
        _cx: &mut Context<'_>,
        _buf: &mut ReadBuf<'_>,
        _descriptors: &mut Vec<OwnedFd>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(cannot_carry()))
    }
}

/// The outgoing half of a split [`Stream`].
pub trait WriteHalf: AsyncWrite + Send + Unpin {
    /// As [`Stream::poll_write_with_descriptors`].
    fn poll_write_with_descriptors(
        &mut self,
        _cx: &mut Context<'_>,
        _bufs: &[IoSlice<'_>],
        _descriptors: &[BorrowedFd<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(cannot_carry()))
    }
}

impl<S: Stream + ?Sized> ReadHalf for tokio::io::ReadHalf<Box<S>> {}
impl<S: Stream + ?Sized> WriteHalf for tokio::io::WriteHalf<Box<S>> {}

/// A boxed [`Stream`].
pub type BoxStream = Box<dyn Stream>;
/// A boxed [`ReadHalf`].
pub type BoxRead = Box<dyn ReadHalf>;
/// A boxed [`WriteHalf`].
pub type BoxWrite = Box<dyn WriteHalf>;

/// A boxed stream is a stream: for transports that wrap another one.
impl Stream for BoxStream {
    fn plain_socket(&self) -> Option<BorrowedFd<'_>> {
        (**self).plain_socket()
    }

    fn has_arrived(&self) -> bool {
        (**self).has_arrived()
    }

    fn carries_descriptors(&self) -> bool {
        (**self).carries_descriptors()
    }

    fn poll_read_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        descriptors: &mut Vec<OwnedFd>,
    ) -> Poll<io::Result<()>> {
        (**self).poll_read_with_descriptors(cx, buf, descriptors)
    }

    fn poll_write_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
    ) -> Poll<io::Result<usize>> {
        (**self).poll_write_with_descriptors(cx, bufs, descriptors)
    }

    fn move_to_runtime(&mut self) -> io::Result<()> {
        (**self).move_to_runtime()
    }

    fn into_split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        (*self).into_split()
    }
}
