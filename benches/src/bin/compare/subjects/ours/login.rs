//! Opening connections: as many as a server on one core can authenticate.

use std::ops::Range;
use std::time::Instant;

use futures_util::{StreamExt as _, stream};
use tokio::sync::oneshot;
use transport::core::mechanism::scram::{Accounts, ScramClient, ScramServer, Verifier};
use transport::{Connect, Listen, Policy};

use super::{Meeting, PEER_GONE};
use crate::job::{IN_FLIGHT, Job, Outcome, Result};
use crate::subjects::certificates::{WARM_UP, name_for};
use crate::subjects::runtime::block_on;
use crate::{pair, sockets};

const USER: &str = "alice";
const PASSWORD: &str = "pencil";
/// So few that making the verifier takes no time: neither side stretches anything while it is measured.
const ITERATIONS: u32 = 4096;
/// Logins with SCRAM-SHA-256: the server has stored keys, the client those of an earlier login.
pub(crate) fn login_scram(job: &Job) -> Result<Outcome> {
    let folder = sockets::folder()?;
    let accounts = Accounts::new()?.with_user(USER, Verifier::new(PASSWORD, ITERATIONS)?);
    let client = ScramClient::new(USER, PASSWORD)?;
    logins(
        *job,
        Meeting::plain(job.wire, folder.path())?,
        move |listen| listen.mechanism(ScramServer::new(accounts)).policy(Policy::user(USER)),
        move |meeting, address, _| meeting.connect(address).mechanism(client.clone()),
    )
}

/// The same without passwords: what a connection and its handshake cost.
pub(crate) fn login_null(job: &Job) -> Result<Outcome> {
    let folder = sockets::folder()?;
    let meeting = Meeting::plain(job.wire, folder.path())?;
    logins(*job, meeting, |listen| listen, |meeting, address, _| meeting.connect(address))
}

/// Full handshakes of TLS, and ours within.
pub(crate) fn handshakes_tls(job: &Job) -> Result<Outcome> {
    tls(*job, false)
}

/// Handshakes of TLS that resume a session, and ours within.
pub(crate) fn resumptions_tls(job: &Job) -> Result<Outcome> {
    tls(*job, true)
}

fn tls(job: Job, resumed: bool) -> Result<Outcome> {
    logins(
        job,
        Meeting::tls()?,
        |listen| listen,
        move |meeting, address, number| meeting.connect_as(address, &name_for(number, resumed)),
    )
}

fn logins(
    job: Job,
    meeting: Meeting,
    listen: impl FnOnce(Listen) -> Listen + Send + 'static,
    connect: impl Fn(&Meeting, &str, u64) -> Connect + Send + 'static,
) -> Result<Outcome> {
    let (near, far) = (meeting.clone(), meeting);
    let (bound, is_bound) = oneshot::channel::<String>();
    let (started, (finished, received)) = pair::run(
        move || {
            block_on(async move {
                let address = is_bound.await?;
                let login = async |number| -> Result<()> {
                    let mut connection = connect(&near, &address, number).await?;
                    // The server closes first: over TCP it is then its port that stays taken for a while.
                    let _closed = connection.recv().await;
                    Ok(())
                };
                let run = async |numbers: Range<u64>| -> Result<()> {
                    let mut logins = stream::iter(numbers).map(&login).buffer_unordered(IN_FLIGHT);
                    while let Some(done) = logins.next().await {
                        done?;
                    }
                    Ok(())
                };
                // These stretch the password or bring sessions; they do not count.
                run(0..WARM_UP).await?;
                let started = Instant::now();
                run(WARM_UP..WARM_UP + job.count).await?;
                Ok(started)
            })
        },
        move || {
            block_on(async move {
                let mut server = listen(far.listen()).start().await?;
                bound.send(server.local_address().to_string()).map_err(|_| PEER_GONE)?;
                for _ in 0..WARM_UP + job.count {
                    server.accept().await.ok_or(PEER_GONE)?;
                }
                Ok((Instant::now(), job.count))
            })
        },
    )?;
    Ok(Outcome::Flow { elapsed: finished - started, received })
}
