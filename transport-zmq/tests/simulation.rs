//! Sockets in virtual time that are bound, connected, taken away and killed at random, over a network that does its worst.
//!
//! A failure prints its seed and the command that runs it again.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};
use transport_core::mem::MemTransport;
use transport_core::test_util::{FaultControl, FaultyTransport, Random, sweep, virtual_time};
use transport_core::{BackoffConfig, Limits, Message, Policy, Transports};
use transport_zmq::curve::{CurveClient, CurveSecretKey, CurveServer};
use transport_zmq::{
    HighWaterMark, Peer, PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket, RequestError, Security,
    SocketConfig, SocketEvent, SubSocket, XPubSocket,
};

const SECOND: Duration = Duration::from_secs(1);
const LINGER: Duration = Duration::from_secs(10);
/// How long the worst goes on.
const TIME: Duration = Duration::from_secs(20);
/// Where the one side binds and the other connects, and the other way round.
const HERE: [&str; 3] = ["inproc://a", "inproc://b", "inproc://c"];
const THERE: [&str; 2] = ["inproc://d", "inproc://e"];

/// What all sockets of a simulation share.
struct World {
    control: FaultControl,
    transports: Transports,
    /// With CURVE in half of the simulations: then what is queued is sealed.
    config: SocketConfig,
    until: Instant,
}

impl World {
    fn new(random: &mut Random) -> World {
        let faulty = FaultyTransport::new(MemTransport::new());
        let backoff = BackoffConfig::default()
            .with_first(SECOND / 10)
            .with_longest(2 * SECOND)
            .with_seed(random.number(0..=u64::MAX));
        let limits = Limits::default().with_ping_after(3 * SECOND).with_dead_after(9 * SECOND);
        let mark = HighWaterMark::new(random.length(1..=50), random.length(1..=100_000));
        let security = if random.chance(50) { curve() } else { Security::new(Policy::same_process()) };
        World {
            control: faulty.control(),
            transports: Transports::new().with(faulty),
            config: SocketConfig::new(security)
                // It goes by the real clock, which no seed repeats.
                .with_adaptive_spin(Duration::ZERO)
                .with_reconnect(backoff)
                .with_linger(LINGER)
                .with_limits(limits.with_write_time(5 * SECOND))
                .with_send_mark(mark)
                .with_receive_mark(mark),
            until: Instant::now() + TIME,
        }
    }

    fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    /// Lets the network do its worst until the time has come.
    async fn misbehave(&self, mut random: Random) {
        while self.goes_on() {
            self.control.plan_from_seed(random.number(0..=u64::MAX), random.number(1..=20_000), 5 * SECOND);
            match random.number(0..=5) {
                0 => self.control.partition(true),
                1 => self.control.reset_all(),
                2 => self.control.refuse_connects(true),
                _ => self.control.plan_nothing(),
            }
            sleep(random.time(Duration::ZERO..=8 * SECOND)).await;
            self.control.partition(false);
            self.control.refuse_connects(false);
        }
        self.control.plan_nothing();
        self.control.reset_all();
    }

    /// Nothing is left of sockets that have been closed.
    async fn check_that_nothing_is_left(&self) {
        // What stalled streams had left to write, and the farewells of handshakes, are given up by then.
        sleep(60 * SECOND).await;
        assert_eq!(self.control.open_ends(), 0, "no stream is left behind");
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "no task is left behind");
    }
}

/// Every socket binds with the one key and connects with the other.
fn curve() -> Security {
    let [client, server] = [(); 2].map(|()| CurveSecretKey::generate());
    let (client_key, server_key) = (client.public_key(), server.public_key());
    Security::new(client_key.policy().or(server_key.policy()))
        .with_mechanism(CurveServer::new(server))
        .with_mechanism(CurveClient::new(client, server_key))
}

/// Closes a socket, which must not take longer than it lingers.
macro_rules! close {
    ($socket:expr) => {
        timeout(LINGER + SECOND, $socket.close()).await.expect("a socket closes within its linger")
    };
}

/// Binds, connects, or takes one of those back, at random.
macro_rules! wander {
    ($socket:expr, $random:expr, $binds:expr, $connects:expr) => {{
        let binds = $binds[$random.length(0..=$binds.len() - 1)];
        let connects = $connects[$random.length(0..=$connects.len() - 1)];
        match $random.number(0..=3) {
            // Somebody may be bound there, or this one not at all.
            0 => drop($socket.bind(binds).await),
            1 => drop($socket.connect(connects)),
            2 => drop($socket.unbind(binds).await),
            _ => drop($socket.disconnect(connects)),
        }
    }};
}

/// A message of a numbered sender.
fn numbered(sender: u64, number: u64, random: &mut Random) -> Message {
    let longest = if random.chance(5) { 20_000 } else { 200 };
    let padding = vec![0; random.length(0..=longest)];
    [sender.to_le_bytes().to_vec(), number.to_le_bytes().to_vec(), padding].into_iter().collect()
}

/// Up to so many such messages, with the numbers from this one on.
fn many(most: u64, sender: u64, first: u64, random: &mut Random) -> Vec<Message> {
    let count = random.number(1..=most);
    (first..first + count).map(|number| numbered(sender, number, random)).collect()
}

fn numbers(message: &Message) -> (u64, u64) {
    let number = |part: &[u8]| u64::from_le_bytes(part.try_into().unwrap());
    (number(&message[0]), number(&message[1]))
}

/// What pullers have received.
#[derive(Default)]
struct Received {
    all: HashSet<(u64, u64)>,
    last: HashMap<(Peer, u64), u64>,
}

impl Received {
    /// Nothing comes twice, and what comes over one connection is in order.
    fn check(&mut self, message: &Message, peer: &Peer) {
        let (sender, number) = numbers(message);
        assert!(self.all.insert((sender, number)), "message {number} of {sender} came twice");
        if let Some(last) = self.last.insert((peer.clone(), sender), number) {
            assert!(last < number, "message {number} of {sender} came after {last}");
        }
    }
}

#[test]
fn work_is_done_once_and_in_order_whatever_happens_to_sockets_and_network() {
    sweep(100, |seed| {
        virtual_time(seed, async |mut random| {
            let world = World::new(&mut random);
            let received = RefCell::new(Received::default());
            let pushing = (0..random.number(1..=3)).map(|id| push(&world, id, random.fork(), true));
            let pushing: Vec<_> = pushing.collect();
            let pulling: Vec<_> =
                (0..random.number(1..=3)).map(|_| pull(&world, &received, random.fork(), true)).collect();
            tokio::join!(world.misbehave(random.fork()), join_all(pushing), join_all(pulling));
            received.borrow_mut().last.clear();
            world.check_that_nothing_is_left().await;
        });
    });
}

#[test]
fn no_work_is_lost_as_long_as_nobody_is_killed() {
    sweep(50, |seed| {
        virtual_time(seed, async |mut random| {
            let world = World::new(&mut random);
            let received = RefCell::new(Received::default());
            let pushing = (0..random.number(1..=3)).map(|id| push(&world, id, random.fork(), false));
            let pushing: Vec<_> = pushing.collect();
            let pulling: Vec<_> =
                (0..random.number(1..=3)).map(|_| pull(&world, &received, random.fork(), false)).collect();
            let (sent, _) = tokio::join!(join_all(pushing), join_all(pulling));
            let sent: u64 = sent.iter().sum();
            received.borrow_mut().last.clear();
            assert_eq!(received.borrow().all.len() as u64, sent);
            world.check_that_nothing_is_left().await;
        });
    });
}

/// Sends numbered messages until the time has come; tells how many were taken, or at least numbered.
async fn push(world: &World, id: u64, mut random: Random, rough: bool) -> u64 {
    let mut sent = 0;
    // Whether there is an endpoint where someone is to the end.
    let mut heard = false;
    let mut socket = PushSocket::new(&world.transports, world.config.clone());
    while world.goes_on() {
        if rough {
            wander!(socket, random, HERE, THERE);
        } else if random.chance(50) {
            // The one place where someone is to the end; disconnecting drops what waits.
            socket.connect(THERE[0]).unwrap();
            heard = true;
        } else {
            drop(socket.bind(HERE[random.length(0..=2)]).await);
        }
        for _ in 0..random.number(0..=30) {
            if random.chance(20) {
                // Short ones where all shall arrive: who is too far behind to see PINGs is taken for dead after 9 s here, and
                // what waits for it at a bound socket goes to nobody.
                let messages = many(if rough { 60 } else { 10 }, id, sent, &mut random);
                match random.number(0..=2) {
                    0 if heard => socket.send_many(&messages).await.unwrap(),
                    // How many were sent is not told then: their numbers are not used again.
                    1 if rough => {
                        let longest = random.time(Duration::ZERO..=SECOND);
                        drop(timeout(longest, socket.send_many(&messages)).await);
                    }
                    _ => {
                        sent += socket.try_send_many(&messages).unwrap() as u64;
                        continue;
                    }
                }
                sent += messages.len() as u64;
                continue;
            }
            let message = numbered(id, sent, &mut random);
            // A send that is given up has sent nothing.
            if let Ok(taken) = timeout(random.time(Duration::ZERO..=SECOND), socket.send(&message)).await {
                taken.unwrap();
                sent += 1;
            }
        }
        sleep(random.time(Duration::ZERO..=SECOND)).await;
        if rough && random.chance(10) {
            let config = world.config.clone();
            let before = std::mem::replace(&mut socket, PushSocket::new(&world.transports, config));
            if random.chance(50) {
                close!(before);
            }
        }
    }
    close!(socket);
    sent
}

/// Receives until the time has come, and until everyone has closed.
async fn pull(world: &World, received: &RefCell<Received>, mut random: Random, rough: bool) {
    let new = || PullSocket::new(&world.transports, world.config.clone());
    let mut socket = new();
    let until = world.until + 2 * LINGER;
    if !rough {
        // The first of them gets it.
        drop(socket.bind(THERE[0]).await);
    }
    while Instant::now() < until {
        if rough {
            wander!(socket, random, THERE, HERE);
        } else {
            drop(socket.connect(HERE[random.length(0..=2)]));
        }
        let pause = Instant::now() + random.time(Duration::ZERO..=2 * SECOND);
        let mut count = random.number(1..=200);
        while let Ok((message, peer)) = tokio::time::timeout_at(pause, socket.recv_from()).await {
            received.borrow_mut().check(&message, &peer);
            count -= 1;
            if count == 0 {
                break;
            }
        }
        sleep(random.time(Duration::ZERO..=SECOND)).await;
        if rough && random.chance(10) {
            let before = std::mem::replace(&mut socket, new());
            if random.chance(50) {
                close!(before);
            }
        }
    }
    while let Ok((message, peer)) = timeout(SECOND, socket.recv_from()).await {
        received.borrow_mut().check(&message, &peer);
    }
    close!(socket);
}

#[test]
fn every_reply_is_to_its_request_whatever_happens_to_sockets_and_network() {
    sweep(100, |seed| {
        virtual_time(seed, async |mut random| {
            let world = World::new(&mut random);
            let asking: Vec<_> = (0..random.number(1..=3)).map(|id| ask(&world, id, random.fork())).collect();
            let replying: Vec<_> = (0..random.number(1..=2)).map(|_| reply(&world, random.fork())).collect();
            tokio::join!(world.misbehave(random.fork()), join_all(asking), join_all(replying));
            world.check_that_nothing_is_left().await;
        });
    });
}

/// Asks numbered questions, and checks that each answer is to the question that was asked last.
async fn ask(world: &World, id: u64, mut random: Random) {
    let relaxed = random.chance(50);
    let new = || {
        let socket = ReqSocket::new(&world.transports, world.config.clone());
        if relaxed { socket.relaxed() } else { socket.correlated() }
    };
    let mut socket = new();
    let mut number = 0;
    while world.goes_on() {
        wander!(socket, random, HERE, THERE);
        number += 1;
        let question = numbered(id, number, &mut random);
        let asked = timeout(random.time(Duration::ZERO..=3 * SECOND), socket.send(&question)).await;
        match asked {
            Ok(Ok(())) => {}
            Ok(Err(RequestError::StillAsking)) if !relaxed => {
                // Only a new socket can ask again.
                close!(std::mem::replace(&mut socket, new()));
                continue;
            }
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => continue,
        }
        match timeout(random.time(Duration::ZERO..=10 * SECOND), socket.recv()).await {
            Ok(Ok(answer)) => assert_eq!(answer, question),
            Ok(Err(error)) => assert!(matches!(error, RequestError::PeerLost), "{error}"),
            Err(_) => {}
        }
    }
    close!(socket);
}

/// Sends each question back.
async fn reply(world: &World, mut random: Random) {
    let mut socket = RepSocket::new(&world.transports, world.config.clone());
    while world.goes_on() {
        wander!(socket, random, THERE, HERE);
        let pause = Instant::now() + random.time(Duration::ZERO..=3 * SECOND);
        while let Ok(question) = tokio::time::timeout_at(pause, socket.recv()).await {
            sleep(random.time(Duration::ZERO..=SECOND / 10)).await;
            // Whoever asked may have gone.
            let _gone = socket.send(&question).await;
        }
        if random.chance(10) {
            let config = world.config.clone();
            drop(std::mem::replace(&mut socket, RepSocket::new(&world.transports, config)));
        }
    }
    close!(socket);
}

/// Publishes at random to a subscriber that receives at random, and counts.
macro_rules! publish {
    ($publisher:ident, $world:ident, $random:ident) => {{
        let mut publisher = $publisher::new(&$world.transports, $world.config.clone());
        let mut subscriber = SubSocket::new(&$world.transports, $world.config.clone());
        subscriber.subscribe("");
        publisher.bind(HERE[0]).await.unwrap();
        subscriber.connect(HERE[0]).unwrap();
        publisher.subscribed("").await;
        let mut events = publisher.events();
        let (most, mut published) = ($random.number(0..=2000), 0);
        let (mut sizes, mut pauses) = ($random.fork(), $random.fork());
        let publishing = async {
            while published < most {
                if sizes.chance(5) {
                    let messages = many(60, 0, published, &mut sizes);
                    if sizes.chance(50) {
                        publisher.send_many(&messages).await.unwrap();
                    } else {
                        assert_eq!(publisher.try_send_many(&messages).unwrap(), messages.len());
                    }
                    published += messages.len() as u64;
                } else {
                    publisher.send(&numbered(0, published, &mut sizes)).await.unwrap();
                    published += 1;
                }
                if $random.chance(5) {
                    sleep(SECOND / 10).await;
                }
            }
        };
        let mut received = 0;
        let mut last = None;
        let receiving = async {
            while let Ok((message, _)) = timeout(30 * SECOND, subscriber.recv_from()).await {
                let (_, number) = numbers(&message);
                assert!(last.is_none_or(|last| last < number), "{number} after {last:?}");
                last = Some(number);
                received += 1;
                if pauses.chance(20) {
                    sleep(pauses.time(Duration::ZERO..=SECOND / 10)).await;
                }
            }
        };
        tokio::join!(publishing, receiving);
        assert_eq!(received + publisher.dropped(), published);
        assert_eq!(publisher.peers().iter().map(Peer::dropped).sum::<u64>(), publisher.dropped());
        close!(publisher);
        close!(subscriber);
        while let Some(event) = events.recv().await {
            assert!(!matches!(event, SocketEvent::HandshakeFailed { .. }), "{event:?}");
        }
        drop(events);
        $world.check_that_nothing_is_left().await;
    }};
}

/// Of what is published while a subscriber is there, each message is received or counted as dropped.
#[test]
fn what_a_subscriber_does_not_get_is_counted() {
    sweep(100, |seed| {
        virtual_time(seed, async |mut random| {
            let world = World::new(&mut random);
            if random.chance(50) {
                publish!(PubSocket, world, random);
            } else {
                publish!(XPubSocket, world, random);
            }
        });
    });
}
