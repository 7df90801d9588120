//! What the fuzz target for CURVE checks. Not part of the API.

use std::time::Instant;

use bytes::BytesMut;
use transport_core::framing::zmtp::Zmtp;
use transport_core::framing::{Event, FramingFactory as _, Role, Sealed};
use transport_core::mechanism::{Context, Mechanism as _, Step};
use transport_core::{Claims, Evidence, Limits, Protection, Token};
use zeroize::Zeroizing;

use super::boxes::{SharedKey, numbered};
use super::client::{self, COOKIE, Client};
use super::server::{self, Server};
use super::{CurveClient, CurveSecretKey, CurveServer, seal};

/// No bytes of a peer panic, in the clear or inside of boxes that open; the first byte chooses what they stand for.
pub fn curve(bytes: &[u8]) {
    let Some((&choice, bytes)) = bytes.split_first() else {
        return;
    };
    match choice % 5 {
        0 => drop(answer_of_server(Token::new("HELLO", bytes.to_vec()))),
        1 => initiate(|cookie, _| [cookie, bytes].concat()),
        2 => initiate(|cookie, session| {
            let sealed = session.seal(&numbered(b"CurveZMQINITIATE", 2), bytes);
            [cookie, &2u64.to_be_bytes(), &sealed].concat()
        }),
        3 => {
            let mut client = Client::new(&CurveClient::new(key(1), key(5).public_key()));
            let fresh = client::Fresh { transient: key(2), vouch_nonce: [7; 16] };
            assert!(client.hello(fresh).is_ok());
            let nonce = [8; 16];
            let hello = shared(5, 2);
            let sealed = hello.seal(&super::boxes::random(b"WELCOME-", &nonce), bytes);
            let welcome = Token::new("WELCOME", [&nonce, &sealed[..]].concat());
            let _ = with_context(Role::Client, |context| client.step(Some(welcome), context));
        }
        _ => message(bytes),
    }
}

/// Frames with these contents, cut by their first bytes: what is sealed opens to the same.
fn message(mut bytes: &[u8]) {
    let limits = Limits::default();
    let session = shared(1, 2);
    let mut sealer = seal::seal(session.clone(), Role::Client, 2, 1).sealer;
    let opener = seal::seal(session, Role::Server, 1, 2);
    let framing = Zmtp::new().framing(Role::Server, &["CURVE"], &limits);
    let Ok(mut halves) = framing.into_halves(Some(opener), &limits, Instant::now()) else {
        unreachable!("ZMTP carries a seal")
    };
    let mut input = BytesMut::new();
    let mut sent = Vec::new();
    while let Some((&first, rest)) = bytes.split_first() {
        let (content, rest) = rest.split_at(rest.len().min(usize::from(first >> 2)));
        bytes = rest;
        let (more, command) = (first & 1 != 0, first & 2 != 0);
        let mut body = Vec::new();
        sealer.seal(Sealed { more, command, content }, &mut body);
        input.extend_from_slice(&[0, u8::try_from(body.len()).unwrap_or(u8::MAX)]);
        input.extend_from_slice(&body);
        if !command {
            sent.push(content);
        }
    }
    let mut received = Vec::new();
    loop {
        match halves.decoder.decode(&mut input) {
            Ok(Some(Event::Message(message))) => received.extend(message.into_parts()),
            Ok(Some(_)) => {}
            Ok(None) => break,
            // A malformed PING inside.
            Err(_) => return,
        }
    }
    assert_eq!(received[..], sent[..received.len()]);
}

/// Gives the server an INITIATE that `make` makes of its cookie and the key of the session.
fn initiate(make: impl FnOnce(&[u8], &SharedKey) -> Vec<u8>) {
    let hello = {
        let mut client = Client::new(&CurveClient::new(key(1), key(5).public_key()));
        match client.hello(client::Fresh { transient: key(2), vouch_nonce: [7; 16] }) {
            Ok(Step::Send(hello)) => hello,
            other => unreachable!("a client sends HELLO: {other:?}"),
        }
    };
    let Some((mut server, welcome)) = answer_of_server(hello) else { unreachable!("the HELLO is right") };
    let (nonce, sealed) = welcome.body.split_first_chunk().expect("WELCOME begins with a nonce");
    let opened =
        shared(5, 2).open(&super::boxes::random(b"WELCOME-", nonce), sealed).expect("it is for this client");
    let cookie = &opened[opened.len() - COOKIE..];
    let token = Token::new("INITIATE", make(cookie, &shared(3, 2)));
    let done = with_context(Role::Server, |context| server.step(Some(token), context));
    assert!(done.is_err(), "no one without the key 1 can vouch for it");
}

fn answer_of_server(hello: Token) -> Option<(Server, Token)> {
    let mut server = Server::new(&CurveServer::new(key(5)));
    let fresh = || server::Fresh {
        transient: key(3),
        welcome_nonce: [8; 16],
        cookie_nonce: [9; 16],
        cookie_key: Zeroizing::new([4; 32]),
    };
    match server.welcome(&hello.body, fresh) {
        Ok(Step::Send(welcome)) => Some((server, welcome)),
        _ => None,
    }
}

fn key(fill: u8) -> CurveSecretKey {
    CurveSecretKey::from_bytes(Zeroizing::new([fill; 32]))
}

fn shared(public: u8, secret: u8) -> SharedKey {
    SharedKey::new(&key(public).public_key(), &key(secret)).expect("these are keys")
}

fn with_context<T>(role: Role, step: impl FnOnce(&Context<'_>) -> T) -> T {
    step(&Context::new(role, &Evidence::new(Protection::None), &Claims::new(), Instant::now()))
}
