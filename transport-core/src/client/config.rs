//! The settings of a client.

use std::time::Duration;

use super::backoff::BackoffConfig;
use crate::address::{Address, AddressError};

/// The settings of a [`Client`](super::Client).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use transport_core::ClientConfig;
/// let config = ClientConfig::default()
///     .with_fallback("tcp://192.0.2.2:5555")
///     .with_queue_messages(1000)
///     .with_queue_time(Duration::from_secs(5));
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// How long to wait between attempts.
    pub backoff: BackoffConfig,
    /// Most messages that wait to be sent; further senders have to wait. Default 16,384.
    pub queue_messages: usize,
    /// From this many bytes waiting to be sent on, senders have to wait, each part counted with 16 bytes more; one
    /// message may go beyond. Default 16 MiB.
    pub queue_bytes: usize,
    /// How long a sender waits for room in the queue before it gets an error; `None` for as long as it takes. Default
    /// `None`.
    pub queue_time: Option<Duration>,
    /// How long to try without a connection before giving up; `None` for ever. An attempt that is under way then is
    /// finished. Default `None`.
    pub give_up_after: Option<Duration>,
    pub(super) fallbacks: Vec<Result<Address, AddressError>>,
}

impl Default for ClientConfig {
    fn default() -> ClientConfig {
        ClientConfig {
            backoff: BackoffConfig::default(),
            queue_messages: 16 << 10,
            queue_bytes: 16 << 20,
            queue_time: None,
            give_up_after: None,
            fallbacks: Vec::new(),
        }
    }
}

impl ClientConfig {
    /// Adds an address to try when those before it cannot be reached; it may have another scheme. The same policy,
    /// mechanism and limits hold for all of them, and the first one is tried first again after a good connection.
    #[must_use]
    pub fn with_fallback<A>(mut self, address: A) -> ClientConfig
    where
        A: TryInto<Address>,
        AddressError: From<A::Error>,
    {
        self.fallbacks.push(address.try_into().map_err(AddressError::from));
        self
    }

    /// Sets [`backoff`](ClientConfig::backoff).
    #[must_use]
    pub fn with_backoff(mut self, backoff: BackoffConfig) -> ClientConfig {
        self.backoff = backoff;
        self
    }

    /// Sets [`queue_messages`](ClientConfig::queue_messages).
    #[must_use]
    pub fn with_queue_messages(mut self, messages: usize) -> ClientConfig {
        self.queue_messages = messages;
        self
    }

    /// Sets [`queue_bytes`](ClientConfig::queue_bytes).
    #[must_use]
    pub fn with_queue_bytes(mut self, bytes: usize) -> ClientConfig {
        self.queue_bytes = bytes;
        self
    }

    /// Sets [`queue_time`](ClientConfig::queue_time).
    #[must_use]
    pub fn with_queue_time(mut self, time: Duration) -> ClientConfig {
        self.queue_time = Some(time);
        self
    }

    /// Sets [`give_up_after`](ClientConfig::give_up_after).
    #[must_use]
    pub fn with_give_up_after(mut self, time: Duration) -> ClientConfig {
        self.give_up_after = Some(time);
        self
    }
}
