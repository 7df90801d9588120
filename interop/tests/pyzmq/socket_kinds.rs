//! Each kind of socket that talks to a ROUTER (this library accepting) or to a DEALER (this library connecting).

use interop::{Pyzmq, Wire};
use serde_json::json;
use transport::{Limits, Message};

use crate::set_up::{Meeting, Side, meet};

interop::on_both_wires! {
    a_req_client_is_answered_behind_its_empty_delimiter
    a_req_client_that_correlates_gets_its_number_back
    a_dealer_client_is_answered
    a_router_client_is_answered
    a_rep_server_answers_behind_an_empty_delimiter
    a_router_server_answers
    a_dealer_server_answers
}

async fn a_req_client_is_answered_behind_its_empty_delimiter(wire: Wire) {
    let Some(mut meeting) = accept(wire, "REQ", json!({})).await else {
        return;
    };
    for request in [&["question"][..], &[""], &["a", "", "b"]] {
        meeting.theirs.send(request).await;
        let received = meeting.ours.recv().await.unwrap().unwrap();
        let expected: Message = [""].iter().chain(request).copied().collect();
        assert_eq!(received, expected);
        let answer: Message = ["", "answer", ""].into_iter().collect();
        meeting.ours.send(&answer).await.unwrap();
        assert_eq!(meeting.theirs.recv().await, ["answer", ""]);
    }
}

async fn a_req_client_that_correlates_gets_its_number_back(wire: Wire) {
    let Some(mut meeting) = accept(wire, "REQ", json!({"REQ_CORRELATE": 1})).await else {
        return;
    };
    meeting.theirs.send(&["question"]).await;
    let mut received: Vec<_> = meeting.ours.recv().await.unwrap().unwrap().into_parts().collect();
    assert_eq!(received.len(), 3);
    assert_eq!((received[0].len(), &received[1][..]), (4, &b""[..]));
    received[2] = "answer".into();
    let answer: Message = received.into_iter().collect();
    meeting.ours.send(&answer).await.unwrap();
    assert_eq!(meeting.theirs.recv().await, ["answer"]);
}

async fn a_dealer_client_is_answered(wire: Wire) {
    let Some(mut meeting) = accept(wire, "DEALER", json!({})).await else {
        return;
    };
    meeting.theirs.send(&["question"]).await;
    assert_eq!(next(&mut meeting).await, ["question"]);
    meeting.ours.send("answer").await.unwrap();
    assert_eq!(meeting.theirs.recv().await, ["answer"]);
}

async fn a_router_client_is_answered(wire: Wire) {
    // A ROUTER cannot speak first: it learns where to from what it receives.
    let Some(mut meeting) = accept(wire, "ROUTER", json!({})).await else {
        return;
    };
    meeting.ours.send("question").await.unwrap();
    assert_routed(&mut meeting.theirs, "question").await;
    assert_eq!(next(&mut meeting).await, ["answer"]);
}

async fn a_rep_server_answers_behind_an_empty_delimiter(wire: Wire) {
    let Some(mut meeting) = connect(wire, "REP").await else {
        return;
    };
    for envelope in [&[""][..], &["hop", "other hop", ""]] {
        let question: Message = envelope.iter().chain(&["question", "more"]).copied().collect();
        meeting.ours.send(&question).await.unwrap();
        assert_eq!(meeting.theirs.recv().await, ["question", "more"]);
        meeting.theirs.send(&["answer"]).await;
        let answer: Vec<&str> = envelope.iter().chain(&["answer"]).copied().collect();
        assert_eq!(next(&mut meeting).await, answer);
    }
}

async fn a_router_server_answers(wire: Wire) {
    let Some(mut meeting) = connect(wire, "ROUTER").await else {
        return;
    };
    meeting.ours.send("question").await.unwrap();
    assert_routed(&mut meeting.theirs, "question").await;
    assert_eq!(next(&mut meeting).await, ["answer"]);
}

async fn a_dealer_server_answers(wire: Wire) {
    let Some(mut meeting) = connect(wire, "DEALER").await else {
        return;
    };
    meeting.ours.send("question").await.unwrap();
    assert_eq!(meeting.theirs.recv().await, ["question"]);
    meeting.theirs.send(&["answer"]).await;
    assert_eq!(next(&mut meeting).await, ["answer"]);
}

async fn accept(wire: Wire, theirs: &str, options: serde_json::Value) -> Option<Meeting> {
    meet(wire, Side::OursAccepts, theirs, options, Limits::default()).await
}

async fn connect(wire: Wire, theirs: &str) -> Option<Meeting> {
    meet(wire, Side::OursConnects, theirs, json!({}), Limits::default()).await
}

async fn next(meeting: &mut Meeting) -> Vec<String> {
    let message = meeting.ours.recv().await.unwrap().unwrap();
    let parts = message.into_parts();
    parts.map(|part| String::from_utf8(part.to_vec()).unwrap()).collect()
}

/// A peer without a routing id gets one of five bytes, which the ROUTER puts in front.
async fn assert_routed(router: &mut Pyzmq, body: &str) {
    let received = router.recv().await;
    assert_eq!(received[0].chars().count(), 5);
    assert_eq!(received[1..], [body]);
    router.send(&[&received[0], "answer"]).await;
}
