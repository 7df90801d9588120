//! Subject `raw-tls`: tokio-rustls without any framing, the bound of what TLS can do here.
//!
//! For throughput the messages are packed into writes of 64 KiB, the most a framing could ever coalesce.

use std::ops::Range;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use super::certificates::{NAME, WARM_UP, name_for};
use super::runtime::block_on;
use super::rustls_streams::{accept, connect, sides};
use crate::job::{IN_FLIGHT, Job, Outcome, Result, payload};
use crate::{pair, sockets};

const BUFFER: usize = 64 * 1024;

/// Bytes one way, counted as messages.
pub(crate) fn throughput(job: &Job) -> Result<Outcome> {
    let job = *job;
    let ((near, far), (connector, acceptor)) = (sockets::tcp()?, sides()?);
    let total = job.count * job.size as u64;
    let (done, is_done) = oneshot::channel::<()>();
    let (started, (finished, bytes)) = pair::run(
        move || {
            block_on(async move {
                let mut stream = connect(&connector, near, NAME.into()).await?;
                let buffer = payload(BUFFER);
                let started = Instant::now();
                let mut left = total;
                while left > 0 {
                    let length = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
                    stream.write_all(&buffer[..length]).await?;
                    left -= length as u64;
                }
                stream.flush().await?;
                is_done.await?;
                Ok(started)
            })
        },
        move || {
            block_on(async move {
                let mut stream = accept(&acceptor, far).await?;
                let mut buffer = vec![0; BUFFER];
                let mut bytes = 0;
                while bytes < total {
                    match stream.read(&mut buffer).await? {
                        0 => return Err("the sender is gone".into()),
                        length => bytes += length as u64,
                    }
                }
                let finished = Instant::now();
                done.send(()).map_err(|()| "the sender is gone")?;
                Ok((finished, bytes))
            })
        },
    )?;
    Ok(Outcome::Flow { elapsed: finished - started, received: bytes / job.size as u64 })
}

/// Round trips.
pub(crate) fn rtt(job: &Job) -> Result<Outcome> {
    let job = *job;
    let ((near, far), (connector, acceptor)) = (sockets::tcp()?, sides()?);
    let (trips, ()) = pair::run(
        move || {
            block_on(async move {
                let mut stream = connect(&connector, near, NAME.into()).await?;
                let (message, mut echo) = (payload(job.size), vec![0; job.size]);
                let mut trips = Vec::new();
                // The first trip also waits for the other thread to be there; it does not count.
                for trip in 0..=job.count {
                    let started = Instant::now();
                    stream.write_all(&message).await?;
                    stream.flush().await?;
                    stream.read_exact(&mut echo).await?;
                    let elapsed: Duration = started.elapsed();
                    if trip > 0 {
                        trips.push(elapsed);
                    }
                }
                Ok(trips)
            })
        },
        move || {
            block_on(async move {
                let mut stream = accept(&acceptor, far).await?;
                let mut message = vec![0; job.size];
                for _ in 0..=job.count {
                    stream.read_exact(&mut message).await?;
                    stream.write_all(&message).await?;
                    stream.flush().await?;
                }
                Ok(())
            })
        },
    )?;
    Ok(Outcome::Trips(trips))
}

/// Full handshakes.
pub(crate) fn handshakes(job: &Job) -> Result<Outcome> {
    handshake(*job, false)
}

/// Handshakes that resume a session.
pub(crate) fn resumptions(job: &Job) -> Result<Outcome> {
    handshake(*job, true)
}

/// The server says one byte, so that a client knows that it is let in, and closes.
fn handshake(job: Job, resume: bool) -> Result<Outcome> {
    let (connector, acceptor) = sides()?;
    let (bound, is_bound) = oneshot::channel();
    let (started, (finished, received)) = pair::run(
        move || {
            block_on(async move {
                let address = is_bound.await?;
                let handshake = async |number| -> Result<bool> {
                    let name = name_for(number, resume);
                    let socket = TcpStream::connect(address).await?;
                    socket.set_nodelay(true)?;
                    let mut stream = connect(&connector, socket.into_std()?, name).await?;
                    stream.read_u8().await?;
                    let _end = stream.read_u8().await;
                    let kind = stream.get_ref().1.handshake_kind();
                    Ok(kind == Some(rustls::HandshakeKind::Resumed))
                };
                let run = async |numbers: Range<u64>| -> Result<u64> {
                    let mut handshakes = stream::iter(numbers).map(&handshake).buffer_unordered(IN_FLIGHT);
                    let mut resumed = 0;
                    while let Some(was_resumed) = handshakes.next().await {
                        resumed += u64::from(was_resumed?);
                    }
                    Ok(resumed)
                };
                // These bring sessions; they do not count.
                run(0..WARM_UP).await?;
                let started = Instant::now();
                let resumed = run(WARM_UP..WARM_UP + job.count).await?;
                // A few may find all sessions in use.
                if resumed < if resume { job.count / 20 * 19 } else { 0 } || !resume && resumed > 0 {
                    return Err(format!("{resumed} of {} were resumed", job.count).into());
                }
                Ok(started)
            })
        },
        move || {
            block_on(async move {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
                bound.send(listener.local_addr()?).map_err(|_| "the client is gone")?;
                let (passed, mut who_passed) = mpsc::unbounded_channel();
                tokio::spawn(async move {
                    while let Ok((socket, _)) = listener.accept().await {
                        let (acceptor, passed) = (acceptor.clone(), passed.clone());
                        tokio::spawn(async move {
                            socket.set_nodelay(true)?;
                            let mut stream = accept(&acceptor, socket.into_std()?).await?;
                            stream.write_u8(0).await?;
                            stream.shutdown().await?;
                            let _ended = passed.send(());
                            Result::Ok(())
                        });
                    }
                });
                for _ in 0..WARM_UP + job.count {
                    who_passed.recv().await.ok_or("the listener is gone")?;
                }
                Ok((Instant::now(), job.count))
            })
        },
    )?;
    Ok(Outcome::Flow { elapsed: finished - started, received })
}
