//! axum and tonic over our streams: each over TLS and over a Unix socket, and each request knows who sent it.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod axum_serves;
mod places;
mod tonic_serves;
