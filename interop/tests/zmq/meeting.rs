//! Sockets of ours and of libzmq's that have met.

use interop::{Place, Python, Settings, Sockets, Wire};
use tokio::join;

use crate::pair::{Pair, Side, Way};

/// Ours and theirs, and which of them have met.
pub(crate) struct Table {
    pub(crate) ours: Sockets,
    pub(crate) theirs: Sockets,
    pub(crate) wire: Wire,
    /// The side that binds.
    pub(crate) binds: Side,
    meetings: Vec<Meeting>,
}

/// Two sockets that have met; both have the pair's name.
struct Meeting {
    pair: Pair,
    endpoint: String,
    _place: Place,
}

impl Table {
    /// With ours in this process, and libzmq's.
    pub(crate) fn new(python: &Python, wire: Wire, binds: Side) -> Table {
        Table::with(Sockets::libzmqs(python), wire, binds)
    }

    /// With ours in this process, and these.
    pub(crate) fn with(theirs: Sockets, wire: Wire, binds: Side) -> Table {
        Table { ours: Sockets::ours(), theirs, wire, binds, meetings: Vec::new() }
    }

    /// Who has met.
    pub(crate) fn pairs(&self) -> Vec<Pair> {
        self.meetings.iter().map(|meeting| meeting.pair).collect()
    }

    pub(crate) fn side(&mut self, side: Side) -> &mut Sockets {
        match side {
            Side::Ours => &mut self.ours,
            Side::Theirs => &mut self.theirs,
        }
    }

    /// The side that sends on this way, and the one that receives.
    pub(crate) fn ends(&mut self, way: Way) -> (&mut Sockets, &mut Sockets) {
        self.both(way.from)
    }

    /// This side, and the other.
    pub(crate) fn both(&mut self, side: Side) -> (&mut Sockets, &mut Sockets) {
        match side {
            Side::Ours => (&mut self.ours, &mut self.theirs),
            Side::Theirs => (&mut self.theirs, &mut self.ours),
        }
    }

    /// Lets each of these pairs meet, with the same settings for all.
    pub(crate) async fn meet_all(&mut self, pairs: &[Pair], binding: &Settings, connecting: &Settings) {
        for pair in pairs {
            self.meet(*pair, binding.clone(), connecting.clone()).await;
        }
    }

    /// Opens two sockets, and waits until they can talk.
    pub(crate) async fn meet(&mut self, pair: Pair, binding: Settings, connecting: Settings) {
        self.meet_at(pair, binding, connecting).await;
    }

    /// As `meet`; answers where.
    pub(crate) async fn meet_at(&mut self, pair: Pair, binding: Settings, connecting: Settings) -> String {
        let place = self.wire.place();
        let endpoint = self.open(pair, self.binds, binding, &place.zmq()).await;
        self.open(pair, self.binds.other(), connecting, &endpoint).await;
        self.meetings.push(Meeting { pair, endpoint: endpoint.clone(), _place: place });
        self.settle(pair).await;
        endpoint
    }

    /// As `meet`, for a SUB with these subscriptions, one of them `sync`.
    pub(crate) async fn meet_subscribed(&mut self, pair: Pair, settings: Settings) {
        let place = self.wire.place();
        let endpoint = self.open(pair, self.binds, settings.clone(), &place.zmq()).await;
        self.open(pair, self.binds.other(), settings, &endpoint).await;
        self.meetings.push(Meeting { pair, endpoint, _place: place });
        if let Some(publisher) = pair.publisher() {
            self.publish_until_heard(pair, publisher, "sync").await;
        }
    }

    /// Opens one of the two, which binds or connects; answers where.
    pub(crate) async fn open(&mut self, pair: Pair, side: Side, settings: Settings, to: &str) -> String {
        let mut settings = Settings { wire: Some(self.wire.name().to_owned()), ..settings };
        if settings.routing_id.is_none() && matches!(pair.of(side), "REQ" | "DEALER" | "ROUTER") {
            settings.routing_id = Some(side.routing_id().to_owned());
        }
        if pair.of(side) == "SUB" && settings.subscribe.is_empty() {
            settings.subscribe = vec![String::new()];
        }
        let (binds, name) = (self.binds == side, pair.name());
        let sockets = self.side(side);
        sockets.open(&name, pair.of(side), settings).await;
        if pair.of(side) == "XSUB" {
            sockets.send(&name, &["\u{1}"]).await;
        }
        if binds {
            return sockets.bind(&name, to).await;
        }
        sockets.connect(&name, to).await;
        to.to_owned()
    }

    /// Opens all sockets of one side again, where they were.
    pub(crate) async fn open_again(&mut self, side: Side, settings: &Settings) {
        let meetings: Vec<_> =
            self.meetings.iter().map(|meeting| (meeting.pair, meeting.endpoint.clone())).collect();
        for (pair, endpoint) in &meetings {
            self.open(*pair, side, settings.clone(), endpoint).await;
        }
        for (pair, _) in meetings {
            self.settle(pair).await;
        }
    }

    /// Waits for what must have happened before a message can arrive: a subscription, or that a ROUTER knows its peer.
    pub(crate) async fn settle(&mut self, pair: Pair) {
        let name = pair.name();
        if let Some(publisher) = pair.publisher() {
            if pair.of(publisher) == "XPUB" {
                // After a peer that has gone its subscription may be taken back first.
                while self.side(publisher).recv_within(&name, 10).await != Some(vec!["\u{1}".to_owned()]) {
                    // libzmq passes subscriptions to a new peer on only while its program calls it.
                    assert_eq!(self.side(publisher.other()).recv_within(&name, 0).await, None);
                }
            } else {
                self.publish_until_heard(pair, publisher, "").await;
            }
        }
        if (pair.ours, pair.theirs) == ("ROUTER", "ROUTER") {
            for way in pair.ways() {
                let (from, to) = self.ends(way);
                let message = [way.front[0], "there?"];
                while from.try_send(&name, &message).await == "no peer" {
                    tokio::task::yield_now().await;
                }
                assert_eq!(to.recv(&name).await, [way.before[0], "there?"], "{name}");
            }
        }
    }

    /// A PUB does not tell of subscriptions: it says numbers on the topic until one is heard, and then all that follow
    /// are.
    pub(crate) async fn publish_until_heard(&mut self, pair: Pair, publisher: Side, topic: &str) {
        let name = pair.name();
        let (publishes, listens) = self.both(publisher);
        let mut said = 0u32;
        let first = loop {
            publishes.send(&name, &[topic, &said.to_string()]).await;
            said += 1;
            if let Some(heard) = listens.recv_within(&name, 10).await {
                break heard;
            }
        };
        let first: u32 = first[1].parse().expect("a number");
        for number in first + 1..said {
            assert_eq!(listens.recv(&name).await, [topic, &number.to_string()], "{name}");
        }
    }

    /// Each pair says some messages on each of its ways, in turns.
    pub(crate) async fn talk(&mut self) {
        for pair in self.pairs() {
            for body in [&["hello"][..], &[""], &["a", "", "b"], &["", "x", ""]] {
                self.say(pair, body).await;
            }
        }
    }

    /// One message on each way of a pair, in turns.
    pub(crate) async fn say(&mut self, pair: Pair, body: &[&str]) {
        let name = pair.name();
        for way in pair.ways() {
            let (from, to) = self.ends(way);
            from.send(&name, &[way.front, body].concat()).await;
            assert_eq!(to.recv(&name).await, [way.before, body].concat(), "{name}, from {:?}", way.from);
        }
    }

    /// So many numbers on each way of a pair, all at once where the pair does not go in lock-step.
    pub(crate) async fn count(&mut self, pair: Pair, count: u64) {
        let name = &pair.name();
        let ways = pair.ways();
        if pair.is_lock_step() {
            let ahead = if [pair.ours, pair.theirs].contains(&"DEALER") { 100 } else { 1 };
            let (asks, answers) = self.ends(ways[0]);
            join!(asks.exchange_numbers(name, ways[0].front, count, ahead), answers.echo(name, count));
            return;
        }
        for way in ways {
            let (from, to) = self.ends(way);
            join!(from.send_numbers(name, way.front, count), to.recv_numbers(name, count));
        }
    }

    /// One message with parts of these sizes on each way of a pair, in turns.
    pub(crate) async fn shape(&mut self, pair: Pair, sizes: &[usize]) {
        let name = &pair.name();
        for way in pair.ways() {
            let (from, to) = self.ends(way);
            let ((), before) = join!(from.send_shape(name, way.front, sizes), to.recv_shape(name, sizes));
            assert_eq!(before, way.before, "{name}, from {:?}", way.from);
        }
    }
}
