//! Why a client does not go on.

use std::sync::Arc;
use std::time::Duration;

use crate::connect::ConnectError;

/// Why a client took no message.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientSendError {
    /// The queue had no room for this long.
    #[error("the queue had no room for {0:?}")]
    Full(Duration),
    /// The client has ended.
    #[error(transparent)]
    Ended(#[from] ClientEnd),
}

/// Why a client has ended.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientEnd {
    /// This side closed it.
    #[error("the client was closed by this side")]
    Closed,
    /// It gave up.
    #[error(transparent)]
    GaveUp(#[from] GaveUp),
}

/// Why a client gave up.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GaveUp {
    /// No address is left that another attempt could succeed at; this was the error of the last one.
    #[error("connecting failed in a way that does not mend itself")]
    ForGood(#[source] Arc<ConnectError>),
    /// There was no connection for [`give_up_after`](super::ClientConfig::give_up_after).
    #[error("there was no connection for {time:?}")]
    TooLong {
        /// How long.
        time: Duration,
        /// Why the last attempt failed.
        #[source]
        last: Option<Arc<ConnectError>>,
    },
}
