//! The command line, as its users see it: exit codes, what is written and with which mode, what is said.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod authority;
mod check;
mod documentation;
mod mishaps;
mod plain;
mod renewal;
mod requests;
mod revocation;
mod set_up;
