//! How often a REP socket looks while it waits: again and again only where it is asked soon.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::cell::Cell;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::time::Duration;

use common::{Places, config, within};
use tokio::sync::mpsc;
use transport_zmq::{RepSocket, ReqSocket};

/// So long that a slow machine's answers are soon too.
const SPIN: Duration = Duration::from_millis(10);
/// What a wait cannot be without saying that nobody is in a hurry.
const LONG: Duration = Duration::from_millis(50);

/// Answers so many questions, each asked when its turn has come; tells how often the socket looked for them.
async fn looks(
    rep: &mut RepSocket,
    ask: &mpsc::UnboundedSender<Duration>,
    questions: u32,
    pause: Duration,
) -> u32 {
    let looks = Cell::new(0);
    for _ in 0..questions {
        ask.send(pause).unwrap();
        {
            let mut receiving = pin!(rep.recv());
            within(poll_fn(|cx| {
                looks.set(looks.get() + 1);
                receiving.as_mut().poll(cx)
            }))
            .await;
        }
        rep.send("here").await.unwrap();
    }
    looks.get()
}

/// A REP with such an adaptive spin, and a REQ in a task of its own that asks after each pause that it is given.
async fn asked_by_another(places: &Places, spin: Duration) -> (RepSocket, mpsc::UnboundedSender<Duration>) {
    let config = config().with_adaptive_spin(spin);
    let rep = RepSocket::new(&places.transports, config);
    let mut req = ReqSocket::new(&places.transports, common::config().with_adaptive_spin(Duration::ZERO));
    req.connect(rep.bind("tcp://127.0.0.1:0").await.unwrap()).unwrap();
    let (ask, mut pauses) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(pause) = pauses.recv().await {
            tokio::time::sleep(pause).await;
            req.request("are you there?").await.unwrap();
        }
    });
    (rep, ask)
}

#[tokio::test]
async fn a_socket_that_is_asked_soon_tries_what_looking_again_gives() {
    let places = Places::new();
    let (mut rep, ask) = asked_by_another(&places, SPIN).await;
    // The first waits are for the handshake, and to learn from.
    looks(&mut rep, &ask, 16, Duration::ZERO).await;
    let spun = looks(&mut rep, &ask, 16, Duration::ZERO).await;
    let (mut rep, ask) = asked_by_another(&places, Duration::ZERO).await;
    looks(&mut rep, &ask, 16, Duration::ZERO).await;
    let asleep = looks(&mut rep, &ask, 16, Duration::ZERO).await;
    assert!(spun > asleep, "{spun} looks, and {asleep} by one that never spins");
}

#[tokio::test]
async fn a_socket_that_is_asked_now_and_then_sleeps_until_it_is() {
    let places = Places::new();
    let (mut rep, ask) = asked_by_another(&places, SPIN).await;
    looks(&mut rep, &ask, 40, Duration::ZERO).await;
    looks(&mut rep, &ask, 1, LONG).await;
    let questions = 5;
    let looks = looks(&mut rep, &ask, questions, LONG).await;
    assert!(looks <= 3 * questions, "{looks} looks for {questions} questions");
}
