//! Recorded exchanges with libzmq, whose keys are known: every box is made again or opened. `tests/vectors/zmtp-wire/`.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use transport_core::framing::zmtp::{SocketType, Zmtp};
use transport_core::framing::{Control, Event, Framing, FramingFactory as _, Role, Seal, Sealed};
use transport_core::mechanism::{Context, Mechanism as _, Outcome, Step};
use transport_core::{
    Batch, Evidence, FramingError, Limits, Message, Proof, Protection, Refusal, Token, WriteBuffer,
};
use zeroize::Zeroizing;

use super::boxes::SharedKey;
use super::client::{self, Client};
use super::server::{self, Server};
use super::{CurveClient, CurvePublicKey, CurveSecretKey, CurveServer, seal};

const OK: &str = include_str!("../../tests/vectors/zmtp-wire/curve-ok.txt");
const CLIENT_CONNECT: &str = include_str!("../../tests/vectors/zmtp-wire/curve-client-connect.txt");
const WRONG_SERVER_KEY: &str = include_str!("../../tests/vectors/zmtp-wire/curve-wrong-server-key.txt");

/// How long a greeting is: its padding differs.
const GREETING: usize = 64;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// The bytes in one direction.
fn sent(recording: &str, direction: &str) -> Vec<u8> {
    let lines = recording.lines().filter_map(|line| line.strip_prefix(direction));
    lines.flat_map(|line| hex(line.split('#').next().unwrap().trim())).collect()
}

/// The value of a comment line that starts with `name`, as hex digits at its end.
fn value<const N: usize>(recording: &str, name: &str) -> [u8; N] {
    let line = recording.lines().find(|line| line.trim_start_matches(['#', ' ']).starts_with(name)).unwrap();
    hex(line.split_whitespace().last().unwrap()).try_into().unwrap()
}

fn secret(recording: &str, name: &str) -> CurveSecretKey {
    CurveSecretKey::from_bytes(Zeroizing::new(value(recording, name)))
}

fn public(recording: &str, name: &str) -> CurvePublicKey {
    CurvePublicKey::from_bytes(value(recording, name))
}

/// One of our sides, with what it writes.
struct Side {
    role: Role,
    framing: Box<dyn Framing>,
    out: WriteBuffer,
}

impl Side {
    fn dealer(role: Role) -> Side {
        let zmtp = Zmtp::new().with_socket_type(SocketType::Dealer).with_routing_id("cid").unwrap();
        let mut framing = zmtp.framing(role, &["CURVE"], &Limits::default());
        let mut out = WriteBuffer::new();
        framing.start(&mut out);
        framing.choose("CURVE", &mut out);
        Side { role, framing, out }
    }

    fn token(&mut self, input: &mut BytesMut) -> Token {
        match self.framing.decode(input).unwrap() {
            Some(Event::Token(token)) => token,
            other => panic!("a token, not {other:?}"),
        }
    }

    fn offer(&mut self, input: &mut BytesMut) {
        assert!(matches!(self.framing.decode(input), Ok(Some(Event::Offer(name))) if name == "CURVE"));
    }

    /// Takes a step of the mechanism, and writes what it sends.
    fn take(&mut self, step: Result<Step, Refusal>) -> Option<Outcome> {
        let (send, outcome) = match step.unwrap() {
            Step::Send(token) => (Some(token), None),
            Step::Done { send, outcome } => (send, Some(outcome)),
            other => panic!("not {other:?}"),
        };
        if let Some(token) = send {
            self.framing.encode_token(&token, &mut self.out);
        }
        outcome
    }

    /// Calls `step` with this side's context.
    fn with_context<T>(&self, step: impl FnOnce(&Context<'_>) -> T) -> T {
        let (evidence, claims) = (Evidence::new(Protection::None), self.framing.own_claims());
        step(&Context::new(self.role, &evidence, &claims, Instant::now()))
    }
}

#[test]
fn a_client_sends_byte_for_byte_what_libzmq_accepted_and_understands_its_answers() {
    let (server, transient) = (public(OK, "server long-term public"), secret(OK, "client transient secret"));
    let factory = CurveClient::new(secret(OK, "client long-term secret"), server);
    assert_eq!(factory.public_key(), public(OK, "client long-term public"));
    let mut client = Client::new(&factory);
    let mut side = Side::dealer(Role::Client);
    let mut input = BytesMut::from(&sent(OK, "S>C ")[..]);
    side.offer(&mut input);

    let fresh = client::Fresh { transient, vouch_nonce: value(OK, "vouch nonce") };
    assert!(side.take(client.hello(fresh)).is_none());
    let welcome = side.token(&mut input);
    let step = side.with_context(|context| client.step(Some(welcome), context));
    assert!(side.take(step).is_none());
    let ready = side.token(&mut input);
    let step = side.with_context(|context| client.step(Some(ready), context));
    let outcome = side.take(step).expect("it is done");
    assert_eq!(outcome.proofs[..], [Proof::CurveKey(*server.as_bytes())]);
    assert_eq!(outcome.claims.text("socket-type"), Some("DEALER"));

    let limits = Limits::default();
    let mut halves = side.framing.into_halves(outcome.seal, &limits, Instant::now()).unwrap();
    let mut out = side.out;
    halves.encoder.encode("hello".into(), &mut out).unwrap();
    let parts: Message = ["p1", "p2"].into_iter().collect();
    halves.encoder.encode((&parts).into(), &mut out).unwrap();
    let context = Bytes::from_static(b"ctx");
    let ping = Control::Ping { ttl: std::time::Duration::ZERO, context: context.clone() };
    halves.encoder.encode_control(&ping, &mut out);
    // What follows these has numbers that this side would not use.
    assert_eq!(out.to_vec()[GREETING..], sent(OK, "C>S ")[GREETING..out.len()]);

    let expected: Message = ["r1", "r2"].into_iter().collect();
    assert!(matches!(halves.decoder.decode(&mut input), Ok(Some(Event::Message(m))) if m == expected));
    let pong = halves.decoder.decode(&mut input);
    assert!(matches!(pong, Ok(Some(Event::Control(Control::Pong { context: c }))) if c == context));
    assert!(
        matches!(halves.decoder.decode(&mut input), Ok(Some(Event::Message(m))) if m[0] == "x".repeat(300))
    );
    assert!(input.is_empty() && halves.decoder.decode(&mut input).unwrap().is_none());
}

#[test]
fn a_gap_in_the_numbers_is_accepted_and_a_number_that_comes_twice_is_not() {
    let session = SharedKey::new(&public(OK, "opened: S'"), &secret(OK, "client transient secret")).unwrap();
    let limits = Limits::default();
    let framing = Zmtp::new().framing(Role::Server, &["CURVE"], &limits);
    let seal = seal::seal(session, Role::Server, 1, 2);
    let mut halves = framing.into_halves(Some(seal), &limits, Instant::now()).unwrap();
    // Behind the greeting, HELLO and INITIATE.
    let mut input = BytesMut::from(&sent(OK, "C>S ")[GREETING + 202 + 9 + 0x127..]);
    let arrived = input.clone();

    let mut texts = Vec::new();
    let end = loop {
        match halves.decoder.decode(&mut input) {
            Ok(Some(Event::Message(message))) => texts.push(format!("{message:?}")),
            Ok(Some(Event::Control(Control::Ping { context, .. }))) => assert_eq!(context, "ctx"),
            other => break other,
        }
    };
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert!(matches!(end, Err(FramingError::Seal { .. })), "{end:?}");

    // The same when messages are lent where they lie, and in batches.
    let halves = || {
        let session =
            SharedKey::new(&public(OK, "opened: S'"), &secret(OK, "client transient secret")).unwrap();
        let framing = Zmtp::new().framing(Role::Server, &["CURVE"], &limits);
        framing.into_halves(Some(seal::seal(session, Role::Server, 1, 2)), &limits, Instant::now()).unwrap()
    };
    let (mut lending, mut again) = (halves(), Vec::new());
    let mut input = arrived.clone();
    let end = loop {
        let visit =
            &mut |message: transport_core::MessageRef<'_>| again.push(format!("{:?}", message.to_message()));
        match lending.decoder.decode_each(&mut input, visit) {
            Ok(Some(Event::Control(_))) => {}
            other => break other,
        }
    };
    assert_eq!(again, texts);
    assert!(matches!(end, Err(FramingError::Seal { .. })), "{end:?}");

    let (mut batching, mut again) = (halves(), Vec::new());
    let mut input = arrived;
    let end = loop {
        let mut batch = Batch::new();
        let decoded = batching.decoder.decode_batch(&mut input, &mut batch, 10);
        again.extend(batch.map(|message| format!("{message:?}")));
        match decoded {
            Ok(Some(Event::Control(_)) | None) if again.len() <= 3 => {}
            other => break other,
        }
    };
    assert_eq!(again, texts);
    assert!(matches!(end, Err(FramingError::Seal { .. })), "{end:?}");
}

#[test]
fn a_server_sends_byte_for_byte_what_libzmq_accepted_and_understands_its_client() {
    let recording = CLIENT_CONNECT;
    let factory = CurveServer::new(secret(recording, "server long-term secret"));
    assert_eq!(factory.public_key(), public(recording, "server long-term public"));
    let mut server = Server::new(&factory);
    let mut side = Side::dealer(Role::Server);
    let mut input = BytesMut::from(&sent(recording, "C>S ")[..]);
    side.offer(&mut input);

    let hello = side.token(&mut input);
    let fresh = || server::Fresh {
        transient: secret(recording, "server transient secret"),
        welcome_nonce: value(recording, "WELCOME nonce"),
        cookie_nonce: value(recording, "cookie nonce"),
        cookie_key: Zeroizing::new(value(recording, "cookie key")),
    };
    assert!(side.take(server.welcome(&hello.body, fresh)).is_none());
    let initiate = side.token(&mut input);
    let step = side.with_context(|context| server.step(Some(initiate), context));
    let outcome = side.take(step).expect("it is done");
    assert_eq!(outcome.proofs[..], [Proof::CurveKey(value(recording, "client long-term public"))]);
    assert_eq!(outcome.claims.text("identity"), Some("Z"));

    let limits = Limits::default();
    let mut halves = side.framing.into_halves(outcome.seal, &limits, Instant::now()).unwrap();
    let mut out = side.out;
    halves.encoder.encode("yo".into(), &mut out).unwrap();
    assert_eq!(out.to_vec()[GREETING..], sent(recording, "S>C ")[GREETING..]);
    assert!(
        matches!(halves.decoder.decode(&mut input), Ok(Some(Event::Message(m))) if m == Message::from("hi"))
    );
    assert!(input.is_empty());
}

#[test]
fn a_client_that_has_another_key_for_this_server_gets_no_answer() {
    let factory = CurveServer::new(secret(WRONG_SERVER_KEY, "server long-term secret"));
    let mut server = Server::new(&factory);
    let mut side = Side::dealer(Role::Server);
    let mut input = BytesMut::from(&sent(WRONG_SERVER_KEY, "C>S ")[..]);
    side.offer(&mut input);
    let before = side.out.len();
    let hello = side.token(&mut input);
    let refusal = side.with_context(|context| server.step(Some(hello), context)).unwrap_err();
    assert!(matches!(refusal, Refusal::Malformed { token: "HELLO", .. }), "{refusal}");
    assert_eq!(side.out.len(), before);
}

/// Both sides of one exchange, with an INITIATE in between that the test may alter.
struct Exchange {
    server: Server,
    initiate: Bytes,
    session: SharedKey,
    client: CurveSecretKey,
    transient: CurveSecretKey,
    server_key: CurvePublicKey,
}

impl Exchange {
    fn up_to_initiate() -> Exchange {
        let (fixed, secret_server) = (Zeroizing::new([3; 32]), CurveSecretKey::generate());
        let (client_key, transient) = (Zeroizing::new([1; 32]), Zeroizing::new([2; 32]));
        let server_key = secret_server.public_key();
        let mut server = Server::new(&CurveServer::new(secret_server));
        let mut client =
            Client::new(&CurveClient::new(CurveSecretKey::from_bytes(client_key.clone()), server_key));
        let key = |bytes: &Zeroizing<[u8; 32]>| CurveSecretKey::from_bytes(bytes.clone());

        let Ok(Step::Send(hello)) =
            client.hello(client::Fresh { transient: key(&transient), vouch_nonce: [7; 16] })
        else {
            panic!("HELLO")
        };
        let fresh = || server::Fresh {
            transient: key(&fixed),
            welcome_nonce: [8; 16],
            cookie_nonce: [9; 16],
            cookie_key: Zeroizing::new([4; 32]),
        };
        let Ok(Step::Send(welcome)) = server.welcome(&hello.body, fresh) else { panic!("WELCOME") };
        let step = Side::dealer(Role::Client).with_context(|context| client.step(Some(welcome), context));
        let Ok(Step::Send(initiate)) = step else { panic!("INITIATE") };
        let session = SharedKey::new(&key(&fixed).public_key(), &key(&transient)).unwrap();
        Exchange {
            server,
            initiate: initiate.body,
            session,
            client: key(&client_key),
            transient: key(&transient),
            server_key,
        }
    }

    fn prove(&self, initiate: &[u8]) -> Result<(), Refusal> {
        self.server.prove(initiate, &SharedKey::from_bytes(Zeroizing::new([4; 32])), 1).map(|_| ())
    }

    fn answer(&mut self, initiate: Vec<u8>) -> Result<Step, Refusal> {
        let token = Token::new("INITIATE", initiate);
        Side::dealer(Role::Server).with_context(|context| self.server.step(Some(token), context))
    }

    /// An INITIATE with this vouch and these keys in it.
    fn initiate(
        &self,
        claimed: &CurvePublicKey,
        vouching: &CurveSecretKey,
        vouched: [&CurvePublicKey; 2],
    ) -> Vec<u8> {
        let server = CurveSecretKey::from_bytes(Zeroizing::new([3; 32])).public_key();
        let vouching = SharedKey::new(&server, vouching).unwrap();
        let vouched = vouched.map(|key| *key.as_bytes()).concat();
        let mut content = claimed.as_bytes().to_vec();
        content.extend_from_slice(&[7; 16]);
        content.extend_from_slice(&vouching.seal(&super::boxes::random(b"VOUCH---", &[7; 16]), &vouched));
        let mut body = self.initiate[..96].to_vec();
        body.extend_from_slice(&2u64.to_be_bytes());
        let nonce = super::boxes::numbered(b"CurveZMQINITIATE", 2);
        body.extend_from_slice(&self.session.seal(&nonce, &content));
        body
    }
}

#[test]
fn an_initiate_that_is_altered_anywhere_is_refused() {
    let mut exchange = Exchange::up_to_initiate();
    let whole = exchange.initiate.to_vec();
    for i in 0..whole.len() {
        let mut altered = whole.clone();
        altered[i] ^= 1;
        let mut exchange = Exchange::up_to_initiate();
        assert!(exchange.answer(altered).is_err(), "byte {i}");
    }
    for cut in 0..whole.len() {
        assert!(Exchange::up_to_initiate().answer(whole[..cut].to_vec()).is_err(), "cut at {cut}");
    }
    assert!(matches!(exchange.answer(whole), Ok(Step::Done { .. })));
}

#[test]
fn a_vouch_must_be_made_with_the_key_named_for_this_connection_and_for_this_server() {
    let exchange = Exchange::up_to_initiate();
    let (client, transient) = (exchange.client.public_key(), exchange.transient.public_key());
    let (secret, server) = (&exchange.client, exchange.server_key);
    let stranger = CurveSecretKey::generate();
    let good = exchange.initiate(&client, secret, [&transient, &server]);
    for (initiate, what) in [
        (exchange.initiate(&client, &stranger, [&transient, &server]), "made with another key"),
        (exchange.initiate(&stranger.public_key(), secret, [&transient, &server]), "names another key"),
        (exchange.initiate(&client, secret, [&client, &server]), "for another connection"),
        (exchange.initiate(&client, secret, [&transient, &stranger.public_key()]), "for another server"),
    ] {
        assert!(exchange.prove(&initiate).is_err(), "{what}");
    }
    assert!(exchange.prove(&good).is_ok());
}

#[test]
fn the_number_of_initiate_must_be_greater_than_that_of_hello() {
    let exchange = Exchange::up_to_initiate();
    let key = SharedKey::from_bytes(Zeroizing::new([4; 32]));
    assert!(exchange.server.prove(&exchange.initiate, &key, 1).is_ok());
    assert!(exchange.server.prove(&exchange.initiate, &key, 2).is_err());
}

/// A sealed frame as the client of a session would send it.
fn frame(seal: &mut Seal, more: bool, command: bool, content: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    seal.sealer.seal(Sealed { more, command, content }, &mut body);
    let mut frame = vec![2];
    frame.extend_from_slice(&(body.len() as u64).to_be_bytes());
    frame.extend_from_slice(&body);
    frame
}

#[test]
fn limits_hold_after_opening_over_all_parts_together() {
    let limits = Limits::default().with_message(1000).with_parts(3);
    let pair = || {
        let key = SharedKey::from_bytes(Zeroizing::new([6; 32]));
        let framing = Zmtp::new().framing(Role::Server, &["CURVE"], &limits);
        let server = seal::seal(key.clone(), Role::Server, 1, 2);
        (
            seal::seal(key, Role::Client, 2, 1),
            framing.into_halves(Some(server), &limits, Instant::now()).unwrap().decoder,
        )
    };
    let decode = |bytes: Vec<u8>, decoder: &mut Box<dyn transport_core::framing::MessageDecoder>| {
        decoder.decode(&mut BytesMut::from(&bytes[..]))
    };
    let (mut client, mut decoder) = pair();
    assert!(decode(frame(&mut client, false, false, &[0; 984]), &mut decoder).unwrap().is_some());
    assert!(decode(frame(&mut client, true, false, &[0; 484]), &mut decoder).unwrap().is_none());
    assert!(decode(frame(&mut client, false, false, &[0; 484]), &mut decoder).unwrap().is_some());
    let (mut client, mut decoder) = pair();
    let error = decode(frame(&mut client, false, false, &[0; 985]), &mut decoder).unwrap_err();
    assert!(matches!(error, FramingError::TooLarge { .. }), "{error}");
    let (mut client, mut decoder) = pair();
    let parts = [true, true, true].map(|more| frame(&mut client, more, false, b"")).concat();
    assert!(decode(parts, &mut decoder).unwrap().is_none());
    let fourth = frame(&mut client, false, false, b"");
    assert_eq!(decode(fourth, &mut decoder).unwrap_err(), FramingError::TooManyParts { limit: 3 });
    // Announced too much, and nothing of it sent.
    let announced = [&[2][..], &(1u64 << 40).to_be_bytes()].concat();
    assert!(matches!(decode(announced, &mut pair().1), Err(FramingError::TooLarge { .. })));
    // Marked as a part outside.
    let (mut client, mut decoder) = pair();
    let mut marked = frame(&mut client, false, false, b"x");
    marked[0] |= 1;
    assert!(matches!(decode(marked, &mut decoder), Err(FramingError::Seal { .. })));
    // The flag COMMAND outside is what the RFC asks for.
    let (mut client, mut decoder) = pair();
    let mut marked = frame(&mut client, false, false, b"x");
    marked[0] |= 4;
    assert!(matches!(decode(marked, &mut decoder), Ok(Some(Event::Message(_)))));
    // A frame in clear.
    assert!(matches!(decode(b"\x00\x05hello".to_vec(), &mut pair().1), Err(FramingError::Seal { .. })));
}
