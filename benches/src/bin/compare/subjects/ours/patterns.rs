//! The patterns of transport-zmq, between two processes.

use std::future::pending;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UnixStream;
use transport::{Message, Policy};
use transport_zmq::curve::{CurveClient, CurvePublicKey, CurveSecretKey, CurveServer};
use transport_zmq::{
    DealerSocket, HighWaterMark, PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket, RouterSocket,
    Security, SocketConfig, SubSocket, proxy,
};

use crate::job::{Job, Result, check_length, payload};
use crate::patterns::{
    Arrivals, Credit, Ends, GREETING, GREETING_EVERY, Part, Pattern, Place, Waiting, now, ready,
};
use crate::process::{Parent, Role, allow_many_files};
use crate::subjects::runtime::block_on;

/// The processes: they send slices of messages, and are lent what has arrived, where the pattern has that.
pub(crate) const ENDS: Ends = Ends {
    sender: ("ours-sender", |job, parent| send(job, parent, AT_ONCE)),
    receiver: ("ours-receiver", |job, parent| receive(job, parent, Way::Lent)),
};

/// The same with one call for each message.
pub(crate) const ENDS_SINGLE: Ends = Ends {
    sender: ("ours-single-sender", |job, parent| send(job, parent, 1)),
    receiver: ("ours-single-receiver", |job, parent| receive(job, parent, Way::OneByOne)),
};

/// A proxy between the ends of any subject.
pub(crate) const PROXY: Role = ("ours-proxy", pass_on);

/// How messages are received.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Lent,
    OneByOne,
}

const ANY_PORT: &str = "tcp://127.0.0.1:0";
/// How long a spinning receiver looks before it sleeps.
const SPIN: Duration = Duration::from_micros(100);
/// A publisher's mark in messages, since it is held back by a window as large as each library's queues take; as all other
/// sockets it has the default in bytes.
const MARK: usize = 16_384;
/// How many messages are sent by one call.
const AT_ONCE: usize = 100;

fn send(job: &Job, parent: &mut Parent, at_once: usize) -> Result<()> {
    allow_many_files()?;
    let part: Part = parent.hear()?;
    let back = part.listen_back()?;
    let transports = transport::transports();
    block_on(async {
        match part.pattern {
            Pattern::PushPull | Pattern::Curve => {
                let mut socket = PushSocket::new(&transports, config());
                let place = receivers_place(parent)?;
                socket.connect_with(&place.address, security_towards(&place)?)?;
                let send = async |messages: &[Message]| match messages {
                    [message] => Ok(socket.send(message).await?),
                    many => Ok(socket.send_many(many).await?),
                };
                flow(back, &part, job, parent, at_once, send).await
            }
            Pattern::DealerRouter(count) => {
                let mut sockets: Vec<_> =
                    (0..count).map(|_| DealerSocket::new(&transports, config())).collect();
                let place = receivers_place(parent)?;
                for socket in &sockets {
                    socket.connect(&place.address)?;
                }
                let mut turn = 0;
                let send = async |messages: &[Message]| {
                    turn = if turn + 1 < count { turn + 1 } else { 0 };
                    match messages {
                        [message] => Ok(sockets[turn].send(message).await?),
                        many => Ok(sockets[turn].send_many(many).await?),
                    }
                };
                // Each message from the next socket, if there are several.
                flow(back, &part, job, parent, if count == 1 { at_once } else { 1 }, send).await
            }
            Pattern::PubSub(_) => {
                let mark = HighWaterMark { messages: MARK, ..HighWaterMark::default() };
                let mut socket = PubSocket::new(&transports, config().with_send_mark(mark));
                let address = socket.bind(&part.address(job.wire, ANY_PORT)).await?.to_string();
                parent.tell(&Some(Place { address, key: None }))?;
                parent.hear::<Option<Place>>()?;
                let send = async |messages: &[Message]| match messages {
                    [message] => Ok(socket.send(message).await?),
                    many => Ok(socket.send_many(many).await?),
                };
                flow(back, &part, job, parent, at_once, send).await
            }
            Pattern::ReqRep(waiting) => {
                let socket = ReqSocket::new(&transports, waiting_so(waiting));
                socket.connect(&receivers_place(parent)?.address)?;
                ask(socket, job, parent).await
            }
        }
    })
}

fn pass_on(job: &Job, parent: &mut Parent) -> Result<()> {
    let part: Part = parent.hear()?;
    let [front, back] = part.proxys_addresses(job.wire, ANY_PORT)?;
    let transports = transport::transports();
    block_on(async {
        let (address, mut proxy) = if part.pattern.is_round_trips() {
            let frontend = RouterSocket::new(&transports, config());
            let backend = DealerSocket::new(&transports, config());
            backend.connect(&back)?;
            (frontend.bind(&front).await?, proxy(frontend, backend))
        } else {
            let frontend = PullSocket::new(&transports, config());
            let backend = PushSocket::new(&transports, config());
            backend.connect(&back)?;
            (frontend.bind(&front).await?, proxy(frontend, backend))
        };
        parent.tell(&Some(Place { address: address.to_string(), key: None }))?;
        proxy.run().await;
        Ok(())
    })
}

fn receivers_place(parent: &mut Parent) -> Result<Place> {
    parent.tell(&None::<Place>)?;
    let place: Option<Place> = parent.hear()?;
    Ok(place.ok_or("the receiver has not bound")?)
}

async fn flow(
    back: UnixListener,
    part: &Part,
    job: &Job,
    parent: &mut Parent,
    at_once: usize,
    mut send: impl AsyncFnMut(&[Message]) -> Result<()>,
) -> Result<()> {
    let (back, _) = back.accept()?;
    back.set_nonblocking(true)?;
    let mut back = UnixStream::from_std(back)?;
    let greeting = [Message::from(GREETING.to_vec())];
    for _ in 0..part.senders() {
        send(&greeting).await?;
    }
    loop {
        if part.forgets() {
            send(&greeting).await?;
        }
        tokio::time::sleep(GREETING_EVERY).await;
        if back.try_read(&mut [0]).is_ok() {
            break;
        }
    }
    ready(parent)?;
    let messages = vec![Message::from(payload(job.size)); at_once];
    let mut credit = Credit::new(part, window(job));
    let started = now();
    let mut sent = 0;
    while sent < job.count {
        credit.wait_async(sent, &mut back).await?;
        let most = credit.left(sent).min(job.count - sent);
        let next = usize::try_from(most).map_or(at_once, |most| most.min(at_once));
        send(&messages[..next]).await?;
        sent += next as u64;
    }
    parent.tell(&started)?;
    // Its tasks still send; the parent ends this process.
    pending().await
}

async fn ask(mut socket: ReqSocket, job: &Job, parent: &mut Parent) -> Result<()> {
    let message = Message::from(payload(job.size));
    let mut trips = Vec::new();
    // The first trip also waits for the handshake; it does not count.
    for trip in 0..=job.count {
        let started = now();
        let echo = socket.request(&message).await?;
        let elapsed = now() - started;
        check_length(echo.byte_count(), job)?;
        if trip > 0 {
            trips.push(elapsed);
        }
    }
    parent.tell(&trips)
}

fn receive(job: &Job, parent: &mut Parent, way: Way) -> Result<()> {
    allow_many_files()?;
    let part: Part = parent.hear()?;
    let mut arrivals = Arrivals::new(job, &part, window(job))?;
    let transports = transport::transports();
    let address = part.address(job.wire, ANY_PORT);
    block_on(async {
        match part.pattern {
            Pattern::PushPull | Pattern::Curve => {
                let mut socket = PullSocket::new(&transports, config());
                let (security, key) = security_of(part.pattern);
                let address = socket.bind_with(&address, security).await?.to_string();
                parent.tell(&Some(Place { address, key }))?;
                let mut lengths = Vec::new();
                while !arrivals.is_complete(0) {
                    match way {
                        Way::Lent => {
                            socket.recv_each(|message, _| lengths.push(message.byte_count())).await;
                        }
                        Way::OneByOne => lengths.push(socket.recv().await.byte_count()),
                    }
                    lengths.drain(..).try_for_each(|length| arrivals.arrived(0, length))?;
                }
                arrivals.finish(now(), parent)
            }
            Pattern::DealerRouter(_) => {
                let mut socket = RouterSocket::new(&transports, config());
                let address = socket.bind(&address).await?.to_string();
                parent.tell(&Some(Place { address, key: None }))?;
                let mut lengths = Vec::new();
                while !arrivals.is_complete(0) {
                    match way {
                        Way::Lent => {
                            socket.recv_each(|message, _| lengths.push(message.byte_count())).await;
                        }
                        Way::OneByOne => lengths.push(socket.recv().await.0.byte_count()),
                    }
                    lengths.drain(..).try_for_each(|length| arrivals.arrived(0, length))?;
                }
                arrivals.finish(now(), parent)
            }
            Pattern::ReqRep(waiting) => {
                let mut socket = RepSocket::new(&transports, waiting_so(waiting));
                let address = socket.bind(&address).await?.to_string();
                parent.tell(&Some(Place { address, key: None }))?;
                loop {
                    let message = socket.recv().await;
                    socket.send(&message).await?;
                }
            }
            Pattern::PubSub(count) => {
                let place = part.place()?;
                let sockets: Vec<_> = (0..count).map(|_| SubSocket::new(&transports, config())).collect();
                subscribe(sockets, place, arrivals, parent, way).await
            }
        }
    })
}

async fn subscribe(
    sockets: Vec<SubSocket>,
    place: &Place,
    arrivals: Arrivals,
    parent: &mut Parent,
    way: Way,
) -> Result<()> {
    let arrivals = Arc::new(Mutex::new(arrivals));
    let mut tasks = Vec::new();
    for (receiver, mut socket) in sockets.into_iter().enumerate() {
        socket.subscribe("");
        socket.connect(&place.address)?;
        let arrivals = Arc::clone(&arrivals);
        tasks.push(tokio::spawn(async move {
            let mut lengths = Vec::new();
            loop {
                match way {
                    Way::Lent => {
                        socket.recv_each(|message, _| lengths.push(message.byte_count())).await;
                    }
                    Way::OneByOne => lengths.push(socket.recv().await.byte_count()),
                }
                let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
                lengths.drain(..).try_for_each(|length| arrivals.arrived(receiver, length))?;
                if arrivals.is_complete(receiver) {
                    return Result::Ok(());
                }
            }
        }));
    }
    parent.tell(&None::<Place>)?;
    for task in tasks {
        task.await??;
    }
    let finished = now();
    arrivals.lock().unwrap_or_else(PoisonError::into_inner).finish(finished, parent)
}

fn config() -> SocketConfig {
    SocketConfig::new(Policy::danger_anyone())
}

fn waiting_so(waiting: Waiting) -> SocketConfig {
    match waiting {
        Waiting::Default => config(),
        Waiting::Asleep => config().with_adaptive_spin(Duration::ZERO),
        Waiting::Spinning => config().with_spin(SPIN),
    }
}

/// The receiver's rules, and its public key.
fn security_of(pattern: Pattern) -> (Security, Option<String>) {
    let security = Security::new(Policy::danger_anyone());
    if pattern != Pattern::Curve {
        return (security, None);
    }
    let own = CurveSecretKey::generate();
    let key = own.public_key().to_string();
    (security.with_mechanism(CurveServer::new(own)), Some(key))
}

fn security_towards(place: &Place) -> Result<Security> {
    Ok(match &place.key {
        None => Security::new(Policy::danger_anyone()),
        Some(key) => {
            let server: CurvePublicKey = key.parse()?;
            let client = CurveClient::new(CurveSecretKey::generate(), server);
            Security::new(server.policy()).with_mechanism(client)
        }
    })
}

/// Half of what a publisher's queues take, and of the default's 4 MiB.
fn window(job: &Job) -> u64 {
    (2 * 1024 * 1024 / job.size as u64).clamp(32, MARK as u64 / 2)
}
