//! Accepting.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use tokio::net::TcpListener as TokioListener;

use super::stream::{establish, protection};
use crate::address::Address;
use crate::evidence::Protection;
use crate::transport::{HandOver, Incoming, Listener};

pub(super) struct TcpListener {
    socket: Arc<ListeningSocket>,
    local: Address,
    protection: Protection,
}

struct ListeningSocket(TokioListener);

impl TcpListener {
    pub(super) fn new(listener: TokioListener, asked: &Address) -> io::Result<TcpListener> {
        let local = listener.local_addr()?;
        let protection = protection(local.ip());
        let socket = Arc::new(ListeningSocket(listener));
        Ok(TcpListener { socket, local: asked.with_port(local.port()), protection })
    }
}

impl Listener for TcpListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        let (stream, peer) = ready!(self.socket.0.poll_accept(cx))?;
        Poll::Ready(establish(stream, peer).map(Incoming::Established))
    }

    fn local_address(&self) -> &Address {
        &self.local
    }

    fn protection(&self) -> Protection {
        self.protection
    }

    fn hand_over(&self) -> Option<Weak<dyn HandOver>> {
        let socket: Arc<dyn HandOver> = Arc::clone(&self.socket) as _;
        Some(Arc::downgrade(&socket))
    }
}

impl HandOver for ListeningSocket {
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.0.as_fd()]
    }

    // A TCP socket has nothing in the file system.
    fn release(&self) {}

    fn keep(&self) {}
}
