//! The socket types.

#[macro_use]
mod common;
mod dealer;
mod duplex;
mod pair;
mod publish;
mod pull;
mod push;
mod reply;
mod request;
mod router;
mod subscribe;

pub use dealer::DealerSocket;
pub use duplex::{DuplexReceiver, DuplexSender};
pub use pair::PairSocket;
pub use publish::{PubSocket, XPubSocket};
pub use pull::PullSocket;
pub use push::PushSocket;
pub use reply::{RepSocket, ReplyError};
pub use request::{ReqSocket, RequestError};
pub use router::{RouteError, RouterSocket};
pub(crate) use router::{Routes, behind_sender};
pub(crate) use subscribe::Topics;
pub use subscribe::{SubSocket, XSubSocket};
