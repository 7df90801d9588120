//! TLS with the program `openssl` as the other side.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod meeting;
mod refusals;
mod resumption;
mod set_up;
