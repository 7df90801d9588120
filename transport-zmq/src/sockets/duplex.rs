//! The two halves of a socket that sends and receives plain messages, for use by different tasks.

use std::fmt;
use std::sync::Arc;
use std::task::Poll;

use crate::engine::{Incoming, Outgoing, Owner, Slot};

/// The sending half of a [`DealerSocket`](crate::DealerSocket) or [`PairSocket`](crate::PairSocket).
///
/// It is a [`Sink`](futures_util::Sink) of messages: flushing waits until each has its place in the queue of a peer, from
/// where it goes out by itself, and closing does no more.
///
/// The socket closes when both halves are dropped.
pub struct DuplexSender {
    outgoing: Outgoing,
    _owner: Arc<Owner>,
    slot: Slot,
}

/// The receiving half of a [`DealerSocket`](crate::DealerSocket) or [`PairSocket`](crate::PairSocket).
///
/// It is a [`Stream`](futures_util::Stream) of messages.
///
/// The socket closes when both halves are dropped.
pub struct DuplexReceiver {
    incoming: Incoming,
    _owner: Arc<Owner>,
}

impl DuplexSender {
    pub(super) fn new(outgoing: Outgoing, owner: Arc<Owner>) -> DuplexSender {
        DuplexSender { outgoing, slot: Slot::new(Arc::clone(&**owner)), _owner: owner }
    }
}

impl DuplexReceiver {
    pub(super) fn new(incoming: Incoming, owner: Arc<Owner>) -> DuplexReceiver {
        DuplexReceiver { incoming, _owner: owner }
    }
}

sending!(DuplexSender);
sinking!(
    DuplexSender:
    turn: |_this, _cx| Poll::Ready(()),
    send: |this, message| Ok(this.outgoing.try_send(message)?.is_some()),
    end: |_this, _cx| Poll::Ready(()),
);
receiving!(DuplexReceiver);
streaming!(DuplexReceiver);

impl fmt::Debug for DuplexSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DuplexSender")
    }
}

impl fmt::Debug for DuplexReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DuplexReceiver")
    }
}
