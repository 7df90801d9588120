//! TLS as a client and a server see it.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

#[path = "../common/mod.rs"]
mod common;
mod meet;

mod bindings;
mod endings;
mod gathering;
mod hellos;
mod loading;
mod peers;
#[cfg(feature = "platform-trust")]
mod platform;
mod proxies;
mod refusals;
mod reload;
