//! Sockets of every kind that takes peers in, each at its work and with a good peer that it serves.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use transport_core::tcp::TcpTransport;
use transport_core::{Address, HandshakeError, Transports};
use transport_zmq::{
    DealerSocket, Disconnected, PubSocket, PullSocket, PushSocket, Rejection, RepSocket, ReqSocket,
    RouterSocket, SocketConfig, SocketEvent, SocketEvents, SubSocket, XPubSocket,
};

use super::{event, within};

/// Which socket is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Router,
    Pull,
    Sub,
    XPub,
    Pub,
    Rep,
}

impl Kind {
    pub(crate) const ALL: [Kind; 6] = [Kind::Router, Kind::Pull, Kind::Sub, Kind::XPub, Kind::Pub, Kind::Rep];

    /// A socket type that it talks to.
    pub(crate) fn peer_type(self) -> &'static str {
        match self {
            Kind::Router => "DEALER",
            Kind::Pull => "PUSH",
            Kind::Sub => "PUB",
            Kind::XPub | Kind::Pub => "SUB",
            Kind::Rep => "REQ",
        }
    }

    /// What a good peer sends, as bytes: a message that the application receives, or a subscription.
    pub(crate) fn good_message(self, text: &str) -> Vec<u8> {
        match self {
            Kind::Router | Kind::Pull | Kind::Sub => super::raw::message(&[text.as_bytes()]),
            Kind::XPub | Kind::Pub => super::raw::message(&[&[&[1], text.as_bytes()].concat()]),
            Kind::Rep => super::raw::message(&[b"", text.as_bytes()]),
        }
    }
}

/// Does this with every kind at once: for tests that wait for deadlines.
pub(crate) async fn with_each_kind<F: Future<Output = ()>>(test: impl Fn(Kind) -> F) {
    futures_util::future::join_all(Kind::ALL.map(test)).await;
}

/// A socket that is bound at a tcp address, with its good peer.
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    pub(crate) address: Address,
    pub(crate) events: SocketEvents,
    /// What the application has received.
    pub(crate) texts: mpsc::Receiver<Vec<u8>>,
    /// How many messages a publisher has published.
    published: Arc<AtomicU64>,
    /// How many a publisher has dropped.
    pub(crate) dropped: Arc<AtomicU64>,
    bystander: Bystander,
    asked: u64,
    serving: JoinHandle<()>,
    transports: Transports,
}

enum Bystander {
    Dealer(DealerSocket),
    Push(PushSocket),
    Pub(PubSocket),
    Sub(SubSocket),
    Req(ReqSocket),
}

impl Subject {
    /// Binds a socket with these settings and lets its good peer in.
    pub(crate) async fn start(kind: Kind, config: SocketConfig) -> Subject {
        let transports = Transports::new().with(TcpTransport::new());
        let (tell, texts) = mpsc::channel(100);
        let (published, dropped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (count, drops) = (Arc::clone(&published), Arc::clone(&dropped));
        macro_rules! serve {
            ($socket:expr, |$bound:ident| $serve:expr) => {{
                let mut $bound = $socket;
                let events = $bound.events();
                let address = $bound.bind("tcp://127.0.0.1:0").await.unwrap();
                (address, events, tokio::spawn(async move { $serve }))
            }};
        }
        let (address, events, serving) = match kind {
            Kind::Router => {
                // One that waited for a peer which reads nothing would serve nobody else.
                serve!(RouterSocket::new(&transports, config).with_drop(true), |socket| loop {
                    let (message, peer) = socket.recv().await;
                    let _gone = socket.send_to_peer(&peer, &message).await;
                    let _full = tell.try_send(message[0].to_vec());
                })
            }
            Kind::Pull => serve!(PullSocket::new(&transports, config), |socket| loop {
                let _ended = tell.send(socket.recv().await[0].to_vec()).await;
            }),
            Kind::Sub => {
                let mut socket = SubSocket::new(&transports, config);
                socket.subscribe("");
                serve!(socket, |socket| loop {
                    let _ended = tell.send(socket.recv().await[0].to_vec()).await;
                })
            }
            Kind::XPub => serve!(XPubSocket::new(&transports, config), |socket| loop {
                tokio::select! {
                    message = socket.recv() => drop(tell.try_send(message[0].to_vec())),
                    () = tokio::time::sleep(TICK) => {}
                }
                socket.send(&count.fetch_add(1, Ordering::Relaxed).to_be_bytes()).await.unwrap();
                drops.store(socket.dropped(), Ordering::Relaxed);
            }),
            Kind::Pub => serve!(PubSocket::new(&transports, config), |socket| loop {
                tokio::time::sleep(TICK).await;
                socket.send(&count.fetch_add(1, Ordering::Relaxed).to_be_bytes()).await.unwrap();
                drops.store(socket.dropped(), Ordering::Relaxed);
            }),
            Kind::Rep => serve!(RepSocket::new(&transports, config), |socket| loop {
                let message = socket.recv().await;
                let _gone = socket.send(&message).await;
                let _full = tell.try_send(message[0].to_vec());
            }),
        };
        let bystander = Bystander::new(kind, &transports, &address);
        let mut subject = Subject {
            kind,
            address,
            events,
            texts,
            published,
            dropped,
            bystander,
            asked: 0,
            serving,
            transports,
        };
        event(&mut subject.events, |event| matches!(event, SocketEvent::Connected { .. }).then_some(()))
            .await;
        subject.serves().await;
        subject
    }

    /// The good peer is served.
    pub(crate) async fn serves(&mut self) {
        self.asked += 1;
        assert!(!self.serving.is_finished(), "{:?} has stopped", self.kind);
        let text = format!("request {}", self.asked);
        within(self.bystander.talk(&text, &mut self.texts, &self.published)).await;
    }

    /// Another good peer gets in and is served.
    pub(crate) async fn takes_others_in(&mut self) {
        let mut other = Bystander::new(self.kind, &self.transports, &self.address);
        within(other.talk("newcomer", &mut self.texts, &self.published)).await;
    }

    /// Why the next peer was refused in its handshake.
    pub(crate) async fn refusal(&mut self) -> Arc<HandshakeError> {
        event(&mut self.events, |event| match event {
            SocketEvent::HandshakeFailed { reason, .. } => Some(reason),
            _ => None,
        })
        .await
    }

    /// Why the next peer was not taken in after its handshake.
    pub(crate) async fn rejection(&mut self) -> Rejection {
        event(&mut self.events, |event| match event {
            SocketEvent::Rejected { reason, .. } => Some(reason),
            _ => None,
        })
        .await
    }

    /// Why the next peer has gone.
    pub(crate) async fn departure(&mut self) -> Disconnected {
        event(&mut self.events, |event| match event {
            SocketEvent::Disconnected { reason, .. } => Some(reason),
            _ => None,
        })
        .await
    }

    /// Why a peer has gone, if one has.
    pub(crate) fn departed(&mut self) -> Option<Disconnected> {
        while let Some(event) = self.events.recv().now_or_never().flatten() {
            if let SocketEvent::Disconnected { reason, .. } = event {
                return Some(reason);
            }
        }
        None
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Bystander {
    fn new(kind: Kind, transports: &Transports, address: &Address) -> Bystander {
        let config = super::config();
        macro_rules! connected {
            ($socket:expr) => {{
                let socket = $socket;
                socket.connect(address).unwrap();
                socket
            }};
        }
        match kind {
            Kind::Router => Bystander::Dealer(connected!(DealerSocket::new(transports, config))),
            Kind::Pull => Bystander::Push(connected!(PushSocket::new(transports, config))),
            Kind::Sub => Bystander::Pub(connected!(PubSocket::new(transports, config))),
            Kind::XPub | Kind::Pub => {
                let mut socket = SubSocket::new(transports, config);
                socket.subscribe("");
                Bystander::Sub(connected!(socket))
            }
            Kind::Rep => Bystander::Req(connected!(ReqSocket::new(transports, config))),
        }
    }

    async fn talk(&mut self, text: &str, texts: &mut mpsc::Receiver<Vec<u8>>, published: &AtomicU64) {
        match self {
            Bystander::Dealer(dealer) => {
                dealer.send(text).await.unwrap();
                while dealer.recv().await.to_text() != Some(text) {}
            }
            Bystander::Push(push) => {
                push.send(text).await.unwrap();
                while texts.recv().await.unwrap() != text.as_bytes() {}
            }
            Bystander::Pub(publisher) => {
                publisher.subscribed("").await;
                publisher.send(text).await.unwrap();
                while texts.recv().await.unwrap() != text.as_bytes() {}
            }
            Bystander::Sub(subscriber) => {
                let now = published.load(Ordering::Relaxed);
                while u64::from_be_bytes(subscriber.recv().await[0][..].try_into().unwrap()) < now {}
            }
            Bystander::Req(req) => assert_eq!(req.request(text).await.unwrap().to_text(), Some(text)),
        }
    }
}

const TICK: Duration = Duration::from_millis(1);
