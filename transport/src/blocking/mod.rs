//! For threads without tokio: the same connections, with calls that block (feature `blocking`).
//!
//! The settings are those of [`connect`](crate::connect) and [`listen`](crate::listen); what is made of them blocks.
//!
//! # Threads
//!
//! A [`Connection`] does its reading and writing in the thread that calls it: there is no other thread behind it. It can
//! be moved between threads, and split into halves for two. A [`Server`] has a thread of its own, which takes peers in
//! and authenticates them; it also wakes those connections that it accepted over a transport whose streams cannot move to
//! another runtime (`zmq+...`), which makes their round trip longer.
//!
//! Pings are answered while some thread is in `recv`, as with [`transport_core::Connection`].
//!
//! # Within tokio
//!
//! A thread that runs tokio's tasks must not be blocked, and blocking it would mostly be a deadlock. So each call here
//! fails with [`Error::WithinRuntime`] in such a thread, in one of `spawn_blocking` too, and changes nothing. Use the async
//! API there, or a thread of `std::thread::spawn`.
//!
//! # Examples
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use transport::{Policy, blocking};
//!
//! let listen = transport::listen("mem://blocking").policy(Policy::same_process());
//! let mut server = blocking::listen(listen)?;
//! let echo = std::thread::spawn(move || {
//!     let mut connection = server.accept().unwrap().unwrap();
//!     while let Some(message) = connection.recv().unwrap() {
//!         connection.send(&message).unwrap();
//!     }
//! });
//!
//! let connect = transport::connect("mem://blocking").server(Policy::same_process());
//! let mut connection = blocking::connect(connect)?;
//! connection.send("hello")?;
//! assert_eq!(connection.recv()?.unwrap().to_text(), Some("hello"));
//! connection.close()?;
//! echo.join().unwrap();
//! # Ok(())
//! # }
//! ```

mod calls;
mod connection;
mod error;
mod halves;
mod runtime;
mod server;

use transport_core::{Connect, ConnectError, Listen, ListenError};

pub use calls::{Caller, serve};
pub use connection::Connection;
pub use error::Error;
pub use halves::{Receiver, Sender};
pub use server::{Server, ServerHandle};

use runtime::Runtime;

/// Connects, and waits until both sides know each other.
///
/// # Errors
///
/// See [`ConnectError`] and [`Error`].
///
/// # Examples
///
/// See the [module](self).
#[allow(clippy::result_large_err, reason = "made at most once for each connection")]
pub fn connect(settings: Connect) -> Result<Connection, Error<ConnectError>> {
    let runtime = Runtime::of_the_caller()?;
    let connection = runtime.try_block_on(async { settings.await })?;
    Ok(Connection::new(connection, runtime))
}

/// Listens, in a thread of its own.
///
/// # Errors
///
/// See [`ListenError`] and [`Error`].
///
/// # Examples
///
/// See the [module](self).
pub fn listen(settings: Listen) -> Result<Server, Error<ListenError>> {
    let runtime = Runtime::in_background()?;
    let server = runtime.try_block_on(settings.start())?;
    Ok(Server::new(server, runtime))
}
