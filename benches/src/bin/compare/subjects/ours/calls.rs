//! Calls: the round trip of one, and as many replies a second as many calls under way can bring.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use transport::core::call::{self, CallError, CallLimits, Caller, LoneCaller};
use transport::{Connection, Message, MessageRef};

use super::{Meeting, accept, connect};
use crate::job::{Job, Outcome, Result, check_length, payload};
use crate::subjects::runtime::block_on;
use crate::{pair, sockets};

/// Calls under way on one connection.
const IN_FLIGHT: u64 = 1000;

/// Round trips of the one task that uses the connection, to a handler that replies at once.
pub(crate) fn call_rtt(job: &Job) -> Result<Outcome> {
    trips(*job, async |connection, job| {
        let mut caller = LoneCaller::new(connection, CallLimits::default());
        let message = payload(job.size);
        timed(job, async || Ok(caller.call(&message).await?)).await
    })
}

/// Round trips of a caller that many tasks can share; its replies are received by a task of their own.
pub(crate) fn call_rtt_shared(job: &Job) -> Result<Outcome> {
    trips(*job, async |connection, job| {
        let caller = Caller::new(connection, CallLimits::default());
        let message = payload(job.size);
        timed(job, async || Ok(caller.call(&message).await?)).await
    })
}

/// Calls with 1,000 under way, started by the one task that uses the connection.
pub(crate) fn calls(job: &Job) -> Result<Outcome> {
    flow(*job, async |connection, job| {
        let mut caller = LoneCaller::new(connection, CallLimits::default());
        let message = payload(job.size);
        let started = Instant::now();
        let (mut sent, mut replies) = (0, 0);
        let mut wrong = Ok(());
        while replies < job.count {
            while sent < job.count && sent - replies < IN_FLIGHT {
                caller.start(&message).await?;
                sent += 1;
            }
            let visit = |_, reply: std::result::Result<MessageRef<'_>, CallError>| match reply {
                Ok(reply) => {
                    if let Err(error) = check_length(reply.byte_count(), &job) {
                        wrong = Err(error);
                    }
                }
                Err(error) => wrong = Err(error.into()),
            };
            replies += caller.each_reply(visit).await? as u64;
        }
        let finished = Instant::now();
        wrong?;
        Ok((finished - started, replies))
    })
}

/// The same from 1,000 tasks that share a caller.
pub(crate) fn calls_shared(job: &Job) -> Result<Outcome> {
    flow(*job, async |connection, job| {
        let caller = Caller::new(connection, CallLimits::default());
        let started = Instant::now();
        let tasks: Vec<_> = (0..IN_FLIGHT)
            .map(|task| {
                let caller = caller.clone();
                let message = payload(job.size);
                let count = job.count / IN_FLIGHT + u64::from(task < job.count % IN_FLIGHT);
                tokio::spawn(async move {
                    for _ in 0..count {
                        check_length(caller.call(&message).await?.byte_count(), &job)?;
                    }
                    Result::Ok(count)
                })
            })
            .collect();
        let mut replies = 0;
        for task in tasks {
            replies += task.await??;
        }
        Ok((started.elapsed(), replies))
    })
}

fn trips<F>(job: Job, call: F) -> Result<Outcome>
where
    F: AsyncFnOnce(Connection, Job) -> Result<Vec<Duration>> + Send + 'static,
{
    Ok(Outcome::Trips(with_server(job, call)?))
}

fn flow<F>(job: Job, call: F) -> Result<Outcome>
where
    F: AsyncFnOnce(Connection, Job) -> Result<(Duration, u64)> + Send + 'static,
{
    let (elapsed, received) = with_server(job, call)?;
    Ok(Outcome::Flow { elapsed, received })
}

/// Runs `call` on one side; the other replies to each call with what it was asked.
fn with_server<F, T>(job: Job, call: F) -> Result<T>
where
    F: AsyncFnOnce(Connection, Job) -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    let folder = sockets::folder()?;
    let far = Meeting::plain(job.wire, folder.path())?;
    let near = far.clone();
    let (bound, is_bound) = oneshot::channel::<String>();
    let (called, ()) = pair::run(
        move || {
            block_on(async move {
                let connection = connect(&near, &is_bound.await?, Duration::ZERO).await?;
                call(connection, job).await
            })
        },
        move || {
            block_on(async move {
                let connection = accept(&far, bound, Duration::ZERO).await?;
                let serving = call::serve_with(connection, CallLimits::default(), |request| {
                    let message = request.message();
                    request.reply(message)
                });
                // An error is the caller's too, who tells it better.
                let _ended = serving.await;
                Ok(())
            })
        },
    )?;
    Ok(called)
}

async fn timed(job: Job, mut call: impl AsyncFnMut() -> Result<Message>) -> Result<Vec<Duration>> {
    let mut trips = Vec::new();
    // The first trip also waits for the other thread to be there; it does not count.
    for trip in 0..=job.count {
        let started = Instant::now();
        let reply = call().await?;
        let elapsed = started.elapsed();
        check_length(reply.byte_count(), &job)?;
        if trip > 0 {
            trips.push(elapsed);
        }
    }
    Ok(trips)
}
