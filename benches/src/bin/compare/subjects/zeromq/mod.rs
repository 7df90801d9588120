//! Subject `zeromq`: the pure Rust crate, PUSH to PULL one way and DEALER to DEALER for round trips.

mod patterns;

use std::path::Path;
use std::time::Instant;

use ::zeromq::prelude::*;
use ::zeromq::{DealerSocket, PullSocket, PushSocket, ZmqMessage};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::runtime::block_on;
use crate::job::{Job, Outcome, Result, Wire, check_length, payload};
use crate::{pair, sockets};

pub(crate) use patterns::{ENDS, PROXY};

const SENDER_GONE: &str = "the sender is gone";

/// Messages one way.
pub(crate) fn throughput(job: &Job) -> Result<Outcome> {
    let job = *job;
    let folder = sockets::folder()?;
    let address = address(job.wire, folder.path());
    let (bound, is_bound) = oneshot::channel::<String>();
    let (ready, is_ready) = oneshot::channel();
    let (done, is_done) = oneshot::channel();
    let (started, (finished, received)) = pair::run(
        move || {
            block_on(async move {
                let mut socket = PushSocket::new();
                socket.connect(&is_bound.await?).await?;
                let message = Bytes::from(payload(job.size));
                // One message ahead, which does not count: the clock must not see the handshake.
                socket.send(message.clone().into()).await?;
                is_ready.await?;
                let started = Instant::now();
                for _ in 0..job.count {
                    socket.send(message.clone().into()).await?;
                }
                // The runtime must go on until its writing task has sent everything.
                is_done.await?;
                Ok(started)
            })
        },
        move || {
            block_on(async move {
                let mut socket = PullSocket::new();
                let address = socket.bind(&address).await?;
                bound.send(address.to_string()).map_err(|_| SENDER_GONE)?;
                socket.recv().await?;
                ready.send(()).map_err(|()| SENDER_GONE)?;
                for _ in 0..job.count {
                    check_length(length(&socket.recv().await?), &job)?;
                }
                let finished = Instant::now();
                done.send(()).map_err(|()| SENDER_GONE)?;
                Ok((finished, job.count))
            })
        },
    )?;
    Ok(Outcome::Flow { elapsed: finished - started, received })
}

/// Round trips.
pub(crate) fn rtt(job: &Job) -> Result<Outcome> {
    let job = *job;
    let folder = sockets::folder()?;
    let address = address(job.wire, folder.path());
    let (bound, is_bound) = oneshot::channel::<String>();
    let (done, is_done) = oneshot::channel();
    let (trips, ()) = pair::run(
        move || {
            block_on(async move {
                let mut socket = DealerSocket::new();
                socket.connect(&is_bound.await?).await?;
                let message = Bytes::from(payload(job.size));
                let mut trips = Vec::new();
                // The first trip also waits for the handshake; it does not count.
                for trip in 0..=job.count {
                    let started = Instant::now();
                    socket.send(message.clone().into()).await?;
                    let echo = socket.recv().await?;
                    let elapsed = started.elapsed();
                    check_length(length(&echo), &job)?;
                    if trip > 0 {
                        trips.push(elapsed);
                    }
                }
                done.send(()).map_err(|()| "the receiver is gone")?;
                Ok(trips)
            })
        },
        move || {
            block_on(async move {
                let mut socket = DealerSocket::new();
                let address = socket.bind(&address).await?;
                bound.send(address.to_string()).map_err(|_| SENDER_GONE)?;
                for _ in 0..=job.count {
                    let message = socket.recv().await?;
                    socket.send(message).await?;
                }
                is_done.await?;
                Ok(())
            })
        },
    )?;
    Ok(Outcome::Trips(trips))
}

fn address(wire: Wire, folder: &Path) -> String {
    match wire {
        Wire::Tcp => "tcp://127.0.0.1:0".into(),
        Wire::Unix => format!("ipc://{}", folder.join("socket").display()),
    }
}

/// The bytes of all frames of a message.
fn length(message: &ZmqMessage) -> usize {
    message.iter().map(Bytes::len).sum()
}
