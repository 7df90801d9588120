//! TLS with the programs `openssl` and `stunnel` as the other side.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod legacy;
mod meeting;
mod refusals;
mod resumption;
mod set_up;
mod stunnel;
mod zmq;
