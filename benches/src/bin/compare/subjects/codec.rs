//! Subject `codec`: tokio-util's `LengthDelimitedCodec` through `Framed`, with its default settings.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::runtime::block_on;
use crate::job::{Job, Outcome, Result, Wire, check_length, payload};
use crate::{pair, sockets};

/// Messages one way: `feed` for each, one `flush` at the end.
pub(crate) fn throughput(job: &Job) -> Result<Outcome> {
    match job.wire {
        Wire::Tcp => {
            let (near, far) = sockets::tcp()?;
            flow(async || tcp(near), async || tcp(far), *job)
        }
        Wire::Unix => {
            let (near, far) = sockets::unix()?;
            flow(async || unix(near), async || unix(far), *job)
        }
    }
}

/// Round trips: `send` and the next frame.
pub(crate) fn rtt(job: &Job) -> Result<Outcome> {
    match job.wire {
        Wire::Tcp => {
            let (near, far) = sockets::tcp()?;
            trips(async || tcp(near), async || tcp(far), *job)
        }
        Wire::Unix => {
            let (near, far) = sockets::unix()?;
            trips(async || unix(near), async || unix(far), *job)
        }
    }
}

fn tcp(socket: std::net::TcpStream) -> Result<TcpStream> {
    socket.set_nonblocking(true)?;
    Ok(TcpStream::from_std(socket)?)
}

fn unix(socket: std::os::unix::net::UnixStream) -> Result<UnixStream> {
    socket.set_nonblocking(true)?;
    Ok(UnixStream::from_std(socket)?)
}

/// Messages one way between two streams, each opened within the runtime that will use it.
pub(super) fn flow<N, F>(
    near: impl AsyncFnOnce() -> Result<N> + Send + 'static,
    far: impl AsyncFnOnce() -> Result<F> + Send + 'static,
    job: Job,
) -> Result<Outcome>
where
    N: AsyncRead + AsyncWrite + Unpin,
    F: AsyncRead + AsyncWrite + Unpin,
{
    let (ready, is_ready) = oneshot::channel();
    let (started, (finished, received)) = pair::run(
        move || {
            block_on(async move {
                let mut frames = Framed::new(near().await?, LengthDelimitedCodec::new());
                let message = Bytes::from(payload(job.size));
                is_ready.await?;
                let started = Instant::now();
                for _ in 0..job.count {
                    frames.feed(message.clone()).await?;
                }
                end(frames).await?;
                Ok(started)
            })
        },
        move || {
            block_on(async move {
                let mut frames = Framed::new(far().await?, LengthDelimitedCodec::new());
                ready.send(()).map_err(|()| "the sender is gone")?;
                let mut received = 0;
                let mut finished = Instant::now();
                // To the end of the stream, so that a message too many would be seen as well.
                while let Some(message) = frames.next().await {
                    check_length(message?.len(), &job)?;
                    received += 1;
                    if received == job.count {
                        finished = Instant::now();
                    }
                }
                Ok((finished, received))
            })
        },
    )?;
    Ok(Outcome::Flow { elapsed: finished - started, received })
}

/// Round trips between two streams, each opened within the runtime that will use it.
pub(super) fn trips<N, F>(
    near: impl AsyncFnOnce() -> Result<N> + Send + 'static,
    far: impl AsyncFnOnce() -> Result<F> + Send + 'static,
    job: Job,
) -> Result<Outcome>
where
    N: AsyncRead + AsyncWrite + Unpin,
    F: AsyncRead + AsyncWrite + Unpin,
{
    let (trips, ()) = pair::run(
        move || {
            block_on(async move {
                let mut frames = Framed::new(near().await?, LengthDelimitedCodec::new());
                let message = Bytes::from(payload(job.size));
                let mut trips = Vec::new();
                // The first trip also waits for the other thread to be there; it does not count.
                for trip in 0..=job.count {
                    let started = Instant::now();
                    frames.send(message.clone()).await?;
                    let echo = frames.next().await.ok_or("the receiver is gone")??;
                    let elapsed: Duration = started.elapsed();
                    check_length(echo.len(), &job)?;
                    if trip > 0 {
                        trips.push(elapsed);
                    }
                }
                end(frames).await?;
                Ok(trips)
            })
        },
        move || {
            block_on(async move {
                let mut frames = Framed::new(far().await?, LengthDelimitedCodec::new());
                while let Some(message) = frames.next().await {
                    frames.send(message?.freeze()).await?;
                }
                Ok(())
            })
        },
    )?;
    Ok(Outcome::Trips(trips))
}

/// Sends what is queued, closes, and reads to the end: closing a socket in which something is unread, such as a ticket of TLS,
/// resets it, and the peer would lose what was sent last.
async fn end<S: AsyncRead + AsyncWrite + Unpin>(mut frames: Framed<S, LengthDelimitedCodec>) -> Result<()> {
    SinkExt::<Bytes>::close(&mut frames).await?;
    while let Some(Ok(_)) = frames.next().await {}
    Ok(())
}
