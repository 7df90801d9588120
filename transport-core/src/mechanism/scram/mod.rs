//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS: a user and a password that is never sent (RFC 5802, RFC 7677).
//!
//! ```text
//! client                                                  server
//! HELLO     n,,n=user,r=nonce                         ->
//!                                                     <-  WELCOME   r=nonce+nonce,s=salt,i=iterations
//! INITIATE  c=binding,r=nonce+nonce,p=proof, properties ->
//!                                                     <-  READY     v=signature, properties
//! ```
//!
//! A token's body is the length of the SCRAM message in 4 bytes, big-endian, the message, and in the last two the
//! property list. Both sides are authenticated: the client proves that it knows the password, and the server that it
//! knows what was derived from it. With `-PLUS` both also prove that they are the two ends of one TLS stream
//! (`tls-exporter`, RFC 9266), so that nobody in between can pass the exchange on.

mod accounts;
mod client;
mod file;
mod keys;
mod messages;
mod server;

pub use accounts::{AccountStore, Accounts, Lookup};
pub use client::ScramClient;
pub use file::{PasswordFile, PasswordFileError};
pub use keys::{ClientKeys, DEFAULT_ITERATIONS, Verifier, VerifierError};
pub use server::ScramServer;

const PLAIN_NAME: &str = "SCRAM-SHA-256";
const PLUS_NAME: &str = "SCRAM-SHA-256-PLUS";
/// The only channel binding that there is on TLS 1.3.
const BINDING: &str = "tls-exporter";
