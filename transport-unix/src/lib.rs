//! Unix sockets whose peers the kernel identifies: the `unix` transport.
//!
//! ```text
//! unix:///run/app.sock              a socket file, mode 0600 unless told otherwise
//! unix:///run/app.sock?mode=0660&group=app    open to the group `app` too; also owner=, names or numbers
//! unix:@app                         a name in Linux's abstract namespace: no file, no mode
//! ```
//!
//! Both sides learn the other's uid, gid and pid from the kernel (SO_PEERCRED): an unmodified ZeroMQ program that
//! connects to `ipc:///run/app.sock` is identified without any change on its side.
//!
//! A socket file that a server left behind is removed by the next one; one that is in use, and anything that is no
//! socket, never is. Beside the socket there is a lock file, `PATH.lock`, for as long as the server runs: of two servers
//! that start at once exactly one wins. Folders above it in which others could replace the file are refused.
//!
//! # Examples
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use transport_core::{Connect, Listen, Policy, Transports};
//! use transport_unix::UnixTransport;
//!
//! let transports = Transports::new().with(UnixTransport::new());
//! let mut server = Listen::new(&transports, "unix:@transport-unix-docs").policy(Policy::same_user()).start().await?;
//! let client = Connect::new(&transports, "unix:@transport-unix-docs").server(Policy::same_user()).await?;
//! let connection = server.accept().await.expect("the server goes on");
//! assert_eq!(connection.identity(), client.identity());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod access;
mod config;
mod folders;
mod hand_over;
mod inherited;
mod listener;
mod place;
mod processes;
mod socket_file;
mod stream;
mod transport;

pub use config::UnixConfig;
pub use hand_over::{HandOverError, Offer, TakenOver};
pub use inherited::{Inherited, InheritedError};
pub use transport::UnixTransport;

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
