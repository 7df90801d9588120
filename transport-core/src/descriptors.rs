//! Passing descriptors beside the bytes of a Unix socket (SCM_RIGHTS, unix(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::{Interest, ReadBuf};
use tokio::net::UnixStream;

use crate::claims::Claims;
use crate::framing::FramingError;

/// The most descriptors that the kernel passes at once (SCM_MAX_FD).
pub const MOST_DESCRIPTORS: usize = 253;

/// The property by which a side says how many descriptors it takes with a message: a decimal number.
pub(crate) const PROPERTY: &str = "X-Descriptors";

/// Why descriptors could not be passed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// The two sides have not agreed to pass descriptors.
    #[error(
        "descriptors cannot be passed here: both sides must set Limits::descriptors, and nothing but a Unix socket be in between"
    )]
    NotAgreed,
    /// A message has more of them than its receiver takes.
    #[error("{count} descriptors are too many for one message: its receiver takes {limit}")]
    TooMany {
        /// How many it has, at least.
        count: usize,
        /// How many its receiver takes.
        limit: usize,
    },
}

/// How many descriptors the peer takes with a message, as it says in its properties; 0 when it says nothing.
pub(crate) fn taken_by_peer(claims: &Claims) -> Result<usize, FramingError> {
    let Some(value) = claims.value(PROPERTY) else { return Ok(0) };
    let digits =
        std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok());
    number.filter(|number| (1..=MOST_DESCRIPTORS).contains(number)).ok_or_else(|| {
        let problem = format!("it is not a number from 1 to {MOST_DESCRIPTORS}");
        FramingError::Malformed { what: "X-Descriptors property", problem }
    })
}

/// Whether so many descriptors can go with a message to a peer that takes `limit`; 0 means that none are passed.
pub(crate) fn check(count: usize, limit: usize) -> Result<(), DescriptorError> {
    match limit {
        0 => Err(DescriptorError::NotAgreed),
        _ if count > limit => Err(DescriptorError::TooMany { count, limit }),
        _ => Ok(()),
    }
}

/// What a stream says that has no socket to pass descriptors over.
pub(crate) fn cannot_carry() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this stream carries no descriptors")
}

/// Receives bytes and the descriptors that come with them.
pub(crate) fn poll_recv(
    socket: &UnixStream,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
    descriptors: &mut Vec<OwnedFd>,
) -> Poll<io::Result<()>> {
    loop {
        ready!(socket.poll_read_ready(cx))?;
        match socket.try_io(Interest::READABLE, || recv(socket, buf.initialize_unfilled(), descriptors)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => return Poll::Ready(received.map(|length| buf.advance(length))),
        }
    }
}

/// Sends bytes, and descriptors with the first of them.
pub(crate) fn poll_send(
    socket: &UnixStream,
    cx: &mut Context<'_>,
    bufs: &[IoSlice<'_>],
    descriptors: &[BorrowedFd<'_>],
) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_write_ready(cx))?;
        match socket.try_io(Interest::WRITABLE, || send(socket, bufs, descriptors)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => return Poll::Ready(sent),
        }
    }
}

fn recv(socket: &UnixStream, bytes: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = loop {
        match recvmsg(socket.as_fd(), &mut [IoSliceMut::new(bytes)], &mut control, flags) {
            Err(rustix::io::Errno::INTR) => {}
            result => break result?,
        }
    };
    if received.flags.contains(ReturnFlags::CTRUNC) {
        // There was room for as many as the kernel passes. Those that came are closed with `control`.
        let problem =
            "a descriptor that was passed could not be taken in: this process may have too many open files";
        return Err(io::Error::other(problem));
    }
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok(received.bytes)
}

fn send(socket: &UnixStream, bufs: &[IoSlice<'_>], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "more than 253 descriptors at once"));
    }
    loop {
        match sendmsg(socket.as_fd(), bufs, &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_property_is_a_number_that_the_kernel_can_keep() {
        let taken = |value: &'static str| taken_by_peer(&Claims::new().with("x-descriptors", value)).ok();
        assert_eq!(taken("1"), Some(1));
        assert_eq!(taken("253"), Some(253));
        for bad in ["", "0", "254", "+1", "-1", " 1", "1e3", "99999999999999999999999", "\u{663}"] {
            assert_eq!(taken(bad), None, "{bad:?}");
        }
        assert_eq!(taken_by_peer(&Claims::new()), Ok(0));
    }
}
