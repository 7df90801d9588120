//! A peer that does what it is told, byte for byte.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A peer that sends the bytes it is told to, and expects the bytes it is told to: to test against the wire itself.
///
/// It plays over any stream: one that a [`Transport`](crate::Transport) opened, a socket, one end of
/// [`tokio::io::duplex`].
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use transport_core::framing::LengthPrefixed;
/// use transport_core::mem::MemTransport;
/// use transport_core::test_util::ScriptedPeer;
/// use transport_core::{Listen, Policy, Transport as _, Transports};
///
/// let mem = MemTransport::new();
/// let listen = Listen::new(&Transports::new().with(mem.clone()), "mem://scripted");
/// let listen = listen.policy(Policy::same_process()).framing(LengthPrefixed);
/// let mut server = listen.start().await?;
///
/// // The length, in a piece of its own, and the body byte by byte.
/// let peer = ScriptedPeer::new()
///     .send([0, 0, 0, 5])
///     .send_in_pieces("hello", 1)
///     .expect([0, 0, 0, 3, b'b', b'y', b'e'])
///     .close()
///     .expect_end();
/// let stream = mem.connect(server.local_address()).await?.stream;
/// let peer = tokio::spawn(peer.play(stream));
///
/// let mut connection = server.accept().await.unwrap();
/// assert_eq!(connection.recv().await?.unwrap().to_text(), Some("hello"));
/// connection.send("bye").await?;
/// assert!(connection.recv().await?.is_none());
/// drop(connection);
/// peer.await??;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing happens until it is played"]
pub struct ScriptedPeer {
    acts: Vec<Act>,
}

#[derive(Clone, Debug)]
enum Act {
    Send(Vec<u8>),
    Expect(Vec<u8>),
    Skip(usize),
    Pause(Duration),
    Close,
    ExpectEnd,
}

impl ScriptedPeer {
    /// A peer with nothing to do.
    pub fn new() -> ScriptedPeer {
        ScriptedPeer::default()
    }

    /// Sends these bytes, in one write.
    pub fn send(self, bytes: impl AsRef<[u8]>) -> ScriptedPeer {
        self.then(Act::Send(bytes.as_ref().to_vec()))
    }

    /// Sends these bytes in writes of at most `most`, and lets other tasks run in between.
    ///
    /// # Panics
    ///
    /// When `most` is 0.
    pub fn send_in_pieces(self, bytes: impl AsRef<[u8]>, most: usize) -> ScriptedPeer {
        bytes.as_ref().chunks(most).fold(self, |peer, piece| peer.send(piece))
    }

    /// Reads as many bytes, which must be these.
    pub fn expect(self, bytes: impl AsRef<[u8]>) -> ScriptedPeer {
        self.then(Act::Expect(bytes.as_ref().to_vec()))
    }

    /// Reads so many bytes, whatever they are.
    pub fn skip(self, length: usize) -> ScriptedPeer {
        self.then(Act::Skip(length))
    }

    /// Does nothing for a while.
    pub fn pause(self, time: Duration) -> ScriptedPeer {
        self.then(Act::Pause(time))
    }

    /// Closes the outgoing direction; reading goes on.
    pub fn close(self) -> ScriptedPeer {
        self.then(Act::Close)
    }

    /// Reads, and must find the end of the stream there.
    pub fn expect_end(self) -> ScriptedPeer {
        self.then(Act::ExpectEnd)
    }

    /// Does it all, and drops the stream.
    ///
    /// # Errors
    ///
    /// At the first act that did not go as the script says.
    ///
    /// # Cancel safety
    ///
    /// Not cancel-safe: the stream is dropped with the future.
    pub async fn play(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), ScriptError> {
        for (index, act) in self.acts.into_iter().enumerate() {
            let failed = |Problem { text, source }| ScriptError { act: index + 1, problem: text, source };
            play(act, &mut stream).await.map_err(failed)?;
        }
        Ok(())
    }

    fn then(mut self, act: Act) -> ScriptedPeer {
        self.acts.push(act);
        self
    }
}

async fn play(act: Act, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<(), Problem> {
    match act {
        Act::Send(bytes) => {
            stream.write_all(&bytes).await?;
            stream.flush().await?;
            tokio::task::yield_now().await;
        }
        Act::Expect(expected) => {
            let found = read(stream, expected.len()).await?;
            if found != expected {
                let text = format!("expected {}, found {}", Hex(&expected), Hex(&found));
                return Err(Problem::new(text));
            }
        }
        Act::Skip(length) => {
            let found = read(stream, length).await?;
            if found.len() < length {
                let text = format!("expected {length} bytes, found only {}", Hex(&found));
                return Err(Problem::new(text));
            }
        }
        Act::Pause(time) => tokio::time::sleep(time).await,
        Act::Close => stream.shutdown().await?,
        Act::ExpectEnd => {
            let found = read(stream, 64).await?;
            if !found.is_empty() {
                return Err(Problem::new(format!("expected the end, found {}", Hex(&found))));
            }
        }
    }
    Ok(())
}

/// So many bytes, or fewer at the end of the stream.
async fn read(stream: &mut (impl AsyncRead + Unpin), length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(length as u64).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// An act of a [`ScriptedPeer`] did not go as its script says.
#[derive(Debug, thiserror::Error)]
#[error("act {act} of the script: {problem}")]
pub struct ScriptError {
    act: usize,
    problem: String,
    source: Option<io::Error>,
}

struct Problem {
    text: String,
    source: Option<io::Error>,
}

impl Problem {
    fn new(text: String) -> Problem {
        Problem { text, source: None }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Problem {
        Problem { text: "the stream failed".to_owned(), source: Some(error) }
    }
}

/// Bytes as a person compares them.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        write!(f, "{} (\"{}\")", spaced(self.0), self.0.escape_ascii())
    }
}

fn spaced(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn against(peer: ScriptedPeer, bytes: &[u8]) -> Result<(), String> {
        let (mut near, far) = tokio::io::duplex(100);
        near.write_all(bytes).await.unwrap();
        drop(near);
        peer.play(far).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn what_is_different_is_shown_with_the_act() {
        let peer = ScriptedPeer::new().expect("a").expect([0, 1]).expect_end();
        assert_eq!(against(peer.clone(), b"a\x00\x01").await, Ok(()));
        assert_eq!(
            against(peer.clone(), b"a\x00b").await.unwrap_err(),
            r#"act 2 of the script: expected 00 01 ("\x00\x01"), found 00 62 ("\x00b")"#
        );
        assert_eq!(
            against(peer.clone(), b"").await.unwrap_err(),
            r#"act 1 of the script: expected 61 ("a"), found nothing"#
        );
        assert_eq!(
            against(peer, b"a\x00\x01b").await.unwrap_err(),
            r#"act 3 of the script: expected the end, found 62 ("b")"#
        );
    }

    #[tokio::test]
    async fn bytes_that_do_not_matter_are_skipped_but_must_come() {
        let peer = ScriptedPeer::new().skip(2).expect("c");
        assert_eq!(against(peer.clone(), b"abc").await, Ok(()));
        let error = against(peer, b"a").await.unwrap_err();
        assert_eq!(error, r#"act 1 of the script: expected 2 bytes, found only 61 ("a")"#);
    }
}
