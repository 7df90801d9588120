//! Accepting.

use std::io;
use std::task::{Context, Poll, ready};

use tokio::net::TcpListener as TokioListener;

use super::stream::{establish, protection};
use crate::address::Address;
use crate::evidence::Protection;
use crate::transport::{Incoming, Listener};

pub(super) struct TcpListener {
    listener: TokioListener,
    local: Address,
    protection: Protection,
}

impl TcpListener {
    pub(super) fn new(listener: TokioListener, asked: &Address) -> io::Result<TcpListener> {
        let local = listener.local_addr()?;
        let protection = protection(local.ip());
        Ok(TcpListener { listener, local: asked.with_port(local.port()), protection })
    }
}

impl Listener for TcpListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        let (stream, peer) = ready!(self.listener.poll_accept(cx))?;
        Poll::Ready(establish(stream, peer).map(Incoming::Established))
    }

    fn local_address(&self) -> &Address {
        &self.local
    }

    fn protection(&self) -> Protection {
        self.protection
    }
}
