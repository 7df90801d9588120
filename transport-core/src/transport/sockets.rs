//! Tokio's sockets as streams.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::stream::{BoxRead, BoxWrite, ReadHalf, Stream, WriteHalf};
use crate::descriptors;

impl Stream for tokio::net::TcpStream {
    fn plain_socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn move_to_runtime(&mut self) -> io::Result<()> {
        let socket = self.as_fd().try_clone_to_owned()?;
        *self = tokio::net::TcpStream::from_std(socket.into())?;
        Ok(())
    }

    fn into_split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (read, write) = (*self).into_split();
        (Box::new(read), Box::new(write))
    }
}

impl ReadHalf for tokio::net::tcp::OwnedReadHalf {
    fn has_arrived(&self) -> bool {
        has_bytes(self.as_ref().as_fd())
    }
}

impl WriteHalf for tokio::net::tcp::OwnedWriteHalf {}

impl Stream for tokio::net::UnixStream {
    fn plain_socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn carries_descriptors(&self) -> bool {
        true
    }

    fn poll_read_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        descriptors: &mut Vec<OwnedFd>,
    ) -> Poll<io::Result<()>> {
        descriptors::poll_recv(self, cx, buf, descriptors)
    }

    fn poll_write_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
    ) -> Poll<io::Result<usize>> {
        descriptors::poll_send(self, cx, bufs, descriptors)
    }

    fn move_to_runtime(&mut self) -> io::Result<()> {
        let socket = self.as_fd().try_clone_to_owned()?;
        *self = tokio::net::UnixStream::from_std(socket.into())?;
        Ok(())
    }

    fn into_split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (read, write) = (*self).into_split();
        (Box::new(read), Box::new(write))
    }
}

impl ReadHalf for tokio::net::unix::OwnedReadHalf {
    fn has_arrived(&self) -> bool {
        has_bytes(self.as_ref().as_fd())
    }

    fn poll_read_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        descriptors: &mut Vec<OwnedFd>,
    ) -> Poll<io::Result<()>> {
        descriptors::poll_recv(self.as_ref(), cx, buf, descriptors)
    }
}

impl WriteHalf for tokio::net::unix::OwnedWriteHalf {
    fn poll_write_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
    ) -> Poll<io::Result<usize>> {
        descriptors::poll_send(self.as_ref(), cx, bufs, descriptors)
    }
}

/// Whether the kernel has bytes for the reader of a socket.
pub(super) fn has_bytes(socket: impl AsFd) -> bool {
    rustix::io::ioctl_fionread(socket).is_ok_and(|bytes| bytes > 0)
}
