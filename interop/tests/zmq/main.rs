//! The sockets of `transport-zmq` and those of libzmq, through pyzmq, and of the crate `zeromq`.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

/// Over each wire, with our sockets or theirs binding.
macro_rules! everywhere {
    ($($name:ident)*) => {$(
        mod $name {
            use crate::pair::Side;
            use interop::{Wire, bounded};

            #[tokio::test]
            async fn over_tcp_with_ours_binding() {
                bounded(super::$name(Wire::Tcp, Side::Ours)).await;
            }

            #[tokio::test]
            async fn over_ipc_with_ours_binding() {
                bounded(super::$name(Wire::Ipc, Side::Ours)).await;
            }

            #[tokio::test]
            async fn over_tcp_with_theirs_binding() {
                bounded(super::$name(Wire::Tcp, Side::Theirs)).await;
            }

            #[tokio::test]
            async fn over_ipc_with_theirs_binding() {
                bounded(super::$name(Wire::Ipc, Side::Theirs)).await;
            }
        }
    )*};
}

mod by_hand;
mod by_hand_bound;
mod compatibility;
mod conflation;
mod credentials;
mod crowd;
mod joiners;
mod killed;
mod marks;
mod meeting;
mod messages;
mod pair;
mod pairs;
mod proxies;
mod proxies_steered;
mod publishers;
mod raw;
mod requests;
mod routing;
mod set_up;
mod zeromq_crate;
