//! Peers that go, in the middle of something or not.

use interop::{Peer, Python, Wire};
use serde_json::json;
use transport::core::HandshakeError;
use transport::{Limits, RecvError, Server};

use crate::set_up::{Side, connect, listen, meet, python, refusal, zmq_address};

interop::on_both_wires! {
    of_a_peer_killed_between_parts_no_half_message_is_delivered
    of_a_peer_killed_within_a_frame_no_half_message_is_delivered
    of_a_busy_peer_killed_only_whole_messages_are_delivered
    a_peer_killed_at_any_step_of_the_handshake_is_an_event
    a_peer_that_has_gone_is_the_end_of_the_messages
    the_last_messages_before_a_close_reach_the_peer
}

async fn of_a_peer_killed_between_parts_no_half_message_is_delivered(wire: Wire) {
    // A whole message, and two parts of one that should have more.
    assert_truncated(wire, "0005 68656c6c6f  0101 61  0101 62").await;
}

async fn of_a_peer_killed_within_a_frame_no_half_message_is_delivered(wire: Wire) {
    // A whole message, and ten bytes of a hundred.
    assert_truncated(wire, "0005 68656c6c6f  0064 30313233343536373839").await;
}

async fn of_a_busy_peer_killed_only_whole_messages_are_delivered(wire: Wire) {
    let meeting = meet(wire, Side::OursAccepts, "DEALER", json!({}), Limits::default());
    let Some(mut meeting) = meeting.await else { return };
    let request = json!({"do": "flood_multipart", "parts": 100, "size": 1000});
    meeting.theirs.peer().ask(request).await;
    let mut theirs = Some(meeting.theirs.into_peer());
    let mut count = 0;
    let end = loop {
        match meeting.ours.recv().await {
            Ok(Some(message)) => {
                assert!(message.part_count() == 100 && message.byte_count() == 100_000);
                count += 1;
            }
            end => break end.map(|_| ()),
        }
        if count == 50
            && let Some(theirs) = theirs.take()
        {
            theirs.kill().await;
        }
    };
    assert!(count >= 50);
    // Where it was cut decides which one; over TCP the kernel may also reset.
    assert!(matches!(end, Ok(()) | Err(RecvError::Truncated | RecvError::Io(_))), "{end:?}");
}

async fn a_peer_killed_at_any_step_of_the_handshake_is_an_event(wire: Wire) {
    let Some(python) = python() else { return };
    let place = wire.place();
    let mut server = listen(wire, &place).start().await.unwrap();
    let mut events = server.events();
    let whole = format!("{GREETING}{READY}");
    let whole: String = whole.split_whitespace().collect();
    // Nothing; within the signature, the version, the mechanism, the filler; before, within and at the end of READY.
    for length in [0, 5, 10, 11, 20, 63, 64, 65, 80, whole.len() / 2 - 1] {
        let mut theirs = Peer::start(&python, "raw_peer.py");
        theirs.ask(json!({"do": "connect", "to": zmq_address(&server)})).await;
        theirs.ask(json!({"do": "send", "data": &whole[..2 * length]})).await;
        theirs.kill().await;
        let (_, reason) = refusal(&mut events).await;
        // With bytes unread in its socket, which a killed process leaves behind, the kernel resets.
        assert!(
            matches!(*reason, HandshakeError::Closed | HandshakeError::Io(_)),
            "after {length} bytes: {reason:?}"
        );
    }
    assert_eq!(server.handle().connection_count(), 0);
}

async fn a_peer_that_has_gone_is_the_end_of_the_messages(wire: Wire) {
    for side in [Side::OursAccepts, Side::OursConnects] {
        let meeting = meet(wire, side, "DEALER", json!({}), Limits::default());
        let Some(mut meeting) = meeting.await else { return };
        meeting.theirs.send(&["last"]).await;
        assert_eq!(meeting.ours.recv().await.unwrap().unwrap().to_text(), Some("last"));
        meeting.theirs.into_peer().kill().await;
        assert!(matches!(meeting.ours.recv().await, Ok(None)));
    }
}

async fn the_last_messages_before_a_close_reach_the_peer(wire: Wire) {
    let Some(python) = python() else { return };
    let place = wire.place();
    let mut theirs = interop::Pyzmq::open(&python, "DEALER", json!({})).await;
    let endpoint = theirs.bind(&place.zmq()).await;
    let mut ours = connect(wire, &endpoint).await.unwrap();
    let count = 1000;
    theirs.peer().tell(json!({"do": "check_flood", "count": count})).await;
    for number in 0..count {
        ours.feed(&u64::to_be_bytes(number)).await.unwrap();
    }
    ours.close().await.unwrap();
    theirs.done().await;
}

/// The peer says `frames` after the handshake and is killed: what is received is one message, `hello`.
async fn assert_truncated(wire: Wire, frames: &str) {
    let Some(python) = python() else { return };
    let place = wire.place();
    let mut server = listen(wire, &place).start().await.unwrap();
    let mut theirs = raw_dealer(&python, &server).await;
    theirs.ask(json!({"do": "send", "data": frames})).await;
    let mut ours = server.accept().await.unwrap();
    assert_eq!(ours.recv().await.unwrap().unwrap().to_text(), Some("hello"));
    theirs.kill().await;
    let end = ours.recv().await;
    assert!(matches!(end, Err(RecvError::Truncated)), "{end:?}");
}

/// A peer after its handshake, with nothing unread in its socket: what is sent from now on ends without a reset.
async fn raw_dealer(python: &Python, server: &Server) -> Peer {
    let mut theirs = Peer::start(python, "raw_peer.py");
    theirs.ask(json!({"do": "connect", "to": zmq_address(server)})).await;
    let data = format!("{GREETING}{READY}");
    theirs.ask(json!({"do": "send", "data": data})).await;
    // Greeting, then the two bytes of READY's header, which has its length.
    let head = theirs.ask(json!({"do": "recv", "length": 66})).await;
    let length = head["data"].as_str().and_then(|head| u8::from_str_radix(&head[130..], 16).ok());
    theirs.ask(json!({"do": "recv", "length": length.unwrap()})).await;
    theirs
}

/// ZMTP 3.1, NULL.
const GREETING: &str = "ff 0000000000000001 7f 03 01  4e554c4c 00000000000000000000000000000000
    00 00000000000000000000000000000000000000000000000000000000000000 ";

/// READY, Socket-Type DEALER.
const READY: &str = "04 1c 05 5245414459  0b 536f636b65742d54797065  00000006 4445414c4552";
