//! Hostile peers of sockets: each attack is tried on every kind of socket that takes peers in, the events tell what it was,
//! and a good peer goes on being served.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

#[path = "../common/mod.rs"]
mod common;
mod curve;
mod frames;
mod handshakes;
mod identities;
mod patterns;
mod splits;
mod subscriptions;
