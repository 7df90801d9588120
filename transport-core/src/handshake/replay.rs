//! Recorded exchanges with libzmq, played against both sides of this crate: `tests/vectors/zmtp-wire/`.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;

use super::{Complete, Handshake, HandshakeConfig, HandshakeError, Progress};
use crate::claims::Claims;
use crate::evidence::{Evidence, Protection};
use crate::framing::zmtp::{SocketType, Zmtp};
use crate::framing::{Control, Event, FramingError, Role};
use crate::limits::Limits;
use crate::mechanism::{Null, Passwords, PlainClient, PlainServer, Refusal, SharedMechanism};
use crate::message::Message;
use crate::policy::Policy;
use crate::write_buffer::WriteBuffer;

macro_rules! recorded {
    ($name:literal) => {
        Recording::read(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/vectors/zmtp-wire/",
            $name,
            ".txt"
        )))
    };
}

/// The connections of one file, each as the bytes in both directions.
struct Recording(Vec<Exchange>);

#[derive(Default, Clone)]
struct Exchange {
    by_client: Vec<u8>,
    by_server: Vec<u8>,
}

impl Recording {
    fn read(text: &str) -> Recording {
        let mut exchanges = vec![Exchange::default()];
        for line in text.lines() {
            if line.starts_with("# ---") {
                exchanges.push(Exchange::default());
            }
            let line = line.split('#').next().unwrap().trim();
            let Some((direction, hex)) = line.split_once(' ') else {
                continue;
            };
            let bytes = match hex {
                "..." => (3..998).flat_map(numbered_part).collect(),
                hex => (0..hex.len())
                    .step_by(2)
                    .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
                    .collect(),
            };
            let exchange = exchanges.last_mut().unwrap();
            let side = if direction == "C>S" { &mut exchange.by_client } else { &mut exchange.by_server };
            side.extend::<Vec<u8>>(bytes);
        }
        exchanges.retain(|exchange| !exchange.by_client.is_empty());
        Recording(exchanges)
    }

    fn only(&self) -> &Exchange {
        assert_eq!(self.0.len(), 1);
        &self.0[0]
    }
}

/// What the abbreviation in `parts-1000` stands for.
fn numbered_part(number: u32) -> Vec<u8> {
    let digits = number.to_string();
    [&[1, u8::try_from(digits.len()).unwrap()][..], digits.as_bytes()].concat()
}

/// One of our sides.
#[derive(Clone)]
struct Side {
    role: Role,
    mechanisms: Vec<SharedMechanism>,
    zmtp: Zmtp,
}

/// What a side made of the bytes.
struct Played {
    /// What it sent until the handshake was over.
    sent: Vec<u8>,
    outcome: Result<Complete, HandshakeError>,
    messages: Vec<Message>,
    pongs: Vec<String>,
}

impl Side {
    fn null(role: Role, socket_type: SocketType) -> Side {
        Side { role, mechanisms: vec![Arc::new(Null)], zmtp: Zmtp::new().with_socket_type(socket_type) }
    }

    fn plain_client(password: &str) -> Side {
        let mechanism: SharedMechanism = Arc::new(PlainClient::new("admin", password).unwrap());
        Side { mechanisms: vec![mechanism], ..Side::null(Role::Client, SocketType::Push) }
    }

    fn plain_server() -> Side {
        let mechanism: SharedMechanism =
            Arc::new(PlainServer::new(Passwords::new().with_user("admin", "secret")));
        Side { mechanisms: vec![mechanism], ..Side::null(Role::Server, SocketType::Pull) }
    }

    /// Plays the peer's bytes whole, byte by byte, and cut in two at every place; all must come to the same.
    fn play(&self, bytes: &[u8]) -> Played {
        let whole = self.play_in(&[bytes]);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        let cuts = (1..bytes.len()).map(|cut| vec![&bytes[..cut], &bytes[cut..]]);
        for pieces in cuts.chain([single]) {
            let played = self.play_in(&pieces);
            assert_eq!(played.sent, whole.sent);
            assert_eq!(played.messages, whole.messages);
            assert_eq!(played.pongs, whole.pongs);
            let text = |played: &Played| match &played.outcome {
                Ok(complete) => format!("{} {:?}", complete.identity, complete.claims),
                Err(error) => error.to_string(),
            };
            assert_eq!(text(&played), text(&whole));
        }
        whole
    }

    fn play_in(&self, pieces: &[&[u8]]) -> Played {
        let now = Instant::now();
        let config = Arc::new(HandshakeConfig {
            role: self.role,
            mechanisms: self.mechanisms.clone(),
            framing: Arc::new(self.zmtp.clone()),
            policy: Policy::danger_anyone(),
            admission: None,
            limits: Limits::default(),
            danger_plaintext: true,
            spin: std::time::Duration::ZERO,
        });
        let mut handshake = Handshake::new(config, Evidence::new(Protection::Loopback), Claims::new());
        let (mut input, mut out) = (BytesMut::new(), WriteBuffer::new());
        let mut progress = handshake.start(&mut out, now);
        let mut played = Played {
            sent: Vec::new(),
            outcome: Err(HandshakeError::Closed),
            messages: Vec::new(),
            pongs: Vec::new(),
        };
        for piece in pieces {
            input.extend_from_slice(piece);
            if let Ok(Progress::More) = progress {
                progress = handshake.receive(&mut input, &mut out, now);
            }
            match progress {
                Ok(Progress::More) => {}
                Ok(Progress::Wait) => panic!("these mechanisms do not wait"),
                Ok(Progress::Complete(complete)) => {
                    played.outcome = Ok(*complete);
                    progress = Err(HandshakeError::Closed); // not looked at any more
                }
                Err(ref error) if played.outcome.is_err() && !matches!(error, HandshakeError::Closed) => {
                    let Err(error) = std::mem::replace(&mut progress, Err(HandshakeError::Closed)) else {
                        continue;
                    };
                    played.outcome = Err(error);
                    break;
                }
                Err(_) => {}
            }
            if let Ok(complete) = &mut played.outcome {
                while let Some(event) = complete.halves.decoder.decode(&mut input).unwrap() {
                    match event {
                        Event::Message(message) => played.messages.push(message),
                        Event::Control(Control::Ping { context, .. }) => {
                            played.pongs.push(String::from_utf8(context.to_vec()).unwrap());
                        }
                        _ => {}
                    }
                }
            }
        }
        played.sent = out.to_vec();
        played
    }
}

fn message<const N: usize>(parts: [&'static str; N]) -> Message {
    parts.into_iter().collect()
}

fn identity(played: &Played) -> &str {
    played.outcome.as_ref().unwrap().claims.text("Identity").unwrap()
}

#[test]
fn a_dealer_and_a_router_of_libzmq_are_understood() {
    let recording = recorded!("null-router-bind");
    let client = Side::null(Role::Client, SocketType::Dealer).play(&recording.only().by_server);
    assert_eq!(client.messages, [message(["", "world"])]);
    let server = Side::null(Role::Server, SocketType::Router).play(&recording.only().by_client);
    assert_eq!((identity(&server), &server.messages[..]), ("cli1", &[message(["hello"])][..]));

    let recording = recorded!("null-dealer-connect");
    let server = Side::null(Role::Server, SocketType::Router).play(&recording.only().by_client);
    assert_eq!((identity(&server), &server.messages[..]), ("A1", &[message(["a", "", "c"])][..]));
    let client = Side::null(Role::Client, SocketType::Dealer).play(&recording.only().by_server);
    assert_eq!(client.messages, [message(["r1", "r2"])]);
}

#[test]
fn requests_and_replies_of_libzmq_keep_their_envelopes() {
    let recording = recorded!("req-connect-multipart");
    let server = Side::null(Role::Server, SocketType::Router).play(&recording.0[0].by_client);
    assert_eq!(server.messages, [message(["", "q1", "q2"])]);
    let correlated = Side::null(Role::Server, SocketType::Router).play(&recording.0[1].by_client);
    assert_eq!(correlated.messages[0].part_count(), 3);
    let replies =
        Side::null(Role::Client, SocketType::Dealer).play(&recorded!("rep-bind-multipart").0[0].by_server);
    assert!(replies.messages.iter().all(|reply| reply.part_count() >= 2) && !replies.messages.is_empty());
}

#[test]
fn our_null_client_sends_byte_for_byte_what_the_recorded_one_sent() {
    let recording = recorded!("long-frame-received");
    let played = Side::null(Role::Client, SocketType::Push).play(&recording.only().by_server);
    // Apart from the signature's padding, where libzmq ignores what we write.
    assert_eq!(played.sent[9..], recording.only().by_client[9..played.sent.len()]);
}

/// What a client writes before the server has said anything.
fn first_flight(side: &Side) -> Vec<u8> {
    side.play_in(&[]).sent
}

#[test]
fn the_ready_of_a_null_client_goes_out_with_its_greeting_and_no_other_token_does() {
    let null = first_flight(&Side::null(Role::Client, SocketType::Dealer));
    assert_eq!((&null[12..16], &null[66..72]), (&b"NULL"[..], &b"\x05READY"[..]));
    // A password is for a server that has said that it takes one.
    assert_eq!(first_flight(&Side::plain_client("secret")).len(), 64);
    assert_eq!(first_flight(&Side::null(Role::Server, SocketType::Router)).len(), 12);
}

#[test]
fn a_server_that_wants_another_mechanism_is_named_although_ready_is_on_its_way() {
    let plain = recorded!("plain-ok");
    let client = Side::null(Role::Client, SocketType::Dealer).play(&plain.only().by_server);
    let reason = client.outcome.err().unwrap().to_string();
    assert_eq!(reason, "the peer wants the mechanism PLAIN, this side has NULL");
}

#[test]
fn plain_is_accepted_from_both_sides_byte_for_byte() {
    let recording = recorded!("plain-ok");
    let client = Side::plain_client("secret").play(&recording.only().by_server);
    assert!(client.outcome.is_ok());
    assert_eq!(client.sent[9..], recording.only().by_client[9..client.sent.len()]);
    let server = Side::plain_server().play(&recording.only().by_client);
    assert_eq!(server.outcome.as_ref().unwrap().identity.to_string(), "user:admin");
    assert_eq!(server.messages, [message(["m"])]);
    // As-server (byte 32) is 1 in ours, as the RFC wants it, and 0 in libzmq's.
    assert_eq!(server.sent[32], 1);
    assert_eq!(server.sent[33..], recording.only().by_server[33..]);
}

#[test]
fn plain_refusals_are_understood_in_both_spellings() {
    let refused = |bytes: &[u8]| match Side::plain_client("wrong").play(bytes).outcome {
        Err(HandshakeError::RefusedByPeer { reason }) => reason,
        other => panic!("{:?}", other.err()),
    };
    assert_eq!(refused(&recorded!("plain-refused").only().by_server), "400");
    assert_eq!(refused(&recorded!("plain-client-connect").0[1].by_server), "400");
}

#[test]
fn a_wrong_password_is_answered_with_an_error_in_the_form_of_the_rfc() {
    let recording = recorded!("plain-client-connect");
    let ok = Side::plain_server().play(&recording.0[0].by_client);
    assert_eq!(ok.messages, [message(["m"])]);
    let refused = Side::plain_server().play(&recording.0[1].by_client);
    let Err(HandshakeError::Refusal(Refusal::Credentials { user })) = &refused.outcome else {
        panic!("refused")
    };
    assert_eq!(user, "admin");
    assert!(refused.sent.ends_with(b"\x04\x0a\x05ERROR\x03400"));
    assert!(Side::plain_server().play(&recorded!("plain-refused").only().by_client).outcome.is_err());
}

#[test]
fn each_malformed_greeting_has_its_answer() {
    let cases = recorded!("malformed-greeting").0;
    let server = Side::null(Role::Server, SocketType::Router);
    let outcomes: Vec<Result<String, HandshakeError>> = cases
        .iter()
        .map(|case| {
            server
                .play(&case.by_client)
                .outcome
                .map(|complete| complete.claims.text("Identity").unwrap().into())
        })
        .collect();
    let protocol = |i: usize, hint: &str| {
        let Err(HandshakeError::Framing(error @ FramingError::Protocol { .. })) = &outcomes[i] else {
            panic!("{i}")
        };
        assert!(error.to_string().contains(hint), "{i}: {error}");
    };
    assert_eq!(outcomes.len(), 12);
    protocol(0, "HTTP");
    protocol(1, "00, not ff");
    protocol(2, "ZMTP 1.0");
    // Where libzmq takes major 2 for 3.1, this crate takes it for what RFC 37 says: ZMTP 2.0.
    protocol(5, "ZMTP 2.0");
    for i in [3, 4, 6, 7, 11] {
        assert_eq!(outcomes[i].as_ref().unwrap(), "x", "{i}");
    }
    for (i, offered) in [(8, "CURVE"), (9, "null"), (10, "NULL\\x00x")] {
        assert!(
            matches!(&outcomes[i], Err(HandshakeError::Mechanism { offered: o, .. }) if o == offered),
            "{i}"
        );
    }
}

#[test]
fn older_versions_are_refused_by_name() {
    for (bytes, version) in [
        (recorded!("zmtp20-peer").only().by_client.clone(), "ZMTP 2.0"),
        (recorded!("zmtp10-peer").only().by_client.clone(), "not ff"),
    ] {
        let outcome = Side::null(Role::Server, SocketType::Router).play(&bytes).outcome;
        assert!(outcome.err().unwrap().to_string().contains(version));
    }
}

#[test]
fn pings_are_answered_with_their_context_cut_to_16_bytes() {
    let recording = recorded!("heartbeat");
    let server = Side::null(Role::Server, SocketType::Dealer).play(&recording.only().by_client);
    assert_eq!(server.pongs, ["ctx", "0123456789abcdef"]);
    let client = Side::null(Role::Client, SocketType::Dealer).play(&recording.only().by_server);
    assert_eq!(client.pongs, ["", ""]);
}

#[test]
fn strange_commands_after_the_handshake_change_nothing() {
    let server = Side::null(Role::Server, SocketType::Router)
        .play(&recorded!("commands-after-handshake").only().by_client);
    assert_eq!(
        (&server.messages[..], &server.pongs[..]),
        (&[message(["p1", "p2"])][..], &["c".to_owned()][..])
    );
}

#[test]
fn a_message_that_comes_with_the_handshake_is_delivered() {
    // libzmq closes here; being generous costs nothing.
    let server =
        Side::null(Role::Server, SocketType::Pull).play(&recorded!("early-message-refused").only().by_client);
    assert_eq!(server.messages, [message(["early"])]);
}

#[test]
fn long_frames_many_parts_and_a_long_ready_are_understood() {
    let sizes = |played: &Played| played.messages.iter().map(Message::byte_count).collect::<Vec<_>>();
    let client =
        Side::null(Role::Client, SocketType::Pull).play(&recorded!("long-frame-300").only().by_server);
    assert_eq!(sizes(&client), [255, 256, 300]);
    let server =
        Side::null(Role::Server, SocketType::Pull).play(&recorded!("long-frame-received").only().by_client);
    assert_eq!(sizes(&server), [3, 3, 300]);
    let parts =
        Side::null(Role::Client, SocketType::Pull).play_in(&[&recorded!("parts-1000").only().by_server]);
    assert_eq!(parts.messages[0].part_count(), 1000);
    assert_eq!(parts.messages[0][999], "999");
    let ready =
        Side::null(Role::Client, SocketType::Router).play(&recorded!("identity-255").only().by_server);
    assert_eq!(identity(&ready).len(), 255);
}
