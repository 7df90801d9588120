//! What receiving needs of the connection around it.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use crate::connection::life::Life;
use crate::framing::Control;

/// What [`Inbound`](super::Inbound) needs of the connection around it.
pub(in crate::connection) trait Link {
    /// Reads from the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>>;

    /// Reads from the stream, with the descriptors that come along.
    fn poll_read_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        descriptors: &mut Vec<OwnedFd>,
    ) -> Poll<io::Result<()>>;

    /// The tie to the server.
    fn life(&self) -> &Life;

    /// Whether bytes wait in the kernel although the last read found none.
    fn has_arrived(&self) -> bool;

    /// Queues a control event for the peer.
    fn reply(&mut self, control: &Control);

    /// The peer has answered a ping.
    fn answered(&mut self) {}

    /// Called before each read: queued replies can go out while this side waits.
    fn before_read(&mut self, _cx: &mut Context<'_>) {}
}

/// The stream of a [`Link`] as something to read from; descriptors are taken where there is a place for them.
pub(super) struct Reader<'a, L> {
    pub(super) link: &'a mut L,
    pub(super) descriptors: Option<&'a mut Vec<OwnedFd>>,
}

impl<L: Link> AsyncRead for Reader<'_, L> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Reader { link, descriptors } = &mut *self;
        match descriptors {
            None => link.poll_read(cx, buf),
            Some(descriptors) => link.poll_read_with_descriptors(cx, buf, descriptors),
        }
    }
}
