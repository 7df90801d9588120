//! ZeroMQ's patterns between two processes: a sender on one core, and on the other whoever receives.
//!
//! ```text
//! parent                      sender                        receiver
//!   | Part ---------------------> makes the back channel        |
//!   | <--------- Place, if it binds |                           |
//!   | Part, Place ----------------|-----------------------------> back channel
//!   | <---------------------------|-------- Place, if it binds  |
//!   | Place --------------------> | -- greetings, 1 byte each --> |
//!   |                             | <---- back channel: ready --- |
//!   | <------ ready, and begin -> |                               |
//!   | <------------------ started | -- messages ---------------> |
//!   | <---------------------------|---------- finished, count --- |
//! ```
//!
//! The clock is the system's monotonic one, which is the same for all processes. A publisher drops what a subscriber has no
//! room for, so it is kept within a window by the back channel: no subject drops anything then, and none has more to keep.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;

use crate::job::{Job, Outcome, Result, Wire, check_length};
use crate::process::{Child, Parent, Role};
use crate::{pin, process, sockets};

/// The two processes of a subject.
pub(crate) struct Ends {
    /// The end that sends, or asks.
    pub(crate) sender: Role,
    /// The end that receives, or answers.
    pub(crate) receiver: Role,
}

/// Which sockets there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Pattern {
    /// PUSH to PULL.
    PushPull,
    /// The same with CURVE.
    Curve,
    /// So many DEALERs, in turns, to one ROUTER.
    DealerRouter(usize),
    /// PUB to so many SUBs.
    PubSub(usize),
    /// REQ and REP, one request after the other, which wait so.
    ReqRep(Waiting),
}

/// What an end of ours does while it waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Waiting {
    /// What it does by default.
    Default,
    /// It sleeps at once.
    Asleep,
    /// It looks for a while first.
    Spinning,
}

impl Pattern {
    /// Whether it is timed by round trips.
    pub(crate) fn is_round_trips(self) -> bool {
        matches!(self, Pattern::ReqRep(_))
    }
}

/// Where an end has bound.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) address: String,
    /// The public key of a CURVE server.
    pub(crate) key: Option<String>,
}

/// What each end is told first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) pattern: Pattern,
    pub(crate) folder: PathBuf,
    /// The sender's, if it has bound already; to a proxy, the receiver's.
    pub(crate) place: Option<Place>,
}

/// How often a sender greets a receiver that may not be there yet.
pub(crate) const GREETING_EVERY: Duration = Duration::from_millis(1);
/// A message of one byte: it does not count.
pub(crate) const GREETING: &[u8] = &[0];

/// Messages one way, or round trips.
pub(crate) fn run(ends: &Ends, pattern: Pattern, job: &Job) -> Result<Outcome> {
    complete(Running::start(ends, None, CORES, pattern, job)?, pattern)
}

/// The same with both ends on one core.
pub(crate) fn run_on_one_core(ends: &Ends, pattern: Pattern, job: &Job) -> Result<Outcome> {
    complete(Running::start(ends, None, ONE_CORE, pattern, job)?, pattern)
}

/// The same through a proxy, whose process has a core to itself while the two ends share the other.
pub(crate) fn run_through(proxy: Role, ends: &Ends, pattern: Pattern, job: &Job) -> Result<Outcome> {
    complete(Running::start(ends, Some(proxy), ONE_CORE, pattern, job)?, pattern)
}

/// The sender's core and the receiver's.
const CORES: [usize; 2] = [pin::SENDER, pin::RECEIVER];
const ONE_CORE: [usize; 2] = [pin::SENDER; 2];

fn complete(mut running: Running, pattern: Pattern) -> Result<Outcome> {
    if pattern.is_round_trips() {
        let trips: Vec<u64> = running.sender.hear()?;
        return Ok(Outcome::Trips(trips.into_iter().map(Duration::from_nanos).collect()));
    }
    running.begin()?;
    let (elapsed, received) = running.finish()?;
    Ok(Outcome::Flow { elapsed, received })
}

/// The sender's time on its core, in nanoseconds a message.
pub(crate) fn sender_cpu(ends: &Ends, pattern: Pattern, job: &Job) -> Result<Outcome> {
    let mut running = Running::start(ends, None, CORES, pattern, job)?;
    let before = process::cpu_nanoseconds(running.sender.id())?;
    running.begin()?;
    let (_, received) = running.finish()?;
    let amount = process::cpu_nanoseconds(running.sender.id())?.saturating_sub(before);
    Ok(Outcome::Each { count: received, amount: whole(amount) / whole(job.count), parts: Vec::new() })
}

/// The time on its core of the end that answers, in nanoseconds a round trip.
pub(crate) fn answering_cpu(ends: &Ends, waiting: Waiting, job: &Job) -> Result<Outcome> {
    let mut running = Running::start(ends, None, CORES, Pattern::ReqRep(waiting), job)?;
    let trips: Vec<u64> = running.sender.hear()?;
    let amount = process::cpu_nanoseconds(running.receiver.id())?.saturating_sub(running.cpu);
    Ok(Outcome::Each {
        count: trips.len() as u64,
        amount: whole(amount) / whole(job.count),
        parts: Vec::new(),
    })
}

/// The receiver's memory for each of the sending sockets, in bytes, when all are connected and have sent one message.
pub(crate) fn receiver_memory(ends: &Ends, senders: usize, job: &Job) -> Result<Outcome> {
    let mut running = Running::start(ends, None, CORES, Pattern::DealerRouter(senders), job)?;
    thread::sleep(SETTLE);
    let amount = process::memory(running.receiver.id())?.saturating_sub(running.memory);
    running.begin()?;
    let (_, received) = running.finish()?;
    Ok(Outcome::Each { count: received, amount: whole(amount) / whole(senders as u64), parts: Vec::new() })
}

/// How long a process is left alone before its memory is read.
const SETTLE: Duration = Duration::from_millis(300);

/// Two ends that are connected.
struct Running {
    sender: Child,
    receiver: Child,
    _proxy: Option<Child>,
    /// The receiver's memory before it had a peer.
    memory: u64,
    /// And its time on its core.
    cpu: u64,
    _folder: TempDir,
}

impl Running {
    fn start(
        ends: &Ends,
        proxy: Option<Role>,
        [senders_core, receivers_core]: [usize; 2],
        pattern: Pattern,
        job: &Job,
    ) -> Result<Running> {
        let folder = sockets::folder()?;
        let mut part = Part { pattern, folder: folder.path().to_owned(), place: None };
        let mut sender = Child::start(ends.sender, job, Some(senders_core))?;
        let mut receiver = Child::start(ends.receiver, job, Some(receivers_core))?;
        part.place = sender.ask(&part)?;
        let mut place: Option<Place> = receiver.ask(&part)?;
        let mut between = None;
        if let Some(role) = proxy {
            let mut proxy = Child::start(role, job, Some(pin::RECEIVER))?;
            part.place = place;
            place = proxy.ask(&part)?;
            between = Some(proxy);
        }
        let memory = process::memory(receiver.id())?;
        let cpu = process::cpu_nanoseconds(receiver.id())?;
        sender.tell(&place)?;
        if !pattern.is_round_trips() {
            sender.hear::<()>()?;
        }
        Ok(Running { sender, receiver, _proxy: between, memory, cpu, _folder: folder })
    }

    /// Lets the sender begin.
    fn begin(&mut self) -> Result<()> {
        self.sender.tell(&())
    }

    /// Waits until everything has arrived.
    fn finish(&mut self) -> Result<(Duration, u64)> {
        let started: u64 = self.sender.hear()?;
        let (finished, received): (u64, u64) = self.receiver.hear()?;
        Ok((Duration::from_nanos(finished.saturating_sub(started)), received))
    }
}

/// What a sender says when all receivers have been greeted; it goes on when the parent lets it.
pub(crate) fn ready(parent: &mut Parent) -> Result<()> {
    parent.tell(&())?;
    parent.hear()
}

#[expect(clippy::cast_precision_loss, reason = "what is counted here is far below 2^53")]
fn whole(value: u64) -> f64 {
    value as f64
}

impl Part {
    /// An address to bind to, as all subjects spell it.
    pub(crate) fn address(&self, wire: Wire, tcp: &str) -> String {
        match wire {
            Wire::Tcp => tcp.into(),
            Wire::Unix => format!("ipc://{}", self.folder.join("socket").display()),
        }
    }

    /// Where a proxy binds, and where it connects to.
    pub(crate) fn proxys_addresses(&self, wire: Wire, tcp: &str) -> Result<[String; 2]> {
        Ok(match wire {
            Wire::Tcp => [tcp.to_owned(), self.place()?.address.clone()],
            Wire::Unix => [format!("ipc://{}", self.folder.join("proxy").display()), self.address(wire, tcp)],
        })
    }

    /// How many sockets receive.
    pub(crate) fn receivers(&self) -> usize {
        if let Pattern::PubSub(count) = self.pattern { count } else { 1 }
    }

    /// How many sockets send.
    pub(crate) fn senders(&self) -> usize {
        if let Pattern::DealerRouter(count) = self.pattern { count } else { 1 }
    }

    /// Whether what is sent before a receiver is there is lost.
    pub(crate) fn forgets(&self) -> bool {
        matches!(self.pattern, Pattern::PubSub(_))
    }

    /// The place that a subscriber or a proxy connects to.
    pub(crate) fn place(&self) -> Result<&Place> {
        Ok(self.place.as_ref().ok_or("the sender has not bound")?)
    }

    /// Makes the back channel, at the sender.
    pub(crate) fn listen_back(&self) -> Result<UnixListener> {
        Ok(UnixListener::bind(self.folder.join("back"))?)
    }
}

/// What the sender may send: everything, or as much as a window lets it.
pub(crate) struct Credit {
    granted: u64,
    step: u64,
}

impl Credit {
    /// After the receivers' word that they are there: a whole window.
    pub(crate) fn new(part: &Part, window: u64) -> Credit {
        match part.pattern {
            Pattern::PubSub(_) => Credit { granted: window, step: step(window) },
            _ => Credit { granted: u64::MAX, step: 0 },
        }
    }

    /// Waits until message `number` may be sent.
    #[inline]
    pub(crate) fn wait(&mut self, number: u64, back: &mut UnixStream) -> Result<()> {
        while number >= self.granted {
            let mut steps = [0; 64];
            let count = back.read(&mut steps)?;
            self.grant(count)?;
        }
        Ok(())
    }

    /// As `wait`, and lets other tasks work meanwhile.
    #[inline]
    pub(crate) async fn wait_async(&mut self, number: u64, back: &mut tokio::net::UnixStream) -> Result<()> {
        while number >= self.granted {
            let mut steps = [0; 64];
            let count = back.read(&mut steps).await?;
            self.grant(count)?;
        }
        Ok(())
    }

    /// How many may be sent from message `number` on.
    #[inline]
    pub(crate) fn left(&self, number: u64) -> u64 {
        self.granted - number
    }

    fn grant(&mut self, steps: usize) -> Result<()> {
        if steps == 0 {
            return Err("the receiver is gone".into());
        }
        self.granted += steps as u64 * self.step;
        Ok(())
    }
}

/// Counts what has arrived at each receiving socket, and tells the sender.
pub(crate) struct Arrivals {
    job: Job,
    counts: Vec<u64>,
    /// From how many senders each receiver has not been greeted yet.
    ungreeted: Vec<usize>,
    back: UnixStream,
    /// How much of the window each word to the sender gives back; none without a window.
    step: Option<u64>,
    told: u64,
}

impl Arrivals {
    pub(crate) fn new(job: &Job, part: &Part, window: u64) -> Result<Arrivals> {
        let receivers = part.receivers();
        Ok(Arrivals {
            job: *job,
            counts: vec![0; receivers],
            ungreeted: vec![part.senders(); receivers],
            back: UnixStream::connect(part.folder.join("back"))?,
            step: matches!(part.pattern, Pattern::PubSub(_)).then(|| step(window)),
            told: 0,
        })
    }

    /// A message of `length` bytes has arrived at a receiver.
    #[inline]
    pub(crate) fn arrived(&mut self, receiver: usize, length: usize) -> Result<()> {
        if length == GREETING.len() {
            return self.greeted(receiver);
        }
        check_length(length, &self.job)?;
        self.counts[receiver] += 1;
        match self.step {
            Some(step) if self.counts[receiver].is_multiple_of(step) => self.tell(step),
            _ => Ok(()),
        }
    }

    /// Whether this receiver has everything.
    #[inline]
    pub(crate) fn is_complete(&self, receiver: usize) -> bool {
        self.counts[receiver] >= self.job.count
    }

    /// Tells the parent the time now, and the count: of the receiver that differs most from what was sent.
    pub(crate) fn finish(&self, finished: u64, parent: &mut Parent) -> Result<()> {
        let worst = self.counts.iter().max_by_key(|count| count.abs_diff(self.job.count));
        parent.tell(&(finished, worst))
    }

    #[cold]
    fn greeted(&mut self, receiver: usize) -> Result<()> {
        let ungreeted = &mut self.ungreeted[receiver];
        // A publisher goes on greeting until everyone has subscribed.
        if *ungreeted > 0 {
            *ungreeted -= 1;
            if self.ungreeted.iter().all(|ungreeted| *ungreeted == 0) {
                self.back.write_all(&[0])?;
            }
        }
        Ok(())
    }

    fn tell(&mut self, step: u64) -> Result<()> {
        let slowest = self.counts.iter().copied().min().unwrap_or(0) / step;
        while self.told < slowest {
            self.back.write_all(&[0])?;
            self.told += 1;
        }
        Ok(())
    }
}

fn step(window: u64) -> u64 {
    (window / 4).max(1)
}

/// Nanoseconds of the clock that all processes share.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // Both are positive, and the seconds since boot are few.
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}
