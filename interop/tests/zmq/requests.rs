//! Requests and their replies, numbered, out of turn, and through proxies.

use interop::{Settings, Wire};

use crate::meeting::Table;
use crate::pair::{Pair, Side, pair};
use crate::set_up::python;

everywhere! {
    replies_to_numbered_requests_are_told_apart
    a_request_out_of_turn_leaves_the_old_one_behind
}

const TO_OURS: [Pair; 2] = [pair("REP", "REQ"), pair("ROUTER", "REQ")];
const TO_THEIRS: [Pair; 2] = [pair("REQ", "REP"), pair("REQ", "ROUTER")];

async fn replies_to_numbered_requests_are_told_apart(wire: Wire, binds: Side) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    let numbered = Settings { correlate: true, ..Settings::new() };
    for pair in [TO_OURS, TO_THEIRS].concat() {
        let name = &pair.name();
        table.meet(pair, numbered.clone(), numbered.clone()).await;
        let (asks, answers) = table.ends(pair.ways()[0]);
        for body in [&["question"][..], &[""], &["a", "", "b"]] {
            asks.send(name, body).await;
            let request = answers.recv(name).await;
            let envelope = request.len() - body.len();
            assert_eq!(request[envelope..], *body, "{name}");
            if pair.of(pair.ways()[1].from) == "ROUTER" {
                // Who asked, the number, and the empty part.
                assert_eq!((envelope, request[1].chars().count(), &*request[2]), (3, 4, ""), "{name}");
            }
            let reply: Vec<&str> =
                request[..envelope].iter().map(String::as_str).chain(["answer", ""]).collect();
            answers.send(name, &reply).await;
            assert_eq!(asks.recv(name).await, ["answer", ""], "{name}");
        }
    }
}

async fn a_request_out_of_turn_leaves_the_old_one_behind(wire: Wire, binds: Side) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    let relaxed = Settings { correlate: true, relaxed: true, ..Settings::new() };
    for pair in [TO_OURS[1], TO_THEIRS[1]] {
        let name = &pair.name();
        table.meet(pair, relaxed.clone(), relaxed.clone()).await;
        let (asks, answers) = table.ends(pair.ways()[0]);
        let mut requests = Vec::new();
        for body in ["first", "second"] {
            asks.send(name, &[body]).await;
            requests.push(answers.recv(name).await);
        }
        for (request, reply) in requests.iter().zip(["to the first", "to the second"]) {
            let reply: Vec<&str> = request[..3].iter().map(String::as_str).chain([reply]).collect();
            answers.send(name, &reply).await;
        }
        assert_eq!(asks.recv(name).await, ["to the second"], "{name}");
    }
}
