//! Clients and servers in virtual time, over a network that does its worst: 500 seeds.
//!
//! A failure prints its seed and the command that runs it again. What each run checks is in `World::check`.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use transport_core::mem::MemTransport;
use transport_core::test_util::{FaultControl, FaultyTransport, Random, sweep, virtual_time};
use transport_core::{
    BackoffConfig, ClientConfig, ClientEvent, Connect, Connection, EventOrGap, Limits, Listen, Message,
    Policy, ServerHandle, Transports,
};

const SECOND: Duration = Duration::from_secs(1);
const ADDRESS: &str = "mem://simulation";

/// How long the network does its worst.
const FAULTS: Duration = Duration::from_secs(90);
/// Once it has stopped, a client must be back within this time, whatever it waits for.
const BACK_WITHIN: Duration = Duration::from_secs(120);

#[test]
fn whatever_the_network_does_messages_stay_in_order_and_the_accounts_are_right() {
    sweep(500, |seed| drop(simulate(seed)));
}

#[test]
fn the_same_seed_gives_the_same_simulation() {
    sweep(10, |seed| {
        let first = simulate(seed);
        let second = simulate(seed);
        let different = first.iter().zip(&second).find(|(first, second)| first != second);
        assert_eq!(different, None);
        assert_eq!(first.len(), second.len());
    });
}

/// What happened, with the times.
type Trace = Vec<(Duration, String)>;

fn simulate(seed: u64) -> Trace {
    virtual_time(seed, async |mut random| {
        let faulty = FaultyTransport::new(MemTransport::new());
        let world = Arc::new(World {
            control: faulty.control(),
            transports: Transports::new().with(faulty),
            start: Instant::now(),
            connections: Mutex::default(),
            trace: Mutex::default(),
        });
        let until = world.start + FAULTS;
        let clients = random.number(1..=3);
        let clients = (0..clients).map(|id| client(Arc::clone(&world), id, random.fork(), until));
        let clients: Vec<_> = clients.collect();
        let network = network(&world, random.fork(), until);
        let (reports, server) = tokio::join!(join_all(clients), network);

        let drained = server.handle.shutdown(60 * SECOND).await;
        server.accepting.await.unwrap();
        assert_eq!(drained.cut, 0, "the clients have closed");
        assert_eq!(server.handle.connection_count(), 0);
        // What stalled ends had left to write is given up by then.
        sleep(300 * SECOND).await;
        assert_eq!(world.control.open_ends(), 0, "no stream is left behind");
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "no task is left behind");
        world.check(&reports);
        std::mem::take(&mut *world.trace.lock().unwrap())
    })
}

struct World {
    control: FaultControl,
    transports: Transports,
    start: Instant,
    /// Of each connection of a server, in their order: whose it was, and the numbers received.
    connections: Mutex<Vec<Vec<(u64, u64)>>>,
    trace: Mutex<Trace>,
}

/// What a client has done.
struct Report {
    id: u64,
    /// Messages numbered from 0 that the client took.
    sent: u64,
    /// Messages that it gave back at the end.
    unsent: Vec<u64>,
    /// Numbers that the server's application has acknowledged.
    acknowledged: HashSet<u64>,
    /// How many messages were told that they may be lost, of each of its connections.
    may_be_lost: Vec<u64>,
}

impl World {
    /// A client hands its messages over in order: the first ones on its first connection, the next ones on the next, and so
    /// on; the last ones it gives back. Of each of these runs the server receives the start, and the client's events
    /// tell how many of it may be lost. So on each connection the order is kept, nothing comes twice, nothing that was
    /// kept is lost, and what is missing is what was told that it may be.
    fn check(&self, reports: &[Report]) {
        let connections = self.connections.lock().unwrap();
        for report in reports {
            let first_unsent = report.sent - report.unsent.len() as u64;
            assert!(report.unsent.iter().copied().eq(first_unsent..report.sent), "{:?}", report.unsent);

            let mut received = HashSet::new();
            let mut starts = Vec::new();
            for connection in connections.iter() {
                let of_client = connection.iter().filter(|(id, _)| *id == report.id);
                let numbers: Vec<u64> = of_client.map(|(_, number)| *number).collect();
                let Some(first) = numbers.first() else { continue };
                let count = numbers.len() as u64;
                assert!(
                    numbers.iter().copied().eq(*first..first + count),
                    "in order and none left out: {numbers:?}"
                );
                assert!(numbers.iter().all(|number| received.insert(*number)), "none twice: {numbers:?}");
                starts.push((*first, count));
            }
            starts.sort_unstable();
            let missing = first_unsent - received.len() as u64;
            let may_be_lost: u64 = report.may_be_lost.iter().sum();
            assert!(missing <= may_be_lost, "{missing} are missing where {may_be_lost} may be");
            let mut accounts = Accounts { first_unsent, dead_ends: HashSet::new() };
            let fits = accounts.fit(&report.may_be_lost, &starts, 0..=0);
            assert!(fits, "lost {:?}, received {starts:?}, then from {first_unsent}", report.may_be_lost);
            assert!(report.acknowledged.is_subset(&received), "what is acknowledged was received");
        }
    }

    fn tell(&self, text: String) {
        self.trace.lock().unwrap().push((self.start.elapsed(), text));
    }
}

/// Whether what was received on each connection fits what was told of each.
struct Accounts {
    first_unsent: u64,
    dead_ends: HashSet<(usize, usize, RangeInclusive<u64>)>,
}

impl Accounts {
    /// Finds a connection for each start that was received, as its number and length. The first message that is handed over
    /// on the next connection has a number of the range.
    fn fit(&mut self, may_be_lost: &[u64], starts: &[(u64, u64)], next: RangeInclusive<u64>) -> bool {
        let Some((lost, later)) = may_be_lost.split_first() else {
            return starts.is_empty() && next.contains(&self.first_unsent);
        };
        let here = (may_be_lost.len(), starts.len(), next.clone());
        if self.dead_ends.contains(&here) {
            return false;
        }
        let received = starts.split_first().is_some_and(|((first, count), others)| {
            // Those that are not told as lost are proven to have arrived, so they are among the received ones.
            let handed_over = *count.max(lost)..=count + lost;
            let after = first + handed_over.start()..=first + handed_over.end();
            next.contains(first) && self.fit(later, others, after)
        });
        // Otherwise nothing was received on it, so nothing is proven to have arrived.
        let fits = received || self.fit(later, starts, next.start() + lost..=next.end() + lost);
        if !fits {
            self.dead_ends.insert(here);
        }
        fits
    }
}

/// A client that sends numbered messages, and comes back.
async fn client(world: Arc<World>, id: u64, mut random: Random, until: Instant) -> Report {
    let queue = random.length(1..=40);
    let backoff = BackoffConfig::default().with_longest(5 * SECOND).with_seed(random.number(0..=u64::MAX));
    let config = ClientConfig::default().with_backoff(backoff).with_queue_messages(queue);
    let connect = Connect::new(&world.transports, ADDRESS).server(Policy::same_process());
    let mut client = connect.limits(limits()).keep_with(config).unwrap();
    let handle = client.handle();
    let events = tokio::spawn(follow(Arc::clone(&world), id, client.events(), queue));

    let sent = Cell::new(0);
    let acknowledged = RefCell::new(HashSet::new());
    let sending = async {
        loop {
            let faults = Instant::now() < until;
            let longest = if random.chance(3) { 50_000 } else { 500 };
            let padding = vec![0; random.length(0..=longest)];
            let number: u64 = sent.get();
            let parts = [id.to_le_bytes().to_vec(), number.to_le_bytes().to_vec(), padding];
            handle.send(&parts.into_iter().collect::<Message>()).await.expect("the client goes on");
            sent.set(number + 1);
            assert!(handle.queued() <= queue, "the queue has its bound");
            if faults {
                let pause =
                    if random.chance(50) { Duration::ZERO } else { random.time(Duration::ZERO..=SECOND) };
                sleep(pause).await;
                continue;
            }
            // Sent when the network was well again: one such message must be acknowledged in the end.
            sleep(SECOND).await;
            if acknowledged.borrow().contains(&number) {
                return;
            }
            assert!(
                Instant::now() < until + BACK_WITHIN,
                "client {id} did not come back: {:?}",
                handle.state()
            );
        }
    };
    let receiving = async {
        loop {
            let reply = client.recv().await.expect("the client does not give up").expect("nobody closed it");
            assert!(acknowledged.borrow_mut().insert(number(&reply[0])), "acknowledged twice");
        }
    };
    tokio::select! {
        biased;
        () = sending => {}
        () = receiving => {}
    }
    let unsent = client.close(30 * SECOND).await.iter().map(|message| number(&message[1])).collect();
    let may_be_lost = events.await.unwrap();
    Report { id, sent: sent.get(), unsent, acknowledged: acknowledged.into_inner(), may_be_lost }
}

/// Follows a client's events to their end, and checks that each can come after the one before.
async fn follow(
    world: Arc<World>,
    id: u64,
    mut events: transport_core::ClientEvents,
    queue: usize,
) -> Vec<u64> {
    let mut lost = Vec::new();
    let mut connected = false;
    let mut closed = false;
    while let Some(event) = events.next().await {
        let EventOrGap::Event(event) = event else { panic!("events are read as they come") };
        world.tell(format!("client {id}: {event:?}"));
        assert!(!closed, "nothing comes after the end: {event:?}");
        match event {
            ClientEvent::Connected { .. } => assert!(!std::mem::replace(&mut connected, true)),
            ClientEvent::Disconnected { may_be_lost, kept, .. } => {
                assert!(std::mem::replace(&mut connected, false));
                assert!(kept <= queue, "{kept} messages are kept where {queue} may be");
                lost.push(may_be_lost);
            }
            ClientEvent::ConnectFailed { again, .. } => assert!(!connected && again),
            ClientEvent::Closed { .. } => closed = true,
            ClientEvent::Connecting { .. } | ClientEvent::Waiting { .. } => assert!(!connected),
            other => panic!("client {id}: {other:?}"),
        }
    }
    assert!(closed && !connected);
    lost
}

/// A server, and the task that accepts.
struct RunningServer {
    handle: ServerHandle,
    accepting: JoinHandle<()>,
}

/// Does its worst until the time has come, and leaves a server behind that works.
async fn network(world: &Arc<World>, mut random: Random, until: Instant) -> RunningServer {
    let control = &world.control;
    let mut server = None;
    while Instant::now() < until {
        control.plan_from_seed(random.number(0..=u64::MAX), random.number(1..=30_000), 20 * SECOND);
        if server.is_none() && random.chance(70) {
            server = Some(start_server(world, random.fork()).await);
        }
        let what = random.number(0..=9);
        world.tell(format!("network: {what}"));
        match what {
            0 | 1 => control.partition(true),
            2 | 3 => control.reset_all(),
            4 => control.refuse_connects(true),
            5 => stop_server(&mut server, random.chance(50)).await,
            6 => control.plan_nothing(),
            _ => {}
        }
        sleep_until(until.min(Instant::now() + random.time(Duration::ZERO..=15 * SECOND))).await;
        control.partition(random.chance(20));
        control.refuse_connects(false);
    }
    control.partition(false);
    control.plan_nothing();
    match server {
        Some(server) => server,
        None => start_server(world, random.fork()).await,
    }
}

async fn start_server(world: &Arc<World>, mut random: Random) -> RunningServer {
    let listen = || Listen::new(&world.transports, ADDRESS).policy(Policy::same_process()).limits(limits());
    let mut server = loop {
        match listen().start().await {
            Ok(server) => break server,
            // The one before has not quite let go of the address.
            Err(_) => sleep(Duration::from_millis(1)).await,
        }
    };
    let handle = server.handle();
    let world = Arc::clone(world);
    let accepting = tokio::spawn(async move {
        let mut serving = JoinSet::new();
        while let Some(connection) = server.accept().await {
            serving.spawn(serve(Arc::clone(&world), connection, random.fork()));
        }
        while serving.join_next().await.is_some() {}
    });
    RunningServer { handle, accepting }
}

/// Ends a server in an orderly way, or like a process that is killed.
async fn stop_server(server: &mut Option<RunningServer>, orderly: bool) {
    let Some(RunningServer { handle, accepting }) = server.take() else { return };
    if orderly {
        handle.shutdown(3 * SECOND).await;
        let _late = timeout(3 * SECOND, accepting).await;
    } else {
        accepting.abort();
        assert!(accepting.await.unwrap_err().is_cancelled());
    }
}

/// Acknowledges each message; now and then slow, and now and then the one that closes.
async fn serve(world: Arc<World>, mut connection: Connection, mut random: Random) {
    let index = {
        let mut connections = world.connections.lock().unwrap();
        connections.push(Vec::new());
        connections.len() - 1
    };
    while let Ok(Some(message)) = connection.recv().await {
        let (id, number) = (number(&message[0]), number(&message[1]));
        world.tell(format!("server: connection {index}, message {number} of client {id}"));
        world.connections.lock().unwrap()[index].push((id, number));
        if random.chance(2) {
            sleep(random.time(Duration::ZERO..=20 * SECOND)).await;
        }
        if random.chance(1) || connection.send(&number.to_le_bytes()).await.is_err() {
            break;
        }
    }
    if random.chance(50) {
        let _peer_may_be_gone = connection.close().await;
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("a number"))
}

fn limits() -> Limits {
    Limits::default()
        .with_connect_time(5 * SECOND)
        .with_ping_after(5 * SECOND)
        .with_dead_after(15 * SECOND)
        .with_write_time(15 * SECOND)
}
