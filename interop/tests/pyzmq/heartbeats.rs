//! Signs of life.

use std::time::Duration;

use interop::{Direction, Place, Pyzmq, Wire, Wiretap};
use serde_json::{Value, json};
use transport::core::framing::FramingError;
use transport::{Connection, Limits, RecvError};

use crate::set_up::{Side, connect, listen, meet, python, zmq_address};

/// At least so many milliseconds neither side says anything of its own accord.
const IDLE: u64 = 500;
/// The interval of heartbeats.
const OFTEN: u64 = 100;
/// So many times a side has asked, or answered, before that ends.
const SOME: usize = 5;

interop::on_both_wires! {
    a_peer_that_stopped_is_taken_for_dead
}

/// The time to live of their PINGs goes on for us, their timeout for our PONGs: neither may end the connection.
fn heartbeats() -> Value {
    json!({"HEARTBEAT_IVL": OFTEN, "HEARTBEAT_TTL": 10_000, "HEARTBEAT_TIMEOUT": 10_000})
}

#[tokio::test]
async fn the_pings_of_a_client_are_answered_and_messages_pass() {
    interop::bounded(async {
        let Some(tapped) = Tapped::meet(Side::OursAccepts, heartbeats(), Limits::default()).await else {
            return;
        };
        let tap = tapped.idle_until([(Direction::FromClient, "PING"), (Direction::FromServer, "PONG")]).await;
        assert_eq!(tap.count(Direction::FromServer, "PING"), 0);
    })
    .await;
}

#[tokio::test]
async fn the_pings_of_a_server_are_answered_and_messages_pass() {
    interop::bounded(async {
        let Some(tapped) = Tapped::meet(Side::OursConnects, heartbeats(), Limits::default()).await else {
            return;
        };
        let tap = tapped.idle_until([(Direction::FromServer, "PING"), (Direction::FromClient, "PONG")]).await;
        assert_eq!(tap.count(Direction::FromClient, "PING"), 0);
    })
    .await;
}

#[tokio::test]
async fn a_client_answers_the_pings_of_this_side() {
    interop::bounded(async {
        let Some(tapped) = Tapped::meet(Side::OursAccepts, json!({}), often()).await else {
            return;
        };
        tapped.idle_until([(Direction::FromServer, "PING"), (Direction::FromClient, "PONG")]).await;
    })
    .await;
}

#[tokio::test]
async fn a_server_answers_the_pings_of_this_side() {
    interop::bounded(async {
        let Some(tapped) = Tapped::meet(Side::OursConnects, json!({}), often()).await else {
            return;
        };
        tapped.idle_until([(Direction::FromClient, "PING"), (Direction::FromServer, "PONG")]).await;
    })
    .await;
}

#[tokio::test]
async fn heartbeats_of_both_sides_go_beside_each_other() {
    interop::bounded(async {
        let Some(tapped) = Tapped::meet(Side::OursAccepts, heartbeats(), often()).await else {
            return;
        };
        tapped.idle_until([(Direction::FromClient, "PING"), (Direction::FromServer, "PONG")]).await;
    })
    .await;
}

async fn a_peer_that_stopped_is_taken_for_dead(wire: Wire) {
    let limits = often().with_dead_after(Duration::from_millis(5 * OFTEN));
    let Some(mut meeting) = meet(wire, Side::OursAccepts, "DEALER", json!({}), limits).await else {
        return;
    };
    // SIGSTOP: the process is there, its sockets too, but nothing answers.
    let pid = i32::try_from(meeting.theirs.peer().pid()).ok();
    let pid = pid.and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let error = meeting.ours.recv().await.unwrap_err();
    assert!(matches!(error, RecvError::Framing(FramingError::Silent { .. })), "{error:?}");
}

fn often() -> Limits {
    let limits = Limits::default().with_ping_after(Duration::from_millis(OFTEN));
    limits.with_dead_after(Duration::from_secs(10))
}

/// A connection over TCP with a tap on it.
struct Tapped {
    ours: Connection,
    theirs: Pyzmq,
    tap: Wiretap,
    _place: Place,
}

impl Tapped {
    async fn meet(side: Side, options: Value, limits: Limits) -> Option<Tapped> {
        let python = python()?;
        let place = Wire::Tcp.place();
        let mut theirs = Pyzmq::open(&python, "DEALER", options).await;
        theirs.watch().await;
        let (ours, tap) = match side {
            Side::OursAccepts => {
                let mut server = listen(Wire::Tcp, &place).limits(limits).start().await.unwrap();
                let tap = Wiretap::before(&zmq_address(&server)).await;
                theirs.connect(&tap.address()).await;
                (server.accept().await.unwrap(), tap)
            }
            Side::OursConnects => {
                let tap = Wiretap::before(&theirs.bind(&place.zmq()).await).await;
                let ours = connect(Wire::Tcp, &tap.address()).limits(limits);
                (ours.await.unwrap(), tap)
            }
        };
        Some(Tapped { ours, theirs, tap, _place: place })
    }

    /// Both sides say nothing of their own accord for a while, until each of these has been heard some times, however busy the
    /// machine is; and then the connection must still be there.
    async fn idle_until(self, heard: [(Direction, &str); 2]) -> Wiretap {
        let Tapped { mut ours, mut theirs, tap, .. } = self;
        let idle = async {
            loop {
                assert_eq!(theirs.event(&["DISCONNECTED"], IDLE).await, None);
                if heard.iter().all(|(side, command)| tap.count(*side, command) >= SOME) {
                    break;
                }
            }
            theirs.send(&["still there?"]).await;
        };
        let (received, ()) = tokio::join!(ours.recv(), idle);
        assert_eq!(received.unwrap().unwrap().to_text(), Some("still there?"));
        ours.send("yes").await.unwrap();
        assert_eq!(theirs.recv().await, ["yes"]);
        tap
    }
}
