//! Authenticated connections: messages in, messages out, and who the peer is.
//!
//! ```text
//! open: a handshake over a stream
//!   |
//! whole: a Connection ----------apart---------->  halves: a Sender, cloned for many tasks, and a Receiver
//!   reads by `inbound`, through its `pipe`          `queue` and `flusher` write by `outbound`, the receiver reads by
//!   writes by `outbound`                            `inbound`; `try_send`, `group`, `broadcast`: many connections
//!
//! about: who the peer is      life, closed: the tie to the server      driven: as clients and calls use it
//! ```

mod about;
mod alarm;
mod apart;
mod arriving;
mod broadcast;
mod closed;
mod driven;
mod error;
mod flusher;
mod group;
mod halves;
mod inbound;
mod kept;
mod life;
mod open;
mod outbound;
mod pipe;
mod queue;
mod read_buffer;
mod receipts;
mod receiver;
mod sender;
mod tracked;
mod try_send;
mod whole;

pub(crate) use about::About;
pub(crate) use alarm::{Alarm, after, now};
pub use broadcast::{Broadcast, BroadcastMany};
pub use closed::{CloseReason, Closed, ConnectionId, Traffic};
pub(crate) use error::runtime_ended;
pub use error::{Cut, RecvError, SendError};
pub use group::SenderGroup;
pub(crate) use life::{Life, Registry};
pub(crate) use open::{Unopened, open};
pub(crate) use outbound::Outbound;
pub use receiver::Receiver;
pub use sender::{Sender, SenderPermit};
pub(crate) use tracked::Tracked;
pub use whole::{Connection, Permit};
