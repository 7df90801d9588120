//! Many ZeroMQ sockets with names, ours or libzmq's, told what to do by the same commands.
//!
//! ```text
//! Command      what to do, as data             the tests are written once, for
//! Sockets      whoever does it                 whichever side is whose
//!   Here       this library's, in this process
//!   Crates     those of the crate zeromq, in this process
//!   There      a process that is killed when a test wants to: peers/zmq_sockets.py or the program our_sockets
//! ```
//!
//! Bytes are written as text whose characters are the bytes 0 to 255, which for ASCII is the text itself.

mod command;
mod named;
mod ours;
mod settings;
mod zeromq_crate;

use std::path::Path;

use serde_json::Value;

use crate::peer::Peer;
use crate::python::Python;

pub use command::Command;
pub use settings::{CurveKeys, Settings};

use named::NamedSockets;
use ours::OurSocket;
use zeromq_crate::CrateSocket;

/// Sockets of this library, by their names.
pub type OurSockets = NamedSockets<OurSocket>;

/// Sockets, and who has them.
#[derive(Debug)]
pub enum Sockets {
    /// This library's, in this process.
    Here(OurSockets),
    /// Those of the crate `zeromq`, in this process.
    Crates(NamedSockets<CrateSocket>),
    /// libzmq's or this library's, in another process.
    There(Box<Peer>),
}

impl Sockets {
    /// This library's, in this process.
    pub fn ours() -> Sockets {
        Sockets::Here(OurSockets::default())
    }

    /// This library's, in a process of their own: the program `our_sockets`.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn ours_elsewhere(program: &Path) -> Sockets {
        Sockets::There(Box::new(Peer::start_program(program)))
    }

    /// Those of the crate `zeromq`.
    pub fn crates() -> Sockets {
        Sockets::Crates(NamedSockets::default())
    }

    /// libzmq's.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn libzmqs(python: &Python) -> Sockets {
        Sockets::There(Box::new(Peer::start(python, "zmq_sockets.py")))
    }

    /// The sockets in this process.
    ///
    /// # Panics
    ///
    /// When they are elsewhere.
    pub fn here(&mut self) -> &mut OurSockets {
        match self {
            Sockets::Here(sockets) => sockets,
            Sockets::Crates(_) | Sockets::There(_) => {
                panic!("these sockets are not this library's in this process")
            }
        }
    }

    /// Kills the process that has them (SIGKILL) and waits until it is gone.
    ///
    /// # Panics
    ///
    /// When they are in this process.
    pub async fn kill(self) {
        match self {
            Sockets::Here(_) | Sockets::Crates(_) => panic!("these sockets are in this process"),
            Sockets::There(peer) => peer.kill().await,
        }
    }

    /// The process that has them.
    ///
    /// # Panics
    ///
    /// When that is this one.
    pub fn pid(&self) -> u32 {
        match self {
            Sockets::Here(_) | Sockets::Crates(_) => panic!("these sockets are in this process"),
            Sockets::There(peer) => peer.pid(),
        }
    }

    /// Does what the command says, and answers.
    ///
    /// # Panics
    ///
    /// When that fails or takes too long.
    pub async fn run(&mut self, command: Command) -> Value {
        let said = format!("{command:?}");
        let answer = match self {
            Sockets::There(peer) => return peer.ask(command.to_json()).await,
            Sockets::Here(sockets) => sockets.run(command).await,
            Sockets::Crates(sockets) => sockets.run(command).await,
        };
        answer.unwrap_or_else(|error| panic!("{said}: {error}"))
    }
}

/// The bytes that a text stands for.
pub(crate) fn to_bytes(text: &str) -> Vec<u8> {
    text.chars().map(|byte| u8::try_from(u32::from(byte)).expect("each character is a byte")).collect()
}

/// The text that stands for bytes.
pub(crate) fn to_text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
