//! CURVE: both sides prove that they own a key, and everything after that is sealed (RFC 25/ZMTP-CURVE, RFC 26/CurveZMQ).
//!
//! ```text
//! C/c, S/s      long-term keys of client and server          Box[x](c -> S)   x, sealed by c for S: X25519,
//! C'/c', S'/s'  keys made for one connection                                  XSalsa20 and Poly1305
//!
//! client                                                                   server
//! HELLO     C' Box[64 zero bytes](c' -> S)                              ->  opens it: the client knows S
//!      <-   WELCOME   Box[S' cookie](s -> C')                               keeps nothing but the cookie's key
//! INITIATE  cookie Box[C vouch properties](c' -> S')                    ->  vouch = Box[C' S](c -> S'): the client
//!                                                                           has c, and meant this server
//!      <-   READY     Box[properties](s' -> C'), or ERROR
//! MESSAGE   Box[flags content](c' -> S')      and in the other direction    flags: 01 MORE  02 COMMAND
//! ```
//!
//! A nonce is a text that says what the box is for, and a number: of MESSAGEs it grows with each one, so that none can
//! be played again, left out at the front, or put into another place.
//!
//! libzmq sends MESSAGE as a frame without the COMMAND flag; so does this side, and it accepts both.
//!
//! # Examples
//!
//! ```
//! # use transport_core::{Connect, Listen, Policy, Transports, mem::MemTransport};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let transports = Transports::new().with(MemTransport::new());
//! use transport_zmq::curve::{CurveClient, CurveSecretKey, CurveServer};
//!
//! let (alice, service) = (CurveSecretKey::generate(), CurveSecretKey::generate());
//! let (alices_key, services_key) = (alice.public_key(), service.public_key());
//!
//! let mut server = Listen::new(&transports, "mem://curve")
//!     .mechanism(CurveServer::new(service))
//!     .policy(alices_key.policy())
//!     .start()
//!     .await?;
//! let client = Connect::new(&transports, "mem://curve")
//!     .mechanism(CurveClient::new(alice, services_key))
//!     .server(services_key.policy())
//!     .await?;
//! let connection = server.accept().await.expect("the server goes on");
//! assert_eq!(connection.identity().to_string(), format!("curve:{}", alices_key.to_hex()));
//! # let _ = client;
//! # Ok(())
//! # }
//! ```

mod boxes;
mod client;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod keys;
mod seal;
mod server;
mod z85;

#[cfg(test)]
mod replay;

pub use client::CurveClient;
pub use keys::{CurveKeyError, CurvePublicKey, CurveSecretKey};
pub use server::{CurveServer, KeyVerifier};

/// The name on the wire.
const NAME: &str = "CURVE";
