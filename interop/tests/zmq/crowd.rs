//! A thousand connections, each with its first message ready.
//!
//! libzmq closes a connection on which a message comes before it has sent its own READY: whoever is too eager loses some
//! of them here.

use interop::{Settings, Sockets, Wire};
use serde_json::json;
use tokio::task::JoinSet;

use crate::set_up::python;

interop::on_both_wires! {
    a_thousand_dealers_of_theirs_at_one_router_of_ours_each_get_their_reply
    a_thousand_dealers_of_ours_at_one_router_of_theirs_each_get_their_reply
}

/// Each of these processes has so many sockets.
const PROCESSES: usize = 4;
const EACH: usize = 250;
const ALL: usize = PROCESSES * EACH;

fn settings(wire: Wire) -> Settings {
    Settings { wire: Some(wire.name().to_owned()), ..Settings::new() }
}

async fn a_thousand_dealers_of_theirs_at_one_router_of_ours_each_get_their_reply(wire: Wire) {
    let Some(python) = python() else { return };
    let (mut ours, place) = (Sockets::ours(), wire.place());
    ours.open("router", "ROUTER", settings(wire)).await;
    let endpoint = ours.bind("router", &place.zmq()).await;
    let mut crowds = JoinSet::new();
    for _ in 0..PROCESSES {
        let mut crowd = Sockets::libzmqs(&python);
        let request = json!({"do": "crowd", "type": "DEALER", "to": endpoint, "count": EACH});
        crowds.spawn(async move {
            let answers = crowd.ask(request).await["answers"].take();
            (answers, crowd)
        });
    }
    ours.echo("router", ALL as u64).await;
    let expected: Vec<String> = (0..EACH).map(|number| number.to_string()).collect();
    let mut still_there = Vec::new();
    while let Some(crowd) = crowds.join_next().await {
        let (answers, crowd) = crowd.unwrap();
        assert_eq!(answers, json!(expected));
        still_there.push(crowd);
    }
    assert_eq!(ours.here().socket("router").peers().len(), ALL);
}

async fn a_thousand_dealers_of_ours_at_one_router_of_theirs_each_get_their_reply(wire: Wire) {
    let Some(python) = python() else { return };
    let (mut theirs, mut ours, place) = (Sockets::libzmqs(&python), Sockets::ours(), wire.place());
    theirs.open("router", "ROUTER", settings(wire)).await;
    let endpoint = theirs.bind("router", &place.zmq()).await;
    for number in 0..ALL {
        let name = number.to_string();
        ours.open(&name, "DEALER", settings(wire)).await;
        ours.connect(&name, &endpoint).await;
        ours.send(&name, &[&name]).await;
    }
    theirs.echo("router", ALL as u64).await;
    for number in 0..ALL {
        let name = number.to_string();
        assert_eq!(ours.recv(&name).await, [&*name]);
    }
}
