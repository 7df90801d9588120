//! The log on stdout: one JSON object a line.
//!
//! A thread of its own writes it, so that whoever reads slowly holds up the log and not the server.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::sync::mpsc;
use transport::core::Closed;

use crate::proofs::Seen;

/// What happened.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// The first line: peers can connect to this address.
    Listening {
        address: String,
    },
    Accepted {
        connection: u64,
        #[serde(flatten)]
        peer: Seen,
        source: String,
    },
    Refused {
        reason: String,
        /// As far as the transport proved it.
        identity: Option<String>,
        source: String,
    },
    /// An accepted peer is gone.
    Closed {
        connection: u64,
        identity: String,
        source: String,
        reason: String,
        messages_in: u64,
        messages_out: u64,
        bytes_in: u64,
        bytes_out: u64,
        seconds: f64,
    },
    AcceptFailed {
        reason: String,
    },
    /// So many events are missing here: they came faster than the log was read.
    Lost {
        events: u64,
    },
    /// The last line.
    Stopped {
        cut: usize,
    },
}

impl From<&Closed> for Event {
    fn from(closed: &Closed) -> Event {
        Event::Closed {
            connection: closed.connection.to_u64(),
            identity: closed.identity.to_string(),
            source: closed.source.to_string(),
            reason: closed.reason.to_string(),
            messages_in: closed.traffic.messages_in,
            messages_out: closed.traffic.messages_out,
            bytes_in: closed.traffic.bytes_in,
            bytes_out: closed.traffic.bytes_out,
            seconds: to_the_millisecond(closed.lasted),
        }
    }
}

/// Takes events from anywhere, and never waits.
#[derive(Clone)]
pub(crate) struct EventLog {
    entries: mpsc::Sender<Entry>,
    lost: Arc<AtomicU64>,
}

/// The thread that writes.
pub(crate) struct Writer {
    thread: JoinHandle<io::Result<()>>,
}

enum Entry {
    Event(Event, SystemTime),
    End,
}

/// Events that wait to be written; more are dropped and counted.
const WAITING: usize = 1024;
/// How long a log that nobody reads may hold up the end.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) fn start() -> (EventLog, Writer) {
    let (entries, receiver) = mpsc::channel(WAITING);
    let lost = Arc::new(AtomicU64::new(0));
    let log = EventLog { entries, lost: Arc::clone(&lost) };
    let thread = std::thread::spawn(move || write_all(receiver, &lost));
    (log, Writer { thread })
}

impl EventLog {
    pub(crate) fn tell(&self, event: Event) {
        let entry = Entry::Event(event, SystemTime::now());
        if let Err(mpsc::error::TrySendError::Full(_)) = self.entries.try_send(entry) {
            self.lost(1);
        }
    }

    /// Counts events that could not be told.
    pub(crate) fn lost(&self, events: u64) {
        self.lost.fetch_add(events, Ordering::Relaxed);
    }

    /// Waits until nobody reads the log any more.
    pub(crate) async fn closed(&self) {
        self.entries.closed().await;
    }

    /// Writes what waits, as far as it is read in time; fails when the log could not be written.
    pub(crate) async fn finish(self, writer: Writer) -> io::Result<()> {
        let written = tokio::time::timeout(PATIENCE, async {
            // Fails when the writer has ended before.
            let _ = self.entries.send(Entry::End).await;
            self.entries.closed().await;
        });
        match written.await {
            Ok(()) => writer
                .thread
                .join()
                .unwrap_or_else(|_panic| Err(io::Error::other("the log's writer panicked"))),
            Err(_nobody_reads) => Ok(()),
        }
    }
}

fn write_all(mut entries: mpsc::Receiver<Entry>, lost: &AtomicU64) -> io::Result<()> {
    while let Some(Entry::Event(event, time)) = entries.blocking_recv() {
        write(event, time)?;
        match lost.swap(0, Ordering::Relaxed) {
            0 => {}
            events => write(Event::Lost { events }, SystemTime::now())?,
        }
    }
    Ok(())
}

fn write(event: Event, time: SystemTime) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line {
        #[serde(flatten)]
        event: Event,
        /// Seconds since 1970, to the millisecond.
        time: f64,
    }
    let time = to_the_millisecond(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    let line = serde_json::to_string(&Line { event, time })?;
    writeln!(io::stdout(), "{line}")
}

fn to_the_millisecond(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
