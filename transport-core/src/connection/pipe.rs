//! The stream of a connection that is not split, and what goes out through it.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead as _, ReadBuf};

use super::error::SendError;
use super::inbound::Link;
use super::life::Life;
use super::outbound::{Outbound, Writer};
use super::receipts::Receipts;
use crate::framing::Control;
use crate::transport::BoxStream;

/// The stream and what goes out through it.
pub(super) struct Pipe {
    pub(super) stream: BoxStream,
    pub(super) outbound: Outbound,
    pub(super) writer: Writer,
    pub(super) life: Life,
    /// Present where a client counts what may be lost.
    pub(super) receipts: Option<Box<Receipts>>,
}

impl Pipe {
    pub(super) fn poll_make_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.outbound.report(&self.life);
        let rest = self.outbound.rest();
        self.writer.poll_write(&mut self.outbound.buffer, rest, &mut self.stream, &self.life, cx)
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.outbound.report(&self.life);
        self.writer.poll_flush(&mut self.outbound.buffer, &mut self.stream, &self.life, cx)
    }
}

impl Link for Pipe {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }

    fn poll_read_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        descriptors: &mut Vec<OwnedFd>,
    ) -> Poll<io::Result<()>> {
        self.stream.poll_read_with_descriptors(cx, buf, descriptors)
    }

    fn life(&self) -> &Life {
        &self.life
    }

    fn has_arrived(&self) -> bool {
        self.stream.has_arrived()
    }

    fn reply(&mut self, control: &Control) {
        if let (Control::Ping { .. }, Some(receipts)) = (control, &mut self.receipts) {
            receipts.pinged();
        }
        self.outbound.encode_control(control);
    }

    fn answered(&mut self) {
        if let Some(receipts) = &mut self.receipts {
            receipts.answered();
        }
    }

    /// Pongs, and what a dropped `send` left behind, go out while this side waits. If that fails, the next send
    /// tells; there may still be something to receive.
    fn before_read(&mut self, cx: &mut Context<'_>) {
        if !self.outbound.buffer.is_empty() || !self.writer.is_flushed() {
            let _tells_later = self.poll_flush(cx);
        }
        self.outbound.buffer.release_memory();
    }
}
