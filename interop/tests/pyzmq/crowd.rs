//! Many connections, each with its first message ready.
//!
//! libzmq closes a connection on which a message comes before it has sent its own READY: whoever is too eager loses some
//! of them here.

use std::collections::BTreeSet;

use interop::{Peer, Place, Pyzmq, Wire};
use serde_json::json;
use tokio::task::JoinSet;
use transport::{Limits, Server};

use crate::set_up::{connect, listen, python, zmq_address};

const CROWD: usize = 200;

interop::on_both_wires! {
    two_hundred_clients_with_a_message_each_are_all_heard_and_answered
    two_hundred_clients_that_are_spoken_to_first_all_hear_it
    two_hundred_connections_to_one_router_server_are_all_heard_and_answered
}

async fn two_hundred_clients_with_a_message_each_are_all_heard_and_answered(wire: Wire) {
    let place = wire.place();
    let Some((mut server, mut theirs)) = crowd_at(wire, &place).await else { return };
    let mut connections = JoinSet::new();
    for _ in 0..CROWD {
        let mut ours = server.accept().await.unwrap();
        connections.spawn(async move {
            let first = ours.recv().await.unwrap().unwrap();
            ours.send(&first).await.unwrap();
            ours
        });
    }
    let _open_until_the_end = connections.join_all().await;
    let answers = theirs.answer().await["answers"].take();
    assert_eq!(answers, json!(numbers()));
}

async fn two_hundred_clients_that_are_spoken_to_first_all_hear_it(wire: Wire) {
    let place = wire.place();
    let Some((mut server, mut theirs)) = crowd_at(wire, &place).await else { return };
    let mut connections = Vec::new();
    for _ in 0..CROWD {
        let mut ours = server.accept().await.unwrap();
        ours.send("welcome").await.unwrap();
        connections.push(ours);
    }
    let answers = theirs.answer().await["answers"].take();
    assert_eq!(answers, json!(vec!["welcome"; CROWD]));
    let mut heard = BTreeSet::new();
    for ours in &mut connections {
        let message = ours.recv().await.unwrap().unwrap();
        heard.insert(message.to_text().unwrap().to_owned());
    }
    assert_eq!(heard, numbers().into_iter().collect());
}

async fn two_hundred_connections_to_one_router_server_are_all_heard_and_answered(wire: Wire) {
    let Some(python) = python() else { return };
    let place = wire.place();
    let mut theirs = Pyzmq::open(&python, "ROUTER", json!({"BACKLOG": CROWD})).await;
    let endpoint = theirs.bind(&place.zmq()).await;
    theirs.peer().tell(json!({"do": "gather", "count": CROWD})).await;
    let mut connections = JoinSet::new();
    for number in numbers() {
        let connecting = connect(wire, &endpoint);
        connections.spawn(async move {
            let mut ours = connecting.await.unwrap();
            ours.send(&number.clone().into_bytes()).await.unwrap();
            let answer = ours.recv().await.unwrap().unwrap();
            assert_eq!(answer.to_text(), Some(&*format!("answer to {number}")));
        });
    }
    connections.join_all().await;
    let found = theirs.done().await["found"].take();
    let found: BTreeSet<String> = serde_json::from_value(found).unwrap();
    assert_eq!(found, numbers().into_iter().collect());
}

/// A server, and the crowd that comes to it.
async fn crowd_at(wire: Wire, place: &Place) -> Option<(Server, Peer)> {
    let python = python()?;
    let server = listen(wire, place).limits(limits()).start().await.unwrap();
    let mut theirs = Peer::start(&python, "pyzmq_peer.py");
    let request = json!({"do": "crowd", "count": CROWD, "to": zmq_address(&server)});
    theirs.tell(request).await;
    Some((server, theirs))
}

/// All of them come from one source at the same moment, and none shall give way.
fn limits() -> Limits {
    Limits::default().with_pending_handshakes(2 * CROWD)
}

fn numbers() -> Vec<String> {
    (0..CROWD).map(|number| number.to_string()).collect()
}
