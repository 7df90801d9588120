//! What the sockets decide, apart from any I/O.

pub(crate) mod fair_queue;
pub(crate) mod requests;
pub(crate) mod routing;
pub(crate) mod subscriptions;
