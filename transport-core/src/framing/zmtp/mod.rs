//! ZMTP 3.1, the wire protocol of ZeroMQ (RFC 37/ZMTP), as libzmq speaks it.
//!
//! ```text
//! connection = greeting handshake traffic
//! greeting   = %xFF 8OCTET %x7F major minor mechanism(20) as-server filler(31)        64 bytes each way
//! handshake  = *command                    READY, ERROR, and those of the mechanism
//! traffic    = *( message | command )
//! message    = *( frame with MORE ) frame
//! frame      = flags size body             flags: 01 MORE  02 LONG  04 COMMAND, the others are ignored
//! size       = OCTET | 8OCTET              8 bytes, big-endian, with LONG
//! command    = frame with COMMAND, body = OCTET name data
//! ```
//!
//! The message of the two parts `a` and `bc` is `01 01 61  00 02 62 63`.
//!
//! After the handshake PING and PONG are [`Control`](super::Control) events. SUBSCRIBE and CANCEL are messages to a
//! socket that publishes (`01 topic` and `00 topic`, as ZMTP 3.0 has them on the wire); a socket that subscribes sends
//! such messages as the commands, to peers that know them. Other commands are ignored.
//!
//! ZMTP 1.0 and 2.0 (libzmq 2.x and 3.x) are refused with an error that says so.

mod command;
mod decoder;
mod encoder;
mod frame;
mod greeting;
mod handshake;
mod heartbeat;
mod sealed;
mod socket_type;

pub use handshake::{PropertyError, Zmtp};
pub use socket_type::SocketType;
