//! Opening connections: as many as a server on one core can authenticate.

use std::time::Instant;

use futures_util::{StreamExt as _, stream};
use tokio::sync::oneshot;
use transport::Policy;
use transport::core::mechanism::scram::{Accounts, ScramClient, ScramServer, Verifier};

use super::{PEER_GONE, address};
use crate::job::{Job, Outcome, Result};
use crate::subjects::runtime::block_on;
use crate::{pair, sockets};

const USER: &str = "alice";
const PASSWORD: &str = "pencil";
/// So few that making the verifier takes no time: neither side stretches anything while it is measured.
const ITERATIONS: u32 = 4096;
/// Enough that the server never waits for a client.
const IN_FLIGHT: usize = 16;

/// Logins with SCRAM-SHA-256: the server has stored keys, the client those of an earlier login.
pub(crate) fn login_scram(job: &Job) -> Result<Outcome> {
    let accounts = Accounts::new()?.with_user(USER, Verifier::new(PASSWORD, ITERATIONS)?);
    let client = ScramClient::new(USER, PASSWORD)?;
    logins(*job, Some((ScramServer::new(accounts), client)))
}

/// The same without passwords: what a connection and its handshake cost.
pub(crate) fn login_null(job: &Job) -> Result<Outcome> {
    logins(*job, None)
}

fn logins(job: Job, scram: Option<(ScramServer, ScramClient)>) -> Result<Outcome> {
    let folder = sockets::folder()?;
    let address = address(job.wire, folder.path());
    let (server_side, client_side) = scram.unzip();
    let (bound, is_bound) = oneshot::channel::<String>();
    let (started, (finished, received)) = pair::run(
        move || {
            block_on(async move {
                let address = &is_bound.await?;
                let connect = || {
                    let connect = transport::connect(address).server(Policy::danger_anyone());
                    match &client_side {
                        Some(scram) => connect.mechanism(scram.clone()),
                        None => connect,
                    }
                };
                // The first one stretches the password; it does not count.
                drop(connect().await?);
                let started = Instant::now();
                let mut logins =
                    stream::iter(0..job.count).map(|_| connect().into_future()).buffer_unordered(IN_FLIGHT);
                while let Some(connection) = logins.next().await {
                    drop(connection?);
                }
                Ok(started)
            })
        },
        move || {
            block_on(async move {
                let listen = transport::listen(&address);
                let listen = match server_side {
                    Some(scram) => listen.mechanism(scram).policy(Policy::user(USER)),
                    None => listen.policy(Policy::danger_anyone()),
                };
                let mut server = listen.start().await?;
                bound.send(server.local_address().to_string()).map_err(|_| PEER_GONE)?;
                server.accept().await.ok_or(PEER_GONE)?;
                for _ in 0..job.count {
                    server.accept().await.ok_or(PEER_GONE)?;
                }
                Ok((Instant::now(), job.count))
            })
        },
    )?;
    Ok(Outcome::Flow { elapsed: finished - started, received })
}
