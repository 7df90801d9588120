//! The set-up for tests against programs and libraries that other people wrote.
//!
//! ```text
//! Python    an interpreter with pyzmq, in a virtual environment made on demand
//!   Peer    a Python script as a child process, talked with in lines of JSON
//!     Pyzmq a libzmq socket in such a child
//! Sockets   many ZeroMQ sockets, ours or libzmq's, told what to do by the same commands
//! Wire      where to meet: tcp or ipc
//! Wiretap   what both sides really say
//! Openssl   the program openssl, as client, server and maker of certificates
//! LinePeer  it or another program as it runs, talked with in lines
//! ```
//!
//! The tests are in `tests/`, one file or folder a peer or topic. See the README for how to run them.
#![forbid(unsafe_code)]

mod bounded;
mod line_peer;
mod openssl;
mod peer;
mod program;
mod python;
mod pyzmq;
mod skip;
mod sockets;
mod wire;
mod wiretap;

pub use bounded::bounded;
pub use line_peer::LinePeer;
pub use openssl::Openssl;
pub use peer::Peer;
pub use program::has_program;
pub use python::Python;
pub use pyzmq::Pyzmq;
pub use skip::skip;
pub use sockets::{Command, CurveKeys, OurSockets, Settings, Sockets};
pub use wire::{Place, Wire, to_ours, to_zmq};
pub use wiretap::{Direction, Wiretap};
