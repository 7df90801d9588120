//! Subject `ours`: this workspace's connections, ZMTP with the NULL mechanism, as any program would use them.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use transport::{Connection, MessageRef, Policy};

use super::runtime::block_on;
use crate::job::{Job, Outcome, Result, Wire, check_length, payload};
use crate::{pair, sockets};

const PEER_GONE: &str = "the peer is gone";
/// How long a spinning receiver asks the socket before it waits.
const SPIN: Duration = Duration::from_micros(50);

/// Messages one way: `feed` for each, one `flush` at the end.
pub(crate) fn throughput(job: &Job) -> Result<Outcome> {
    flow(*job, async |mut connection, job: Job| {
        let message = bytes::Bytes::from(payload(job.size));
        let started = Instant::now();
        for _ in 0..job.count {
            connection.feed(&message).await?;
        }
        connection.flush().await?;
        Ok((started, Kept::Whole(connection)))
    })
}

/// Messages one way from 16 tasks through one connection: `send` for each.
pub(crate) fn senders16(job: &Job) -> Result<Outcome> {
    const TASKS: u64 = 16;
    flow(*job, async |connection: Connection, job: Job| {
        let (sender, receiver) = connection.split();
        let started = Instant::now();
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let sender = sender.clone();
                let message = bytes::Bytes::from(payload(job.size));
                let count = job.count / TASKS + u64::from(task < job.count % TASKS);
                tokio::spawn(async move {
                    for _ in 0..count {
                        sender.send(&message).await?;
                    }
                    Ok::<(), transport::SendError>(())
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        sender.flush().await?;
        Ok((started, Kept::Split(sender, receiver)))
    })
}

/// Round trips: `send` and `recv`.
pub(crate) fn rtt(job: &Job) -> Result<Outcome> {
    trips(*job, Duration::ZERO)
}

/// Round trips with receivers that spin for a while before they wait.
pub(crate) fn rtt_spin(job: &Job) -> Result<Outcome> {
    trips(*job, SPIN)
}

/// What must stay open until the receiver has everything.
#[allow(dead_code, reason = "held, not read")]
enum Kept {
    Whole(Connection),
    Split(transport::Sender, transport::Receiver),
}

fn flow<F>(job: Job, send: F) -> Result<Outcome>
where
    F: AsyncFnOnce(Connection, Job) -> Result<(Instant, Kept)> + Send + 'static,
{
    let folder = sockets::folder()?;
    let address = address(job.wire, folder.path());
    let (bound, is_bound) = oneshot::channel::<String>();
    let (ready, is_ready) = oneshot::channel();
    let (done, is_done) = oneshot::channel::<()>();
    let (started, (finished, received)) = pair::run(
        move || {
            block_on(async move {
                let connection = connect(&is_bound.await?, Duration::ZERO).await?;
                is_ready.await?;
                let (started, kept) = send(connection, job).await?;
                is_done.await?;
                drop(kept);
                Ok(started)
            })
        },
        move || {
            block_on(async move {
                let mut connection = accept(&address, bound, Duration::ZERO).await?;
                ready.send(()).map_err(|()| PEER_GONE)?;
                let mut received = 0;
                let mut wrong = Ok(());
                while received < job.count {
                    let visit = |message: MessageRef<'_>| {
                        if let Err(error) = check_length(message.byte_count(), &job) {
                            wrong = Err(error);
                        }
                    };
                    match connection.recv_each(visit).await? {
                        0 => return Err(PEER_GONE.into()),
                        count => received += count as u64,
                    }
                }
                let finished = Instant::now();
                done.send(()).map_err(|()| PEER_GONE)?;
                // To the end of the stream, so that a message too many would be seen as well.
                while connection.recv().await?.is_some() {
                    received += 1;
                }
                wrong?;
                Ok((finished, received))
            })
        },
    )?;
    Ok(Outcome::Flow { elapsed: finished - started, received })
}

fn trips(job: Job, spin: Duration) -> Result<Outcome> {
    let folder = sockets::folder()?;
    let address = address(job.wire, folder.path());
    let (bound, is_bound) = oneshot::channel::<String>();
    let (trips, ()) = pair::run(
        move || {
            block_on(async move {
                let mut connection = connect(&is_bound.await?, spin).await?;
                let message = bytes::Bytes::from(payload(job.size));
                let mut trips = Vec::new();
                // The first trip also waits for the other thread to be there; it does not count.
                for trip in 0..=job.count {
                    let started = Instant::now();
                    connection.send(&message).await?;
                    let echo = connection.recv().await?.ok_or(PEER_GONE)?;
                    let elapsed = started.elapsed();
                    check_length(echo[0].len(), &job)?;
                    if trip > 0 {
                        trips.push(elapsed);
                    }
                }
                connection.close().await?;
                Ok(trips)
            })
        },
        move || {
            block_on(async move {
                let mut connection = accept(&address, bound, spin).await?;
                while let Some(message) = connection.recv().await? {
                    connection.send(&message).await?;
                }
                Ok(())
            })
        },
    )?;
    Ok(Outcome::Trips(trips))
}

async fn connect(address: &str, spin: Duration) -> Result<Connection> {
    Ok(transport::connect(address).server(Policy::danger_anyone()).spin(spin).await?)
}

async fn accept(address: &str, bound: oneshot::Sender<String>, spin: Duration) -> Result<Connection> {
    let listen = transport::listen(address).policy(Policy::danger_anyone()).spin(spin);
    let mut server = listen.start().await?;
    bound.send(server.local_address().to_string()).map_err(|_| PEER_GONE)?;
    Ok(server.accept().await.ok_or(PEER_GONE)?)
}

fn address(wire: Wire, folder: &Path) -> String {
    match wire {
        Wire::Tcp => "tcp://127.0.0.1:0".into(),
        Wire::Unix => format!("unix://{}", folder.join("socket").display()),
    }
}
