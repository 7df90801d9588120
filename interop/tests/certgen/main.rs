//! What certgen makes, given to TLS and CMS programs that other people wrote.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod openssl;
mod python;
mod rustls;
mod set_up;
mod stunnel;
