//! The open stream.

use std::io;

use tokio::io::DuplexStream;

use crate::claims::Claims;
use crate::evidence::{Evidence, Proof, Protection};
use crate::transport::{Established, Source, Stream};

/// As many bytes as wait in one direction: like a socket buffer.
const BUFFER: usize = 64 << 10;

pub(super) fn pair() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(BUFFER)
}

pub(super) fn establish(stream: DuplexStream) -> Established {
    Established {
        stream: Box::new(stream),
        evidence: Evidence::new(Protection::SameHost).with_proof(Proof::SameProcess),
        claims: Claims::new(),
        source: Source::SameProcess,
    }
}

impl Stream for DuplexStream {
    fn move_to_runtime(&mut self) -> io::Result<()> {
        Ok(())
    }
}
