//! Every bound that a connection or a listener keeps.

use std::time::Duration;

/// Every bound on what a peer can make this side hold or wait for.
///
/// Before authentication a peer gets small frames, few of them and little time; afterwards more, but always a
/// bound. Memory grows with the bytes that arrived, never with a length that was announced.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use transport_core::Limits;
/// let limits = Limits::default().with_message(64 << 20).with_handshake_time(Duration::from_secs(2));
/// assert_eq!(limits.parts, 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest frame before authentication, in bytes. Default 4 KiB.
    pub handshake_frame: usize,
    /// Most frames before authentication. Default 8.
    pub handshake_frames: usize,
    /// How long the transport may take to connect. Default 10 s.
    pub connect_time: Duration,
    /// From accept (or connected) to authenticated; whoever is slower is dropped. Default 5 s.
    pub handshake_time: Duration,
    /// Most handshakes under way at one listener. When a further one comes, the oldest of the source that has
    /// most of them gives way. Default 256.
    pub pending_handshakes: usize,
    /// Most authenticated connections of one listener at a time; further peers wait in the kernel's backlog.
    /// Default 65,536.
    pub connections: usize,
    /// Largest message received, in bytes over all parts, each part counted with 16 bytes more. Default 16 MiB.
    pub message: usize,
    /// Most parts of a message received. Default 1,024.
    pub parts: usize,
    /// From this many bytes queued for writing on, whoever sends has to wait; one message may go beyond. Of split
    /// connections as many again can be on their way to the kernel. An unsplit one writes from 128 KiB on. Default
    /// 128 KiB: more only costs cache.
    pub queued_out: usize,
    /// As `queued_out`, in messages: of split connections only. Default: no limit.
    pub queued_out_messages: usize,
    /// How long a write may make no progress at all before the connection counts as dead. Default 30 s.
    pub write_time: Duration,
    /// Silence after which the peer is asked for a sign of life; zero for never. Default 30 s.
    pub ping_after: Duration,
    /// Silence after which a peer that was asked at `ping_after` counts as dead; when it is no longer than that, the peer is asked
    /// after half of it, and never when it is zero. Default 90 s.
    pub dead_after: Duration,
    /// How long [`Connection::close`](crate::Connection::close) waits for the peer to take the last bytes and
    /// close too. Default 2 s.
    pub close_time: Duration,
    /// Most bytes that arrived at all connections of one listener and were not yet received by the
    /// application. Beyond it the connection that holds most of them is closed. Default 256 MiB.
    pub unread_per_listener: usize,
    /// Most descriptors that one message may bring, at most 253. With 0 descriptors are not passed at all, either way:
    /// both sides must set it, over a Unix socket. Default 0.
    pub descriptors: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            handshake_frame: 4 << 10,
            handshake_frames: 8,
            connect_time: Duration::from_secs(10),
            handshake_time: Duration::from_secs(5),
            pending_handshakes: 256,
            connections: 65_536,
            message: 16 << 20,
            parts: 1024,
            queued_out: 128 << 10,
            queued_out_messages: usize::MAX,
            write_time: Duration::from_secs(30),
            ping_after: Duration::from_secs(30),
            dead_after: Duration::from_secs(90),
            close_time: Duration::from_secs(2),
            unread_per_listener: 256 << 20,
            descriptors: 0,
        }
    }
}

macro_rules! setters {
    ($($setter:ident sets $field:ident: $type:ty;)*) => {
        impl Limits {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Limits::", stringify!($field), ").")]
                #[must_use]
                pub fn $setter(mut self, value: $type) -> Limits {
                    self.$field = value;
                    self
                }
            )*
        }
    };
}
setters! {
    with_handshake_frame sets handshake_frame: usize;
    with_handshake_frames sets handshake_frames: usize;
    with_connect_time sets connect_time: Duration;
    with_handshake_time sets handshake_time: Duration;
    with_pending_handshakes sets pending_handshakes: usize;
    with_connections sets connections: usize;
    with_message sets message: usize;
    with_parts sets parts: usize;
    with_queued_out sets queued_out: usize;
    with_queued_out_messages sets queued_out_messages: usize;
    with_write_time sets write_time: Duration;
    with_ping_after sets ping_after: Duration;
    with_dead_after sets dead_after: Duration;
    with_close_time sets close_time: Duration;
    with_unread_per_listener sets unread_per_listener: usize;
    with_descriptors sets descriptors: usize;
}

/// What each part of a message counts on top of its bytes: a million empty parts are not free.
pub(crate) const PART_OVERHEAD: usize = 16;
