//! The pure Rust crate `zeromq` as the other side.
//!
//! It says that it speaks ZMTP 3.0, and takes any command but READY for an error: a PING would cost the connection.
#![allow(clippy::unwrap_used, reason = "a test may; clippy knows only functions that are marked as one")]

use std::time::Duration;

use bytes::Bytes;
use interop::{Direction, Place, Wire, Wiretap, bounded, to_ours, to_zmq};
use transport::core::framing::zmtp::Zmtp;
use transport::{Connection, Limits, Message, Server};
use zeromq::util::PeerIdentity;
use zeromq::{
    DealerSocket, RepSocket, ReqSocket, RouterSocket, Socket, SocketOptions, SocketRecv, SocketSend,
    ZmqMessage,
};

interop::on_both_wires! {
    a_dealer_client_is_answered
    a_req_client_is_answered_behind_its_empty_delimiter
    a_router_client_is_answered
    a_dealer_server_answers
    a_router_server_answers_by_the_routing_id_of_this_side
    a_rep_server_answers_behind_an_empty_delimiter
    messages_of_all_shapes_come_back_as_they_were
    ten_thousand_messages_each_way_arrive_in_order
    an_idle_client_is_not_pinged_and_stays
    an_idle_server_is_not_pinged_and_stays
}

async fn a_dealer_client_is_answered(wire: Wire) {
    let mut options = SocketOptions::default();
    options.peer_identity("worker-7".parse::<PeerIdentity>().unwrap());
    let (mut ours, mut theirs, _place) =
        accept(wire, DealerSocket::with_options(options), Limits::default()).await;
    assert_eq!(ours.claims().text("Identity"), Some("worker-7"));
    assert_eq!(ours.claims().text("Socket-Type"), Some("DEALER"));
    theirs.send("question".into()).await.unwrap();
    assert_eq!(next(&mut ours).await, message(["question"]));
    ours.send("answer").await.unwrap();
    assert_eq!(received(&mut theirs).await, message(["answer"]));
}

async fn a_req_client_is_answered_behind_its_empty_delimiter(wire: Wire) {
    let (mut ours, mut theirs, _place) = accept(wire, ReqSocket::new(), Limits::default()).await;
    for _ in 0..3 {
        theirs.send("question".into()).await.unwrap();
        assert_eq!(next(&mut ours).await, message(["", "question"]));
        ours.send(&message(["", "answer", "more"])).await.unwrap();
        assert_eq!(received(&mut theirs).await, message(["answer", "more"]));
    }
}

async fn a_router_client_is_answered(wire: Wire) {
    let (mut ours, mut theirs, _place) = accept(wire, RouterSocket::new(), Limits::default()).await;
    ours.send("question").await.unwrap();
    let question = received(&mut theirs).await;
    assert_eq!(&question[1][..], b"question");
    let answer: Message = [question[0].clone(), "answer".into()].into_iter().collect();
    theirs.send(foreign(&answer)).await.unwrap();
    assert_eq!(next(&mut ours).await, message(["answer"]));
}

async fn a_dealer_server_answers(wire: Wire) {
    let (mut ours, mut theirs, _place) = connect(wire, DealerSocket::new(), Limits::default()).await;
    ours.send("question").await.unwrap();
    assert_eq!(received(&mut theirs).await, message(["question"]));
    theirs.send("answer".into()).await.unwrap();
    assert_eq!(next(&mut ours).await, message(["answer"]));
}

async fn a_router_server_answers_by_the_routing_id_of_this_side(wire: Wire) {
    let place = wire.place();
    let mut theirs = RouterSocket::new();
    let endpoint = theirs.bind(&place.zmq()).await.unwrap().to_string();
    let ours = transport::connect(to_ours(&endpoint)).server(wire.policy());
    let mut ours = ours.framing(Zmtp::new().with_routing_id("client-1").unwrap()).await.unwrap();
    ours.send("question").await.unwrap();
    assert_eq!(received(&mut theirs).await, message(["client-1", "question"]));
    theirs.send(foreign(&message(["client-1", "answer"]))).await.unwrap();
    assert_eq!(next(&mut ours).await, message(["answer"]));
}

async fn a_rep_server_answers_behind_an_empty_delimiter(wire: Wire) {
    let (mut ours, mut theirs, _place) = connect(wire, RepSocket::new(), Limits::default()).await;
    for _ in 0..3 {
        ours.send(&message(["", "question"])).await.unwrap();
        assert_eq!(received(&mut theirs).await, message(["question"]));
        theirs.send("answer".into()).await.unwrap();
        assert_eq!(next(&mut ours).await, message(["", "answer"]));
    }
}

async fn messages_of_all_shapes_come_back_as_they_were(wire: Wire) {
    let lengths = [0, 1, 255, 256, 8191, 8192, 8193, 65536, 1 << 20];
    let part = |length| (0u8..251).cycle().take(length).collect::<Bytes>();
    let alone = lengths.map(|length| Message::new(part(length)));
    let many = (0..1000).map(part).collect::<Message>();
    let messages: Vec<Message> = alone.into_iter().chain([many]).collect();

    let (mut ours, mut theirs, _place) = accept(wire, DealerSocket::new(), Limits::default()).await;
    let echo = async {
        for _ in 0..messages.len() {
            let message = theirs.recv().await.unwrap();
            theirs.send(message).await.unwrap();
        }
    };
    let check = async {
        for message in &messages {
            ours.send(message).await.unwrap();
            let back = next(&mut ours).await;
            assert!(back == *message, "{} bytes did not come back", message.byte_count());
        }
    };
    tokio::join!(echo, check);
}

async fn ten_thousand_messages_each_way_arrive_in_order(wire: Wire) {
    let count = 10_000u32;
    let (mut ours, mut theirs, _place) = connect(wire, DealerSocket::new(), Limits::default()).await;
    let to_them = async {
        for number in 0..count {
            ours.feed(&number.to_be_bytes()).await.unwrap();
        }
        ours.flush().await.unwrap();
    };
    let at_them = async {
        for number in 0..count {
            assert_eq!(received(&mut theirs).await.parts(), [&number.to_be_bytes()[..]]);
        }
    };
    tokio::join!(to_them, at_them);
    let from_them = async {
        for number in 0..count {
            theirs.send(number.to_be_bytes().to_vec().into()).await.unwrap();
        }
    };
    let at_us = async {
        for number in 0..count {
            assert_eq!(next(&mut ours).await.parts(), [&number.to_be_bytes()[..]]);
        }
    };
    tokio::join!(from_them, at_us);
}

async fn an_idle_client_is_not_pinged_and_stays(wire: Wire) {
    // A ROUTER drops a peer that sends a command; a DEALER only complains.
    let (mut ours, mut theirs, _place) = accept(wire, RouterSocket::new(), impatient()).await;
    ours.send("first").await.unwrap();
    let id = received(&mut theirs).await[0].clone();
    assert_idle(&mut ours, &mut theirs).await;
    let hello: Message = [id, "still there".into()].into_iter().collect();
    theirs.send(foreign(&hello)).await.unwrap();
    assert_eq!(next(&mut ours).await, message(["still there"]));
}

async fn an_idle_server_is_not_pinged_and_stays(wire: Wire) {
    let (mut ours, mut theirs, _place) = connect(wire, DealerSocket::new(), impatient()).await;
    assert_idle(&mut ours, &mut theirs).await;
    ours.send("still there").await.unwrap();
    assert_eq!(received(&mut theirs).await, message(["still there"]));
    theirs.send("so am I".into()).await.unwrap();
    assert_eq!(next(&mut ours).await, message(["so am I"]));
}

#[tokio::test]
async fn nothing_but_ready_is_ever_sent_as_a_command() {
    bounded(async {
        let (mut server, _place) = serve(Wire::Tcp, impatient()).await;
        let tap = Wiretap::before(&server.local_address().to_string()).await;
        let mut theirs = DealerSocket::new();
        theirs.connect(&tap.address()).await.unwrap();
        let mut ours = server.accept().await.unwrap();
        assert_idle(&mut ours, &mut theirs).await;
        let heard = |command| tap.count(Direction::FromServer, command);
        assert_eq!((heard("READY"), heard("PING"), heard("PONG")), (1, 0, 0));
    })
    .await;
}

/// Would ask for a sign of life ten times while [`assert_idle`] waits.
fn impatient() -> Limits {
    let limits = Limits::default().with_ping_after(Duration::from_millis(50));
    limits.with_dead_after(Duration::from_millis(200))
}

/// Both sides receive for a while, and nothing comes: no message, no end and no error.
async fn assert_idle(ours: &mut Connection, theirs: &mut impl SocketRecv) {
    let idle = Duration::from_millis(500);
    let quiet = async {
        tokio::select! {
            received = ours.recv() => panic!("this side received {received:?}"),
            received = theirs.recv() => panic!("the other side received {received:?}"),
        }
    };
    assert!(tokio::time::timeout(idle, quiet).await.is_err());
}

async fn serve(wire: Wire, limits: Limits) -> (Server, Place) {
    let place = wire.place();
    let server = transport::listen(place.ours()).policy(wire.policy());
    (server.limits(limits).start().await.unwrap(), place)
}

/// This side accepts.
async fn accept<S: Socket>(wire: Wire, mut theirs: S, limits: Limits) -> (Connection, S, Place) {
    let (mut server, place) = serve(wire, limits).await;
    let address = to_zmq(&server.local_address().to_string());
    theirs.connect(&address).await.unwrap();
    (server.accept().await.unwrap(), theirs, place)
}

/// This side connects.
async fn connect<S: Socket>(wire: Wire, mut theirs: S, limits: Limits) -> (Connection, S, Place) {
    let place = wire.place();
    let endpoint = theirs.bind(&place.zmq()).await.unwrap().to_string();
    let ours = transport::connect(to_ours(&endpoint)).server(wire.policy());
    (ours.limits(limits).await.unwrap(), theirs, place)
}

async fn next(ours: &mut Connection) -> Message {
    ours.recv().await.unwrap().unwrap()
}

async fn received(theirs: &mut impl SocketRecv) -> Message {
    theirs.recv().await.unwrap().into_vec().into_iter().collect()
}

fn message<const N: usize>(parts: [&'static str; N]) -> Message {
    parts.into_iter().collect()
}

fn foreign(message: &Message) -> ZmqMessage {
    ZmqMessage::try_from(message.parts().to_vec()).unwrap()
}
