//! Messages one way.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use transport::{Connection, MessageRef};

use super::{Meeting, PEER_GONE, accept, connect};
use crate::job::{Job, Outcome, Result, check_length, payload};
use crate::subjects::runtime::block_on;
use crate::{pair, sockets};

/// Messages one way: `feed` for each, one `flush` at the end.
pub(crate) fn throughput(job: &Job) -> Result<Outcome> {
    let folder = sockets::folder()?;
    flow(*job, Meeting::plain(job.wire, folder.path())?, feed)
}

/// The same over TLS.
pub(crate) fn throughput_tls(job: &Job) -> Result<Outcome> {
    flow(*job, Meeting::tls()?, feed)
}

async fn feed(mut connection: Connection, job: Job) -> Result<(Instant, Kept)> {
    let message = bytes::Bytes::from(payload(job.size));
    let started = Instant::now();
    for _ in 0..job.count {
        connection.feed(&message).await?;
    }
    connection.flush().await?;
    Ok((started, Kept::Whole(connection)))
}

/// Messages one way from 16 tasks through one connection: `send` for each.
pub(crate) fn senders16(job: &Job) -> Result<Outcome> {
    const TASKS: u64 = 16;
    let folder = sockets::folder()?;
    flow(*job, Meeting::plain(job.wire, folder.path())?, async |connection: Connection, job: Job| {
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

/// What must stay open until the receiver has everything.
#[allow(dead_code, reason = "held, not read")]
enum Kept {
    Whole(Connection),
    Split(transport::Sender, transport::Receiver),
}

fn flow<F>(job: Job, meeting: Meeting, send: F) -> Result<Outcome>
where
    F: AsyncFnOnce(Connection, Job) -> Result<(Instant, Kept)> + Send + 'static,
{
    let (near, far) = (meeting.clone(), meeting);
    let (bound, is_bound) = oneshot::channel::<String>();
    let (ready, is_ready) = oneshot::channel();
    let (done, is_done) = oneshot::channel::<()>();
    let (started, (finished, received)) = pair::run(
        move || {
            block_on(async move {
                let connection = connect(&near, &is_bound.await?, Duration::ZERO).await?;
                is_ready.await?;
                let (started, kept) = send(connection, job).await?;
                is_done.await?;
                drop(kept);
                Ok(started)
            })
        },
        move || {
            block_on(async move {
                let mut connection = accept(&far, bound, Duration::ZERO).await?;
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
