//! What all sockets have in common: endpoints, peers, and the queues between them and the application.
//!
//! ```text
//! application   send                                      recv
//!                |                                         ^
//!            Outgoing  chooses a pipe                   Incoming  takes turns
//!                |  (its own copy of the list)             |
//!              Pipes ------------------ Hub ------------ Inbox
//!             /  |  \                    |              /  |  \   batches, one gate for each peer
//!        Sender  |  WaitQueue          links          reads
//!                |  of an endpoint       |               |
//!             Sender                  Connections, each with a task that reads
//! ```
//!
//! A message that is sent is encoded by the application's task into the buffer of the peer's connection, which a flusher
//! writes. What arrives is handed on by the peer's task in batches, as it was read, from which the application is lent
//! messages or takes them one by one.

mod endpoints;
pub(crate) mod gate;
mod hub;
mod inbox;
mod link;
mod pattern;
mod pipes;
mod room;
mod spin;
mod spin_payoff;
mod stage;
mod turn;

pub use endpoints::EndpointError;
pub(crate) use hub::{Hub, Owner};
pub(crate) use inbox::Incoming;
pub(crate) use pattern::{Open, Pattern, SendOnly};
pub(crate) use pipes::{Outgoing, send_to};
pub(crate) use room::{Room, Slot};
pub(crate) use stage::Stage;
pub(crate) use turn::Turn;
