//! Authenticated messages between programs, by URL.
//!
//! Name an address, say who may be on the other side, and get a connection that carries messages and knows who the
//! peer is:
//!
//! | address | what it proves | what it hides |
//! |---|---|---|
//! | `unix:///path`, `unix:@name` (feature `unix`, on by default) | the peer's uid, gid and pid, both ways | all, from other users |
//! | `tls://host:port`, `tls+unix:///path?name=host` (feature `tls`, on by default) | names and key of a certificate, both ways or of the server alone | all |
//! | `tcp://host:port` | nothing; a mechanism can | nothing: beyond loopback only when spelled out |
//! | `zmq+tcp://host:port`, `zmq+unix:///path`, `zmq+tls://host:port` (feature `zmq`) | what the connection beneath does, to the next ZeroMQ proxy on the way | as beneath, from others than the proxies |
//! | `mem://name` | that the peer is this process | all |
//!
//! The wire is ZMTP 3.1: any ZeroMQ program can be the peer on `tcp` and `unix`. ZeroMQ's own socket types, over all of
//! these transports, are in the module `zmq` (feature `zmq`).
//!
//! # Examples
//!
//! ```no_run
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! use transport::Policy;
//!
//! let mut server = transport::listen("unix:///run/app.sock").policy(Policy::uid(1000)).start().await?;
//! while let Some(mut connection) = server.accept().await {
//!     println!("{}", connection.identity());
//!     tokio::spawn(async move {
//!         while let Ok(Some(message)) = connection.recv().await {
//!             if connection.send(&message).await.is_err() {
//!                 break;
//!             }
//!         }
//!     });
//! }
//! # Ok(())
//! # }
//! ```
//!
//! ```no_run
//! # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//! use transport::Policy;
//!
//! let mut connection = transport::connect("unix:///run/app.sock").server(Policy::same_user()).await?;
//! connection.send("hello").await?;
//! let answer = connection.recv().await?;
//! # let _ = answer;
//! # Ok(())
//! # }
//! ```
//!
//! A connection that comes back by itself:
//!
//! ```no_run
//! # async fn keep() -> Result<(), Box<dyn std::error::Error>> {
//! use transport::Policy;
//!
//! let mut client = transport::connect("unix:///run/app.sock").server(Policy::same_user()).keep()?;
//! client.send("kept until the server is there").await?;
//! while let Some(message) = client.recv().await? {
//!     println!("{} parts, on whatever connection there is", message.part_count());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! With certificates on both sides (`certgen mtls DIR` makes them):
//!
//! ```no_run
//! # #[cfg(feature = "tls")]
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! use transport::Policy;
//! use transport::tls::{TlsConfig, TlsTransport, Trust};
//!
//! let config = TlsConfig::new().with_certificate("server.pem").with_trust(Trust::ca_file("ca.pem"));
//! let tls = TlsTransport::with_config(config)?;
//! let server = transport::listen("tls://[::]:7000").transport(tls).policy(Policy::san_dns("alice")).start().await?;
//! # drop(server);
//! # Ok(())
//! # }
//! ```
//!
//! A ZeroMQ socket, whose peers can be any ZeroMQ program:
//!
//! ```
//! # #[cfg(all(feature = "unix", feature = "zmq"))]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let endpoint = format!("ipc://{}/work.sock", folder.path().display());
//! use transport::Policy;
//! use transport::zmq::{PullSocket, PushSocket, SocketConfig};
//!
//! let config = SocketConfig::new(Policy::same_user());
//! let mut pull = PullSocket::new(&transport::transports(), config.clone());
//! pull.bind(&endpoint).await?;
//! let mut push = PushSocket::new(&transport::transports(), config);
//! push.connect(&endpoint)?;
//! push.send("job").await?;
//! let (job, peer) = pull.recv_from().await;
//! println!("{} sent {:?}", peer.identity(), job.to_text());
//! # Ok(())
//! # }
//! # #[cfg(not(all(feature = "unix", feature = "zmq")))]
//! # fn main() {}
//! ```
#![forbid(unsafe_code)]

#[cfg(feature = "blocking")]
pub mod blocking;
#[cfg(any(feature = "axum", feature = "tonic"))]
pub mod http;
mod table;

#[cfg(feature = "tls")]
pub use table::with_tls;
pub use table::{connect, listen, transports};
#[doc(inline)]
pub use transport_core::{
    Address, AddressError, Backoff, BackoffConfig, Claims, Client, ClientConfig, ClientEnd, ClientEvent,
    ClientEvents, ClientHandle, ClientSendError, ClientState, Connect, ConnectError, Connection, Disconnect,
    GaveUp, Identity, Limits, Listen, ListenError, Message, MessageRef, Policy, Principal, Proof,
    RawConnection, RawServer, Receiver, RecvError, SendError, Sender, Server, ServerEvent, ServerEvents,
    ServerHandle,
};

#[doc(inline)]
pub use transport_core::mechanism::{Passwords, PlainClient, PlainServer};

#[doc(inline)]
pub use transport_core::call;

pub use transport_core as core;
#[cfg(feature = "metrics")]
pub use transport_core::metrics;
#[cfg(feature = "test-util")]
pub use transport_core::test_util;
#[cfg(feature = "tls")]
pub use transport_tls as tls;
#[cfg(feature = "unix")]
pub use transport_unix as unix;
#[cfg(feature = "zmq")]
pub use transport_zmq as zmq;

/// The examples of the README, compiled.
#[cfg(all(doctest, feature = "blocking", feature = "unix"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// The examples of the workspace's README, compiled.
#[cfg(all(doctest, feature = "unix"))]
#[doc = include_str!("../../README.md")]
struct ReadmeOfTheWorkspace;
