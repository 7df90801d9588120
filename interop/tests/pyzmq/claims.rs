//! What the two sides say of themselves.

use interop::{Pyzmq, Wire};
use serde_json::json;
use transport::Limits;
use transport::core::framing::zmtp::Zmtp;

use crate::set_up::{Side, connect, listen, meet, python, zmq_address};

interop::on_both_wires! {
    the_routing_id_and_type_of_a_client_are_claims
    a_routing_id_of_255_bytes_passes_both_ways
    the_routing_id_of_this_side_is_how_a_router_server_knows_it
    properties_of_either_side_reach_the_other
}

async fn the_routing_id_and_type_of_a_client_are_claims(wire: Wire) {
    let options = json!({"ROUTING_ID": "worker-7"});
    let meeting = meet(wire, Side::OursAccepts, "DEALER", options, Limits::default());
    let Some(meeting) = meeting.await else { return };
    let claims = meeting.ours.claims();
    assert_eq!(claims.text("Identity"), Some("worker-7"));
    assert_eq!(claims.text("Socket-Type"), Some("DEALER"));
}

async fn a_routing_id_of_255_bytes_passes_both_ways(wire: Wire) {
    let Some(python) = python() else { return };
    let (place, id) = (wire.place(), "i".repeat(255));
    let framing = Zmtp::new().with_routing_id(id.clone()).unwrap();
    let mut theirs = Pyzmq::open(&python, "ROUTER", json!({"ROUTING_ID": id})).await;
    let endpoint = theirs.bind(&place.zmq()).await;
    let mut ours = connect(wire, &endpoint).framing(framing).await.unwrap();
    assert_eq!(ours.claims().text("Identity"), Some(&*id));
    ours.send("from").await.unwrap();
    assert_eq!(theirs.recv().await, [&*id, "from"]);
}

async fn the_routing_id_of_this_side_is_how_a_router_server_knows_it(wire: Wire) {
    let Some(python) = python() else { return };
    let place = wire.place();
    let mut theirs = Pyzmq::open(&python, "ROUTER", json!({})).await;
    let endpoint = theirs.bind(&place.zmq()).await;
    let framing = |id: &'static str| Zmtp::new().with_routing_id(id).unwrap();
    let mut a = connect(wire, &endpoint).framing(framing("a")).await.unwrap();
    let mut b = connect(wire, &endpoint).framing(framing("b")).await.unwrap();
    a.send("from a").await.unwrap();
    assert_eq!(theirs.recv().await, ["a", "from a"]);
    b.send("from b").await.unwrap();
    assert_eq!(theirs.recv().await, ["b", "from b"]);
    theirs.send(&["b", "to b"]).await;
    theirs.send(&["a", "to a"]).await;
    assert_eq!(a.recv().await.unwrap().unwrap().to_text(), Some("to a"));
    assert_eq!(b.recv().await.unwrap().unwrap().to_text(), Some("to b"));
}

async fn properties_of_either_side_reach_the_other(wire: Wire) {
    let Some(python) = python() else { return };
    let place = wire.place();
    let framing = Zmtp::new().with_property("X-Ours", "here").unwrap();
    let server = listen(wire, &place).framing(framing).start();
    let mut server = server.await.unwrap();
    let mut theirs = Pyzmq::open(&python, "DEALER", json!({"METADATA": "X-Theirs:there"})).await;
    theirs.connect(&zmq_address(&server)).await;
    let mut ours = server.accept().await.unwrap();
    assert_eq!(ours.claims().text("X-Theirs"), Some("there"));
    ours.send("hello").await.unwrap();
    let request = json!({"do": "recv_with", "properties": ["X-Ours", "Socket-Type"]});
    let answer = theirs.peer().ask(request).await;
    assert_eq!(answer["properties"], json!({"X-Ours": "here", "Socket-Type": "ROUTER"}));
}
