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
            let (near, far) = tcp()?;
            flow(near, far, *job)
        }
        Wire::Unix => {
            let (near, far) = unix()?;
            flow(near, far, *job)
        }
    }
}

/// Round trips: `send` and the next frame.
pub(crate) fn rtt(job: &Job) -> Result<Outcome> {
    match job.wire {
        Wire::Tcp => {
            let (near, far) = tcp()?;
            trips(near, far, *job)
        }
        Wire::Unix => {
            let (near, far) = unix()?;
            trips(near, far, *job)
        }
    }
}

/// Opens one end within the runtime that will use it.
trait Open: FnOnce() -> std::io::Result<Self::Stream> + Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin;
}

impl<S, F> Open for F
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: FnOnce() -> std::io::Result<S> + Send + 'static,
{
    type Stream = S;
}

fn tcp() -> Result<(impl Open, impl Open)> {
    let (near, far) = sockets::tcp()?;
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    Ok((move || TcpStream::from_std(near), move || TcpStream::from_std(far)))
}

fn unix() -> Result<(impl Open, impl Open)> {
    let (near, far) = sockets::unix()?;
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    Ok((move || UnixStream::from_std(near), move || UnixStream::from_std(far)))
}

fn flow(near: impl Open, far: impl Open, job: Job) -> Result<Outcome> {
    let (ready, is_ready) = oneshot::channel();
    let (started, (finished, received)) = pair::run(
        move || {
            block_on(async move {
                let mut frames = Framed::new(near()?, LengthDelimitedCodec::new());
                let message = Bytes::from(payload(job.size));
                is_ready.await?;
                let started = Instant::now();
                for _ in 0..job.count {
                    frames.feed(message.clone()).await?;
                }
                SinkExt::<Bytes>::flush(&mut frames).await?;
                Ok(started)
            })
        },
        move || {
            block_on(async move {
                let mut frames = Framed::new(far()?, LengthDelimitedCodec::new());
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

fn trips(near: impl Open, far: impl Open, job: Job) -> Result<Outcome> {
    let (trips, ()) = pair::run(
        move || {
            block_on(async move {
                let mut frames = Framed::new(near()?, LengthDelimitedCodec::new());
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
                Ok(trips)
            })
        },
        move || {
            block_on(async move {
                let mut frames = Framed::new(far()?, LengthDelimitedCodec::new());
                while let Some(message) = frames.next().await {
                    frames.send(message?.freeze()).await?;
                }
                Ok(())
            })
        },
    )?;
    Ok(Outcome::Trips(trips))
}
