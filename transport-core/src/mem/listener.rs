//! Accepting.

use std::io;
use std::task::{Context, Poll, ready};

use tokio::sync::mpsc;

use super::transport::Names;
use crate::address::Address;
use crate::evidence::Protection;
use crate::transport::{Incoming, Listener};

pub(super) struct MemListener {
    incoming: mpsc::Receiver<Incoming>,
    local: Address,
    name: String,
    names: Names,
}

impl MemListener {
    pub(super) fn new(
        incoming: mpsc::Receiver<Incoming>,
        local: Address,
        name: String,
        names: Names,
    ) -> MemListener {
        MemListener { incoming, local, name, names }
    }
}

impl Listener for MemListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        let incoming = ready!(self.incoming.poll_recv(cx));
        // The table of names holds the other end for as long as this listener lives.
        Poll::Ready(incoming.ok_or_else(|| io::Error::other("the name has been taken away")))
    }

    fn local_address(&self) -> &Address {
        &self.local
    }

    fn protection(&self) -> Protection {
        Protection::SameHost
    }
}

impl Drop for MemListener {
    fn drop(&mut self) {
        self.names.lock().remove(&self.name);
    }
}
