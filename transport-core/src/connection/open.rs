//! Runs a handshake over a stream.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};

use super::alarm::now;
use super::life::Life;
use crate::farewell::say_farewell;
use crate::handshake::{Complete, Handshake, HandshakeConfig, HandshakeError, Progress};
use crate::transport::{BoxStream, Established, Source};
use crate::write_buffer::WriteBuffer;

/// A stream whose peer has been authenticated.
pub(crate) struct Opened {
    pub(crate) stream: BoxStream,
    pub(crate) complete: Box<Complete>,
    pub(crate) source: Source,
    /// Bytes that came early.
    pub(crate) input: BytesMut,
    pub(crate) life: Life,
}

/// A stream whose peer has not passed.
pub(crate) struct Unopened {
    pub(crate) error: HandshakeError,
    pub(crate) farewell: Farewell,
}

/// What is left to say to a peer that has not passed.
#[derive(Default)]
pub(crate) struct Farewell(Option<(BoxStream, WriteBuffer)>);

/// Authenticates the peer until `deadline`. `place` is waited for once the peer has passed, before it is told so.
pub(crate) async fn open(
    established: Established,
    config: &Arc<HandshakeConfig>,
    deadline: tokio::time::Instant,
    place: impl Future<Output = Life>,
) -> Result<Opened, Unopened> {
    let Established { mut stream, evidence, claims, source } = established;
    let mut handshake = Handshake::new(Arc::clone(config), evidence, claims);
    if stream.carries_descriptors() {
        handshake.offer_descriptors();
    }
    let mut input = BytesMut::new();
    let mut out = WriteBuffer::new();
    let exchange = exchange(&mut stream, &mut handshake, &mut input, &mut out, place);
    match tokio::time::timeout_at(deadline, exchange).await {
        Ok(Ok((complete, life))) => Ok(Opened { stream, complete, source, input, life }),
        Ok(Err(error)) => Err(Unopened { error, farewell: Farewell(Some((stream, out))) }),
        Err(_) => Err(HandshakeError::Deadline(config.limits.handshake_time).into()),
    }
}

impl From<HandshakeError> for Unopened {
    fn from(error: HandshakeError) -> Unopened {
        Unopened { error, farewell: Farewell::default() }
    }
}

impl Farewell {
    pub(crate) async fn say(self) {
        if let Some((stream, out)) = self.0.filter(|(_, out)| !out.is_empty()) {
            say_farewell(stream, &out.to_vec()).await;
        }
    }
}

async fn exchange(
    stream: &mut BoxStream,
    handshake: &mut Handshake,
    input: &mut BytesMut,
    out: &mut WriteBuffer,
    place: impl Future<Output = Life>,
) -> Result<(Box<Complete>, Life), HandshakeError> {
    let mut progress = handshake.start(out, now())?;
    loop {
        progress = match progress {
            Progress::Complete(complete) => {
                let life = place.await;
                write_all(stream, out).await?;
                return Ok((complete, life));
            }
            Progress::Wait => {
                write_all(stream, out).await?;
                poll_fn(|cx| handshake.poll_wait(cx)).await;
                match handshake.resume(out, now())? {
                    // The peer's next token may have come meanwhile.
                    Progress::More => handshake.receive(input, out, now())?,
                    other => other,
                }
            }
            Progress::More => {
                write_all(stream, out).await?;
                if read_some(stream, input, handshake.room(input)).await? == 0 {
                    return Err(HandshakeError::Closed);
                }
                handshake.receive(input, out, now())?
            }
        };
    }
}

async fn write_all(stream: &mut BoxStream, out: &mut WriteBuffer) -> io::Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    let bytes = std::mem::take(out).to_vec();
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// Reads what is there, at most `most` bytes or 1 KiB, through the stack: a pending handshake holds only what has arrived.
async fn read_some(stream: &mut BoxStream, input: &mut BytesMut, most: usize) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut stack = [0; 1024];
        let room = most.min(stack.len());
        let mut buffer = ReadBuf::new(&mut stack[..room]);
        if !read_now(stream, &mut buffer)? {
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
        }
        input.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    })
    .await
}

/// Reads what waits already in a socket that may have descriptors beside its bytes; false when there is nothing, or no such socket.
///
/// A read ends where bytes with descriptors end, although others wait behind them; tokio takes one that ended early for the
/// last, and would wait for more to come.
fn read_now(stream: &BoxStream, buffer: &mut ReadBuf<'_>) -> io::Result<bool> {
    let Some(socket) = stream.plain_socket().filter(|_| stream.carries_descriptors()) else {
        return Ok(false);
    };
    match rustix::io::read(socket, buffer.initialize_unfilled()) {
        Ok(length) => {
            buffer.advance(length);
            Ok(true)
        }
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
