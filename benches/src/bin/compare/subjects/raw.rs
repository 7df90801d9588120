//! Subject `raw`: blocking std sockets without any framing, the bound of what the sockets can do.
//!
//! For throughput the messages are packed into writes of 64 KiB, the most a framing could ever coalesce.

use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::job::{Job, Outcome, Result, Wire, payload};
use crate::{pair, sockets};

const BUFFER: usize = 64 * 1024;

/// Bytes one way, counted as messages.
pub(crate) fn throughput(job: &Job) -> Result<Outcome> {
    match job.wire {
        Wire::Tcp => {
            let (near, far) = sockets::tcp()?;
            flow(|| Ok(near), || Ok(far), *job)
        }
        Wire::Unix => {
            let (near, far) = sockets::unix()?;
            flow(|| Ok(near), || Ok(far), *job)
        }
    }
}

/// The same bytes to ten sockets, counted as messages that all of them got.
pub(crate) fn throughput_of_ten(job: &Job) -> Result<Outcome> {
    let pairs = 0..10;
    match job.wire {
        Wire::Tcp => {
            let (near, far) = pairs.map(|_| sockets::tcp()).collect::<Result<(Vec<_>, Vec<_>)>>()?;
            flow_of_many(near, far, *job)
        }
        Wire::Unix => {
            let (near, far) = pairs.map(|_| sockets::unix()).collect::<Result<(Vec<_>, Vec<_>)>>()?;
            flow_of_many(near, far, *job)
        }
    }
}

/// Round trips, with blocking reads on both sides.
pub(crate) fn rtt(job: &Job) -> Result<Outcome> {
    match job.wire {
        Wire::Tcp => {
            let (near, far) = sockets::tcp()?;
            trips(|| Ok(near), || Ok(far), *job)
        }
        Wire::Unix => {
            let (near, far) = sockets::unix()?;
            trips(|| Ok(near), || Ok(far), *job)
        }
    }
}

/// Round trips, with both sides polling their sockets and never sleeping.
pub(crate) fn rtt_spin(job: &Job) -> Result<Outcome> {
    match job.wire {
        Wire::Tcp => {
            let (near, far) = sockets::tcp()?;
            near.set_nonblocking(true)?;
            far.set_nonblocking(true)?;
            trips(|| Ok(Spin(near)), || Ok(Spin(far)), *job)
        }
        Wire::Unix => {
            let (near, far) = sockets::unix()?;
            near.set_nonblocking(true)?;
            far.set_nonblocking(true)?;
            trips(|| Ok(Spin(near)), || Ok(Spin(far)), *job)
        }
    }
}

/// Bytes one way between two streams, each opened on the thread that will use it.
pub(super) fn flow<S: Read + Write>(
    near: impl FnOnce() -> Result<S> + Send + 'static,
    far: impl FnOnce() -> Result<S> + Send + 'static,
    job: Job,
) -> Result<Outcome> {
    let total = job.count * job.size as u64;
    let (ready, is_ready) = mpsc::channel();
    let (started, (finished, bytes)) = pair::run(
        move || {
            let mut near = near()?;
            let buffer = payload(BUFFER);
            is_ready.recv()?;
            let started = Instant::now();
            let mut left = total;
            while left > 0 {
                let length = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
                near.write_all(&buffer[..length])?;
                left -= length as u64;
            }
            Ok(started)
        },
        move || {
            let mut far = far()?;
            let mut buffer = vec![0; BUFFER];
            let mut bytes = 0;
            ready.send(())?;
            let mut finished = Instant::now();
            // To the end of the stream, so that bytes too many would be seen as well.
            loop {
                let length = far.read(&mut buffer)?;
                if length == 0 {
                    return Ok((finished, bytes));
                }
                bytes += length as u64;
                if bytes >= total {
                    finished = Instant::now();
                }
            }
        },
    )?;
    if bytes != total {
        return Err(format!("{bytes} of {total} bytes arrived").into());
    }
    Ok(Outcome::Flow { elapsed: finished - started, received: bytes / job.size as u64 })
}

/// The same bytes to many streams, in turns and in writes of 64 KiB; each is read to its end in the same turns.
fn flow_of_many<S: Read + Write + Send + 'static>(
    mut near: Vec<S>,
    mut far: Vec<S>,
    job: Job,
) -> Result<Outcome> {
    let total = job.count * job.size as u64;
    let lengths = move || {
        let whole = (0..total / BUFFER as u64).map(|_| BUFFER);
        // Less than the buffer, which is a usize.
        whole.chain(usize::try_from(total % BUFFER as u64).ok())
    };
    let (ready, is_ready) = mpsc::channel();
    let (started, finished) = pair::run(
        move || {
            let buffer = payload(BUFFER);
            is_ready.recv()?;
            let started = Instant::now();
            for length in lengths() {
                near.iter_mut().try_for_each(|stream| stream.write_all(&buffer[..length]))?;
            }
            Ok((started, near))
        },
        move || {
            let mut buffer = vec![0; BUFFER];
            ready.send(())?;
            for length in lengths() {
                far.iter_mut().try_for_each(|stream| stream.read_exact(&mut buffer[..length]))?;
            }
            Ok(Instant::now())
        },
    )?;
    Ok(Outcome::Flow { elapsed: finished - started.0, received: job.count })
}

/// Round trips between two streams, each opened on the thread that will use it.
pub(super) fn trips<S: Read + Write>(
    near: impl FnOnce() -> Result<S> + Send + 'static,
    far: impl FnOnce() -> Result<S> + Send + 'static,
    job: Job,
) -> Result<Outcome> {
    let (trips, ()) = pair::run(
        move || {
            let mut near = near()?;
            let message = payload(job.size);
            let mut echo = vec![0; job.size];
            let mut trip = || -> Result<Duration> {
                let started = Instant::now();
                near.write_all(&message)?;
                near.read_exact(&mut echo)?;
                Ok(started.elapsed())
            };
            // The first trip also waits for the other thread to be there.
            trip()?;
            (0..job.count).map(|_| trip()).collect::<Result<Vec<_>>>()
        },
        move || {
            let mut far = far()?;
            let mut buffer = vec![0; job.size];
            for _ in 0..=job.count {
                far.read_exact(&mut buffer)?;
                far.write_all(&buffer)?;
            }
            Ok(())
        },
    )?;
    Ok(Outcome::Trips(trips))
}

/// A non-blocking socket that asks again until the kernel has something.
struct Spin<S>(S);

impl<S> Spin<S> {
    fn until_ready(
        &mut self,
        mut ask: impl FnMut(&mut S) -> std::io::Result<usize>,
    ) -> std::io::Result<usize> {
        loop {
            match ask(&mut self.0) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
                done => return done,
            }
        }
    }
}

impl<S: Read> Read for Spin<S> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.until_ready(|socket| socket.read(buffer))
    }
}

impl<S: Write> Write for Spin<S> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.until_ready(|socket| socket.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}
