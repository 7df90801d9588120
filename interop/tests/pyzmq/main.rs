//! Stock pyzmq, and so libzmq, as the other side.
#![allow(clippy::unwrap_used, reason = "a test may; clippy knows only functions that are marked as one")]

/// Over each wire, with pyzmq as the connecting and as the accepting side.
macro_rules! everywhere {
    ($($name:ident)*) => {$(
        mod $name {
            use crate::set_up::Side;
            use interop::{Wire, bounded};

            #[tokio::test]
            async fn with_a_client_over_tcp() {
                bounded(super::$name(Wire::Tcp, Side::OursAccepts)).await;
            }

            #[tokio::test]
            async fn with_a_client_over_ipc() {
                bounded(super::$name(Wire::Ipc, Side::OursAccepts)).await;
            }

            #[tokio::test]
            async fn with_a_server_over_tcp() {
                bounded(super::$name(Wire::Tcp, Side::OursConnects)).await;
            }

            #[tokio::test]
            async fn with_a_server_over_ipc() {
                bounded(super::$name(Wire::Ipc, Side::OursConnects)).await;
            }
        }
    )*};
}

mod abstract_names;
mod calls;
mod claims;
mod crowd;
mod endings;
mod heartbeats;
mod messages;
mod null;
mod plain;
mod refusals;
mod set_up;
mod socket_kinds;
mod users;
