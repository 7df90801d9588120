//! The two halves of a socket that sends and receives plain messages, for use by different tasks.

use std::fmt;
use std::sync::Arc;

use crate::engine::{Incoming, Outgoing, Owner};

/// The sending half of a [`DealerSocket`](crate::DealerSocket) or [`PairSocket`](crate::PairSocket).
///
/// The socket closes when both halves are dropped.
pub struct DuplexSender {
    outgoing: Outgoing,
    _owner: Arc<Owner>,
}

/// The receiving half of a [`DealerSocket`](crate::DealerSocket) or [`PairSocket`](crate::PairSocket).
///
/// The socket closes when both halves are dropped.
pub struct DuplexReceiver {
    incoming: Incoming,
    _owner: Arc<Owner>,
}

impl DuplexSender {
    pub(super) fn new(outgoing: Outgoing, owner: Arc<Owner>) -> DuplexSender {
        DuplexSender { outgoing, _owner: owner }
    }
}

impl DuplexReceiver {
    pub(super) fn new(incoming: Incoming, owner: Arc<Owner>) -> DuplexReceiver {
        DuplexReceiver { incoming, _owner: owner }
    }
}

sending!(DuplexSender);
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
