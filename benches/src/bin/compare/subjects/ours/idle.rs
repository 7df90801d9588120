//! What an idle connection takes of a server's memory: the server is one process, its clients are in another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use tokio::runtime::Builder;
use transport::core::mechanism::scram::{Accounts, ScramClient, ScramServer, Verifier};
use transport::{Connection, Limits, Policy};

use super::PEER_GONE;
use super::meeting::{Invitation, Meeting};
use crate::job::{Job, Outcome, Result};
use crate::process::{Child, Parent, Role, allow_many_files, memory};
use crate::sockets;
use crate::subjects::runtime::block_on;

pub(crate) const SERVER: Role = ("idle-server", serve);
pub(crate) const CLIENTS: Role = ("idle-clients", connect);

const USER: &str = "alice";
const PASSWORD: &str = "pencil";
const ITERATIONS: u32 = 4096;
/// Handshakes at a time.
const IN_FLIGHT: usize = 100;
/// The memory is read after each of so many equal parts.
const PARTS: u64 = 10;
/// One connection of so many is used in the end, to see that they are alive.
const TRIED: usize = 100;
/// How long a server's memory is left alone before it is read.
const SETTLE: Duration = Duration::from_millis(300);

/// Connections authenticated with SCRAM, each with a task that waits to send back what it receives.
pub(crate) fn idle_scram(job: &Job) -> Result<Outcome> {
    let folder = sockets::folder()?;
    measure(job, Invitation::plain(job.wire, folder.path()), true)
}

/// The same with the mechanism NULL: a Unix peer is known by its uid, a TCP peer is anonymous.
pub(crate) fn idle_null(job: &Job) -> Result<Outcome> {
    let folder = sockets::folder()?;
    measure(job, Invitation::plain(job.wire, folder.path()), false)
}

/// The same over TLS with certificates on both sides.
pub(crate) fn idle_tls(job: &Job) -> Result<Outcome> {
    measure(job, Invitation::tls()?, false)
}

fn measure(job: &Job, place: Invitation, scram: bool) -> Result<Outcome> {
    let mut server = Child::start(SERVER, job, None)?;
    let address: String = server.ask(&(&place, scram))?;
    let mut clients = Child::start(CLIENTS, job, None)?;
    clients.tell(&(place.at(address), scram))?;
    let first: u64 = server.ask(&0)?;
    let mut parts = Vec::new();
    let (mut before, mut memory, mut open) = (first, first, 0);
    for part in 1..=PARTS {
        let until = job.count * part / PARTS;
        let _connected: u64 = clients.ask(&until)?;
        memory = server.ask(&until)?;
        parts.push(difference(memory, before) / whole(until - open));
        (before, open) = (memory, until);
    }
    let answered: usize = clients.ask(&0)?;
    if answered != clients_tried(open) {
        return Err(format!("only {answered} of the connections are alive").into());
    }
    Ok(Outcome::Each { count: open, amount: difference(memory, first) / whole(open), parts })
}

/// Invitation an address, tells where it listens. Invitation a count, waits for so many connections and tells its memory.
fn serve(_job: &Job, parent: &mut Parent) -> Result<()> {
    allow_many_files()?;
    let (place, scram): (Invitation, bool) = parent.hear()?;
    // A thread of its own for the connections: this one mostly waits to be told something.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async move {
        let accounts = Accounts::new()?.with_user(USER, Verifier::new(PASSWORD, ITERATIONS)?);
        let limits = Limits::default().with_connections(100_000);
        let listen = Meeting::invited(place)?.listen().limits(limits);
        let listen = match scram {
            true => listen.mechanism(ScramServer::new(accounts)).policy(Policy::user(USER)),
            false => listen,
        };
        let mut server = listen.start().await?;
        let address = server.local_address().to_string();
        let accepted = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Some(mut connection) = server.accept().await {
                // Not an `async fn`, which would keep the connection twice: where it was passed in, and where it is used.
                tokio::spawn(async move {
                    while let Ok(Some(message)) = connection.recv().await {
                        if connection.send(&message).await.is_err() {
                            break;
                        }
                    }
                });
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        parent.tell(&address)?;
        loop {
            let until: u64 = parent.hear()?;
            let deadline = Instant::now() + Duration::from_secs(30);
            while accepted.load(Ordering::Relaxed) < until {
                if Instant::now() > deadline {
                    return Err(format!("{} of {until} connections", accepted.load(Ordering::Relaxed)).into());
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(SETTLE).await;
            parent.tell(&memory(std::process::id())?)?;
        }
    })
}

/// Invitation an address and then a count, opens connections until there are so many. Invitation 0, uses some of them.
fn connect(_job: &Job, parent: &mut Parent) -> Result<()> {
    allow_many_files()?;
    let (place, with_password): (Invitation, bool) = parent.hear()?;
    block_on(async move {
        let address = place.address().to_owned();
        let meeting = Meeting::invited(place)?;
        let scram = ScramClient::new(USER, PASSWORD)?;
        let mut connections = Vec::new();
        loop {
            let until: u64 = parent.hear()?;
            if until == 0 {
                let mut answered = 0;
                for connection in connections.iter_mut().step_by(TRIED) {
                    let connection: &mut Connection = connection;
                    connection.send("are you there?").await?;
                    connection.recv().await?.ok_or(PEER_GONE)?;
                    answered += 1;
                }
                parent.tell(&answered)?;
                continue;
            }
            let connect = || {
                let connect = meeting.connect(&address);
                if with_password { connect.mechanism(scram.clone()) } else { connect }.into_future()
            };
            let missing = until - connections.len() as u64;
            let mut opening = stream::iter(0..missing).map(|_| connect()).buffer_unordered(IN_FLIGHT);
            while let Some(connection) = opening.next().await {
                connections.push(connection?);
            }
            parent.tell(&until)?;
        }
    })
}

fn clients_tried(open: u64) -> usize {
    usize::try_from(open).map_or(0, |open| open.div_ceil(TRIED))
}

fn difference(after: u64, before: u64) -> f64 {
    whole(after) - whole(before)
}

#[expect(clippy::cast_precision_loss, reason = "memory and counts are far below 2^53")]
fn whole(value: u64) -> f64 {
    value as f64
}
