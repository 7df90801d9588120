//! The patterns, between two processes.

use std::future::pending;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, PoisonError};

use ::zeromq::prelude::*;
use ::zeromq::{
    DealerSocket, PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket, RouterSocket, SubSocket,
    ZmqMessage,
};
use bytes::Bytes;
use tokio::net::UnixStream;

use super::length;
use crate::job::{Job, Result, check_length, payload};
use crate::patterns::{Arrivals, Credit, Ends, GREETING, GREETING_EVERY, Part, Pattern, Place, now, ready};
use crate::process::{Parent, Role};
use crate::subjects::runtime::block_on;

/// The processes.
pub(crate) const ENDS: Ends =
    Ends { sender: ("zeromq-sender", send), receiver: ("zeromq-receiver", receive) };

/// A proxy between the ends of any subject, for requests: between PULL and PUSH it has none.
pub(crate) const PROXY: Role = ("zeromq-proxy", pass_on);

const ANY_PORT: &str = "tcp://127.0.0.1:0";

fn pass_on(job: &Job, parent: &mut Parent) -> Result<()> {
    let part: Part = parent.hear()?;
    let [front, back] = part.proxys_addresses(job.wire, ANY_PORT)?;
    block_on(async {
        let (mut frontend, mut backend) = (RouterSocket::new(), DealerSocket::new());
        backend.connect(&back).await?;
        let address = frontend.bind(&front).await?.to_string();
        parent.tell(&Some(Place { address, key: None }))?;
        Ok(::zeromq::proxy(frontend, backend, None).await?)
    })
}

fn send(job: &Job, parent: &mut Parent) -> Result<()> {
    let part: Part = parent.hear()?;
    let back = part.listen_back()?;
    block_on(async {
        match part.pattern {
            Pattern::PushPull => {
                flow(connected(PushSocket::new(), parent).await?, back, &part, job, parent).await
            }
            Pattern::DealerRouter(_) => {
                flow(connected(DealerSocket::new(), parent).await?, back, &part, job, parent).await
            }
            Pattern::PubSub(_) => {
                let mut socket = PubSocket::new();
                let place = bind(&mut socket, &part, job).await?;
                parent.tell(&Some(place))?;
                parent.hear::<Option<Place>>()?;
                flow(socket, back, &part, job, parent).await
            }
            Pattern::ReqRep(_) => ask(connected(ReqSocket::new(), parent).await?, job, parent).await,
            Pattern::Curve => Err("it has no CURVE".into()),
        }
    })
}

async fn connected<S: Socket>(mut socket: S, parent: &mut Parent) -> Result<S> {
    parent.tell(&None::<Place>)?;
    let place: Option<Place> = parent.hear()?;
    socket.connect(&place.ok_or("the receiver has not bound")?.address).await?;
    Ok(socket)
}

async fn flow(
    mut socket: impl SocketSend,
    back: UnixListener,
    part: &Part,
    job: &Job,
    parent: &mut Parent,
) -> Result<()> {
    let (back, _) = back.accept()?;
    back.set_nonblocking(true)?;
    let mut back = UnixStream::from_std(back)?;
    socket.send(GREETING.to_vec().into()).await?;
    loop {
        if part.forgets() {
            socket.send(GREETING.to_vec().into()).await?;
        }
        tokio::time::sleep(GREETING_EVERY).await;
        if back.try_read(&mut [0]).is_ok() {
            break;
        }
    }
    ready(parent)?;
    let message = Bytes::from(payload(job.size));
    let mut credit = Credit::new(part, window(job));
    let started = now();
    for number in 0..job.count {
        credit.wait_async(number, &mut back).await?;
        socket.send(message.clone().into()).await?;
    }
    parent.tell(&started)?;
    // Its tasks still send; the parent ends this process.
    pending().await
}

async fn ask(mut socket: ReqSocket, job: &Job, parent: &mut Parent) -> Result<()> {
    let message = Bytes::from(payload(job.size));
    let mut trips = Vec::new();
    // The first trip also waits for the handshake; it does not count.
    for trip in 0..=job.count {
        let started = now();
        socket.send(message.clone().into()).await?;
        let echo = socket.recv().await?;
        let elapsed = now() - started;
        check_length(length(&echo), job)?;
        if trip > 0 {
            trips.push(elapsed);
        }
    }
    parent.tell(&trips)
}

fn receive(job: &Job, parent: &mut Parent) -> Result<()> {
    let part: Part = parent.hear()?;
    let arrivals = Arrivals::new(job, &part, window(job))?;
    block_on(async {
        match part.pattern {
            Pattern::PushPull => {
                let mut socket = PullSocket::new();
                parent.tell(&Some(bind(&mut socket, &part, job).await?))?;
                count(socket, arrivals, length, parent).await
            }
            Pattern::DealerRouter(_) => {
                let mut socket = RouterSocket::new();
                parent.tell(&Some(bind(&mut socket, &part, job).await?))?;
                // Behind the routing id.
                count(socket, arrivals, |message| message.iter().skip(1).map(Bytes::len).sum(), parent).await
            }
            Pattern::ReqRep(_) => {
                let mut socket = RepSocket::new();
                parent.tell(&Some(bind(&mut socket, &part, job).await?))?;
                loop {
                    let message = socket.recv().await?;
                    socket.send(message).await?;
                }
            }
            Pattern::PubSub(count) => subscribe(&part, count, arrivals, parent).await,
            Pattern::Curve => Err("it has no CURVE".into()),
        }
    })
}

async fn bind(socket: &mut impl Socket, part: &Part, job: &Job) -> Result<Place> {
    let address = socket.bind(&part.address(job.wire, ANY_PORT)).await?;
    Ok(Place { address: address.to_string(), key: None })
}

async fn count(
    mut socket: impl SocketRecv,
    mut arrivals: Arrivals,
    length: fn(&ZmqMessage) -> usize,
    parent: &mut Parent,
) -> Result<()> {
    while !arrivals.is_complete(0) {
        let message = socket.recv().await?;
        arrivals.arrived(0, length(&message))?;
    }
    arrivals.finish(now(), parent)
}

async fn subscribe(part: &Part, count: usize, arrivals: Arrivals, parent: &mut Parent) -> Result<()> {
    // Before connecting, which takes the sender: it waits for this word.
    parent.tell(&None::<Place>)?;
    let arrivals = Arc::new(Mutex::new(arrivals));
    let mut tasks = Vec::new();
    for receiver in 0..count {
        let mut socket = SubSocket::new();
        socket.subscribe("").await?;
        socket.connect(&part.place()?.address).await?;
        let arrivals = Arc::clone(&arrivals);
        tasks.push(tokio::spawn(async move {
            loop {
                let message = socket.recv().await?;
                let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
                arrivals.arrived(receiver, length(&message))?;
                if arrivals.is_complete(receiver) {
                    return Result::Ok(());
                }
            }
        }));
    }
    for task in tasks {
        task.await??;
    }
    let finished = now();
    arrivals.lock().unwrap_or_else(PoisonError::into_inner).finish(finished, parent)
}

/// Its queues take 100,000 messages; so many fill the cache.
fn window(job: &Job) -> u64 {
    (512 * 1024 / job.size as u64).clamp(32, 1000)
}
