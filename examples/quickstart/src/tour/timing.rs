//! Small timings: an impression, not a benchmark.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::oneshot;
use transport::Connection;

use super::places::{Kind, Places};
use crate::echo::echo;
use crate::problem::{Problem, chain};

pub(super) const MESSAGE_BYTES: usize = 64;
/// How long each measurement takes.
pub(super) const TIME: Duration = Duration::from_millis(300);

/// How fast one transport was.
#[derive(Serialize)]
pub(super) struct Timing {
    pub(super) transport: &'static str,
    /// Half of the round trips took no longer, in microseconds.
    pub(super) round_trip_p50_us: f64,
    /// In one direction, with as many under way as fit.
    pub(super) messages_per_second: u64,
}

pub(super) async fn measure(places: &mut Places) -> Result<Vec<Timing>, Problem> {
    let mut timings = Vec::new();
    for kind in Kind::ALL {
        let answer = async |mut server: Connection| echo(&mut server).await;
        let ((), round_trip) = two_programs(kind, places, answer, round_trip).await?;
        let (received, sent) = two_programs(kind, places, count, flood).await?;
        if received != sent.messages {
            return Err(format!("{} messages were sent, {received} arrived", sent.messages).into());
        }
        timings.push(Timing {
            transport: kind.name(),
            round_trip_p50_us: round_trip.as_secs_f64() * 1e6,
            messages_per_second: sent.per_second()?,
        });
    }
    Ok(timings)
}

/// Sends one message at a time, there and back; the median.
async fn round_trip(mut client: Connection) -> Result<Duration, Problem> {
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < TIME {
        let sent = Instant::now();
        client.send(&PAYLOAD).await?;
        client.recv().await?.ok_or("the echo ended")?;
        times.push(sent.elapsed());
    }
    client.close().await?;
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// Messages that have arrived, and in which time.
struct Sent {
    messages: u64,
    time: Duration,
}

impl Sent {
    fn per_second(&self) -> Result<u64, Problem> {
        let nanoseconds = self.time.as_nanos().max(1);
        Ok(u64::try_from(u128::from(self.messages) * 1_000_000_000 / nanoseconds)?)
    }
}

/// Sends in one direction; an empty message ends it, and is answered when all have arrived.
async fn flood(mut client: Connection) -> Result<Sent, Problem> {
    let mut messages = 0;
    let start = Instant::now();
    while start.elapsed() < TIME {
        for _ in 0..BATCH {
            client.feed(&PAYLOAD).await?;
            messages += 1;
        }
    }
    client.send("").await?;
    client.recv().await?.ok_or("the count ended")?;
    let time = start.elapsed();
    client.close().await?;
    Ok(Sent { messages, time })
}

/// The other end of [`flood`].
async fn count(mut server: Connection) -> Result<u64, Problem> {
    let mut count = 0;
    let mut messages = Vec::with_capacity(BATCH);
    while server.recv_many(&mut messages, BATCH).await? > 0 {
        for message in messages.drain(..) {
            if message.byte_count() == 0 {
                server.send("").await?;
                server.close().await?;
                return Ok(count);
            }
            count += 1;
        }
    }
    Err("the messages ended early".into())
}

/// Runs each end on a thread and a runtime of its own, as if they were two programs: two tasks of one runtime may
/// share a thread, and then show times that no two programs reach.
async fn two_programs<S: Send + 'static, C: Send + 'static>(
    kind: Kind,
    places: &mut Places,
    server: impl AsyncFnOnce(Connection) -> Result<S, Problem> + Send + 'static,
    client: impl AsyncFnOnce(Connection) -> Result<C, Problem> + Send + 'static,
) -> Result<(S, C), Problem> {
    let (tell, told) = oneshot::channel();
    let listen = places.listen(kind)?.policy(kind.client());
    let own = places.certificates().client.clone();
    let serving = program(async move || {
        let mut listening = listen.start().await?;
        // Fails when the client is gone, and then nobody comes.
        let _ = tell.send(listening.local_address().to_string());
        server(listening.accept().await.ok_or("the server stopped")?).await
    });
    let asking = program(async move || {
        let address = told.await.map_err(|_| "the server did not start")?;
        client(transport::connect(address).transport(own).server(kind.server()).await?).await
    });
    match tokio::join!(serving, asking) {
        (Ok(served), Ok(asked)) => Ok((served, asked)),
        (Err(server), Err(client)) => Err(format!("{}; {}", chain(&*client), chain(&*server)).into()),
        (Err(problem), Ok(_)) | (Ok(_), Err(problem)) => Err(problem),
    }
}

/// Runs `main` as a small program does.
async fn program<R: Send + 'static>(
    main: impl AsyncFnOnce() -> Result<R, Problem> + Send + 'static,
) -> Result<R, Problem> {
    let thread = tokio::task::spawn_blocking(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ended = runtime.block_on(async { tokio::time::timeout(LONGEST, main()).await });
        ended.unwrap_or_else(|_| Err(format!("a measurement did not end within {LONGEST:?}").into()))
    });
    thread.await?
}

const PAYLOAD: [u8; MESSAGE_BYTES] = [7; MESSAGE_BYTES];
/// Messages between two looks at the clock.
const BATCH: usize = 256;
/// Its thread cannot be stopped from outside: it ends by itself.
const LONGEST: Duration = Duration::from_secs(10);
