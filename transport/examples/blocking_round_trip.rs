//! What blocking costs: round trips over a Unix socket, async and blocking, side by side in one process.
//!
//! Threads are pinned, to one core and then to two, so that the scheduler's choices are not part of the figures.
//!
//! ```text
//! cargo run --release -p transport --features blocking --example blocking_round_trip
//! ```

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};
use transport::{Connect, Listen, Policy, blocking};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const ROUNDS: usize = 11;
const TRIPS: usize = 3000;

fn main() -> Result<()> {
    println!("median of {ROUNDS} rounds of {TRIPS} round trips, 64 bytes");
    println!("both ends on one core:");
    compare(0, ["unix:@blocking-round-trip-1", "unix:@blocking-round-trip-2"])?;
    println!("each end on a core of its own:");
    compare(1, ["unix:@blocking-round-trip-3", "unix:@blocking-round-trip-4"])
}

/// Clients run on core 0, servers on `core`.
fn compare(core: usize, [asynchronous, blocking]: [&'static str; 2]) -> Result<()> {
    // Threads start where the thread that starts them is.
    pin_to(core)?;
    thread::spawn(move || async_echo(asynchronous).expect("the async server goes on"));
    let mut server = blocking::listen(listen(blocking))?;
    thread::spawn(move || {
        while let Ok(Some(connection)) = server.accept() {
            thread::spawn(move || blocking_echo(connection));
        }
    });
    thread::sleep(Duration::from_millis(100));
    pin_to(0)?;

    type Subject<'a> = (&'a str, Box<dyn Fn() -> Result<Duration> + 'a>);
    let subjects: [Subject<'_>; 4] = [
        ("async client, async server", Box::new(|| async_trips(asynchronous))),
        ("blocking client, async server", Box::new(|| blocking_trips(asynchronous))),
        ("async client, blocking server", Box::new(|| async_trips(blocking))),
        ("blocking client, blocking server", Box::new(|| blocking_trips(blocking))),
    ];
    let mut figures = vec![Vec::new(); subjects.len()];
    for _ in 0..ROUNDS {
        for (figures, (_, trips)) in figures.iter_mut().zip(&subjects) {
            figures.push(trips()?);
        }
    }
    let base = median(figures[0].clone());
    for ((name, _), figures) in subjects.iter().zip(figures) {
        let time = median(figures);
        let ratio = time.as_secs_f64() / base.as_secs_f64();
        println!("  {name:34} {:6.2} us  {ratio:.2} x", time.as_secs_f64() * 1e6);
    }
    Ok(())
}

fn pin_to(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

fn listen(address: &str) -> Listen {
    transport::listen(address).policy(Policy::same_user())
}

fn connect(address: &str) -> Connect {
    transport::connect(address).server(Policy::same_user())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn async_echo(address: &str) -> Result<()> {
    runtime()?.block_on(async {
        let mut server = listen(address).start().await?;
        while let Some(mut connection) = server.accept().await {
            tokio::spawn(async move {
                while let Ok(Some(message)) = connection.recv().await {
                    if connection.send(&message).await.is_err() {
                        break;
                    }
                }
            });
        }
        Ok(())
    })
}

fn blocking_echo(mut connection: blocking::Connection) {
    while let Ok(Some(message)) = connection.recv() {
        if connection.send(&message).is_err() {
            break;
        }
    }
}

/// The median round trip.
fn async_trips(address: &str) -> Result<Duration> {
    runtime()?.block_on(async {
        let mut connection = connect(address).await?;
        let mut times = Vec::with_capacity(TRIPS);
        for _ in 0..TRIPS {
            let start = Instant::now();
            connection.send(&[0; 64]).await?;
            connection.recv().await?;
            times.push(start.elapsed());
        }
        Ok(median(times))
    })
}

fn blocking_trips(address: &str) -> Result<Duration> {
    let mut connection = blocking::connect(connect(address))?;
    let mut times = Vec::with_capacity(TRIPS);
    for _ in 0..TRIPS {
        let start = Instant::now();
        connection.send(&[0; 64])?;
        connection.recv()?;
        times.push(start.elapsed());
    }
    Ok(median(times))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
