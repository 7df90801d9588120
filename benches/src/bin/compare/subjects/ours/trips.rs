//! Round trips.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Meeting, PEER_GONE, accept, connect};
use crate::job::{Job, Outcome, Result, check_length, payload};
use crate::subjects::runtime::block_on;
use crate::{pair, sockets};

/// How long a spinning receiver asks the socket before it waits.
const SPIN: Duration = Duration::from_micros(50);

/// Round trips: `send` and `recv`.
pub(crate) fn rtt(job: &Job) -> Result<Outcome> {
    let folder = sockets::folder()?;
    trips(*job, Meeting::plain(job.wire, folder.path())?, Duration::ZERO)
}

/// The same over TLS.
pub(crate) fn rtt_tls(job: &Job) -> Result<Outcome> {
    trips(*job, Meeting::tls()?, Duration::ZERO)
}

/// Round trips with receivers that spin for a while before they wait.
pub(crate) fn rtt_spin(job: &Job) -> Result<Outcome> {
    let folder = sockets::folder()?;
    trips(*job, Meeting::plain(job.wire, folder.path())?, SPIN)
}

fn trips(job: Job, meeting: Meeting, spin: Duration) -> Result<Outcome> {
    let (near, far) = (meeting.clone(), meeting);
    let (bound, is_bound) = oneshot::channel::<String>();
    let (trips, ()) = pair::run(
        move || {
            block_on(async move {
                let mut connection = connect(&near, &is_bound.await?, spin).await?;
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
                let mut connection = accept(&far, bound, spin).await?;
                while let Some(message) = connection.recv().await? {
                    connection.send(&message).await?;
                }
                Ok(())
            })
        },
    )?;
    Ok(Outcome::Trips(trips))
}
