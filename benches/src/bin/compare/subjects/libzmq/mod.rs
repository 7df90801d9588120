//! Subject `libzmq`: the C++ library through the crate `zmq`, PUSH to PULL one way and DEALER to DEALER.
//!
//! Each side has a context of its own, made on its pinned thread, so that its one I/O thread inherits the
//! core. Payloads are copied into each message: the crate offers no shared ones.

mod patterns;

use std::sync::mpsc;
use std::time::Instant;

use ::zmq::{Context, DONTWAIT, Error, Message, PULL, PUSH, Socket, SocketType};

use crate::job::{Job, Outcome, Result, Wire, check_length, payload};
use crate::{pair, sockets};

pub(crate) use patterns::{ENDS, PROXY};

/// Messages one way.
pub(crate) fn throughput(job: &Job) -> Result<Outcome> {
    let job = *job;
    let folder = sockets::folder()?;
    let address = address(job.wire, folder.path());
    let (bound, is_bound) = mpsc::channel::<String>();
    let (ready, is_ready) = mpsc::channel();
    let (done, is_done) = mpsc::channel();
    let (started, (finished, received)) = pair::run(
        move || {
            let socket = socket(PUSH, &job)?;
            socket.connect(&is_bound.recv()?)?;
            let message = payload(job.size);
            // One message ahead, which does not count: the clock must not see the handshake.
            socket.send(&message, 0)?;
            is_ready.recv()?;
            let started = Instant::now();
            for _ in 0..job.count {
                socket.send(&message, 0)?;
            }
            // The socket must live until its I/O thread has sent everything.
            is_done.recv()?;
            Ok(started)
        },
        move || {
            let socket = bind(PULL, &job, &address, &bound)?;
            let mut message = Message::new();
            socket.recv(&mut message, 0)?;
            ready.send(())?;
            for _ in 0..job.count {
                socket.recv(&mut message, 0)?;
                check_length(message.len(), &job)?;
            }
            let finished = Instant::now();
            if socket.recv(&mut message, DONTWAIT) != Err(Error::EAGAIN) {
                return Err("more messages arrived than were sent".into());
            }
            done.send(())?;
            Ok((finished, job.count))
        },
    )?;
    Ok(Outcome::Flow { elapsed: finished - started, received })
}

/// Round trips.
pub(crate) fn rtt(job: &Job) -> Result<Outcome> {
    let job = *job;
    let folder = sockets::folder()?;
    let address = address(job.wire, folder.path());
    let (bound, is_bound) = mpsc::channel::<String>();
    let (done, is_done) = mpsc::channel();
    let (trips, ()) = pair::run(
        move || {
            let socket = socket(::zmq::DEALER, &job)?;
            socket.connect(&is_bound.recv()?)?;
            let payload = payload(job.size);
            let mut echo = Message::new();
            let mut trips = Vec::new();
            // The first trip also waits for the handshake; it does not count.
            for trip in 0..=job.count {
                let started = Instant::now();
                socket.send(&payload, 0)?;
                socket.recv(&mut echo, 0)?;
                let elapsed = started.elapsed();
                check_length(echo.len(), &job)?;
                if trip > 0 {
                    trips.push(elapsed);
                }
            }
            done.send(())?;
            Ok(trips)
        },
        move || {
            let socket = bind(::zmq::DEALER, &job, &address, &bound)?;
            for _ in 0..=job.count {
                let mut message = Message::new();
                socket.recv(&mut message, 0)?;
                // The message itself goes back, without a copy.
                socket.send(message, 0)?;
            }
            is_done.recv()?;
            Ok(())
        },
    )?;
    Ok(Outcome::Trips(trips))
}

fn address(wire: Wire, folder: &std::path::Path) -> String {
    match wire {
        Wire::Tcp => "tcp://127.0.0.1:*".into(),
        Wire::Unix => format!("ipc://{}", folder.join("socket").display()),
    }
}

/// A socket of a new context, with the one I/O thread of the default.
fn socket(kind: SocketType, job: &Job) -> Result<Socket> {
    let socket = Context::new().socket(kind)?;
    let mark = high_water_mark(job.size);
    socket.set_sndhwm(mark)?;
    socket.set_rcvhwm(mark)?;
    socket.set_linger(0)?;
    Ok(socket)
}

/// The default mark of 1000 messages, but not much more than half a megabyte waiting.
///
/// With large messages the default's queue falls out of the cache, which costs libzmq half of its speed.
fn high_water_mark(size: usize) -> i32 {
    let messages = (512 * 1024 / size.max(1)).clamp(32, 1000);
    i32::try_from(messages).unwrap_or(1000)
}

/// A bound socket; its real address goes to the other side.
fn bind(kind: SocketType, job: &Job, address: &str, bound: &mpsc::Sender<String>) -> Result<Socket> {
    let socket = socket(kind, job)?;
    socket.bind(address)?;
    let address = socket.get_last_endpoint()?.map_err(|_| "libzmq answered an address that is no text")?;
    bound.send(address)?;
    Ok(socket)
}
