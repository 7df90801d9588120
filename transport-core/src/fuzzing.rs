//! What the fuzz targets check: for `fuzz/` and the test that replays its corpus. Not part of the API.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::address::Address;
use crate::batch::Batch;
use crate::claims::Claims;
use crate::evidence::{Evidence, Protection};
use crate::framing::zmtp::Zmtp;
use crate::framing::{Event, FramingFactory as _, Role, Token};
use crate::handshake::{Handshake, HandshakeConfig, Progress};
use crate::limits::Limits;
use crate::mechanism::scram::{AccountStore, Lookup, ScramClient, ScramServer};
use crate::mechanism::{
    Context, MechanismFactory as _, Null, Passwords, PlainClient, PlainServer, SharedMechanism, Step,
};
use crate::message::Message;
use crate::policy::Policy;
use crate::write_buffer::WriteBuffer;

/// No text panics, and what parses prints and parses to the same.
pub fn address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string().parse::<Address>().as_ref(), Ok(&address), "{text:?}");
    }
}

/// No answers of a proxy panic or make this side hold more than it may; the first byte chooses the protocol.
pub fn proxy_answers(bytes: &[u8]) {
    if let Some((&choice, answers)) = bytes.split_first() {
        crate::tcp::fuzz_proxy(choice & 1 == 1, answers);
    }
}

/// No message panics the two readers of calls, and none is taken for what both sides may send: whichever reads it, its head is
/// 9 bytes long. Of the bytes the first says how long the head part is; the rest are two parts, or one.
pub fn calls(bytes: &[u8]) {
    let Some((&length, bytes)) = bytes.split_first() else {
        return;
    };
    let head = &bytes[..usize::from(length).min(bytes.len())];
    let parts = [head, &bytes[head.len()..]].into_iter().map(bytes::Bytes::copy_from_slice);
    let message: Message = parts.take(1 + usize::from(bytes.len() > head.len())).collect();
    let read = crate::call::read_as_either((&message).into());
    assert!(read < 2, "a message is of one side or of none: {message:?}");
    assert!(read == 0 || head.len() == 9, "{message:?}");
}

/// No bytes of an unauthenticated peer panic, whatever the role and mechanism; the first byte chooses those and how the
/// bytes are cut. What is sent in return stays small.
pub fn zmtp_handshake(bytes: &[u8]) {
    let Some((&choice, bytes)) = bytes.split_first() else {
        return;
    };
    let role = if choice & 1 == 0 { Role::Server } else { Role::Client };
    let plain: SharedMechanism = match role {
        Role::Server => Arc::new(PlainServer::new(Passwords::new().with_user("a", "b"))),
        Role::Client => match PlainClient::new("a", "b") {
            Ok(client) => Arc::new(client),
            Err(error) => unreachable!("{error}"),
        },
    };
    let mechanisms = if choice & 2 == 0 { vec![Arc::new(Null) as SharedMechanism] } else { vec![plain] };
    let limits = Limits::default().with_descriptors(1);
    let config = HandshakeConfig {
        role,
        mechanisms,
        framing: Arc::new(Zmtp::new()),
        policy: Policy::danger_anyone(),
        admission: None,
        limits: limits.clone(),
        danger_plaintext: true,
        spin: Duration::ZERO,
    };
    let now = Instant::now();
    let evidence = Evidence::new(Protection::Loopback);
    let mut handshake = Handshake::new(Arc::new(config), evidence, Claims::new());
    handshake.offer_descriptors();
    let mut out = WriteBuffer::new();
    let mut input = BytesMut::new();
    if handshake.start(&mut out, now).is_err() {
        return;
    }
    for piece in bytes.chunks(1 + usize::from(choice >> 2)) {
        input.extend_from_slice(piece);
        match handshake.receive(&mut input, &mut out, now) {
            Ok(Progress::More) => {}
            Ok(Progress::Wait | Progress::Complete(_)) | Err(_) => break,
        }
        assert!(input.len() <= limits.handshake_frame + 64, "bytes gather before authentication");
        assert!(handshake.room(&input) > 0, "the handshake would wait for ever");
    }
    assert!(out.len() < 2048, "a stranger gets little in return");
}

/// No bytes panic in SCRAM's messages, and nobody logs in without the password. The first byte chooses the side and the
/// form; the rest, cut at the first line break, is the peer's two messages, in which `%` stands for this side's nonce.
pub fn scram(bytes: &[u8]) {
    let Some((&choice, bytes)) = bytes.split_first() else {
        return;
    };
    let cut = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let (first, last) = (&bytes[..cut], bytes.get(cut + 1..).unwrap_or_default());
    let token = |name: &str, text: &[u8], nonce: &str| {
        let text = String::from_utf8_lossy(text).replace('%', nonce);
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
        let length = if choice & 2 == 0 { &length[..] } else { &[] };
        Some(Token::new(name.to_owned(), [length, text.as_bytes()].concat()))
    };
    let (evidence, claims) = (Evidence::new(Protection::SameHost), Claims::new());
    let (role, names) = match choice & 1 {
        0 => (Role::Server, ["HELLO", "INITIATE"]),
        _ => (Role::Client, ["WELCOME", "READY"]),
    };
    let mut mechanism = match role {
        Role::Server => ScramServer::new(AnyUser).mechanism(role),
        Role::Client => match KEYS.parse().and_then(|keys| ScramClient::from_keys("user", keys)) {
            Ok(client) => client.mechanism(role),
            Err(error) => unreachable!("{error}"),
        },
    };
    let context = Context::new(role, &evidence, &claims, Instant::now());
    let mut nonce = String::new();
    let mut received = None;
    for name in [None, Some((names[0], first)), Some((names[1], last))] {
        if let Some((name, text)) = name {
            received = token(name, text, &nonce);
        }
        match mechanism.step(received.take(), &context) {
            Ok(Step::Send(sent)) => {
                assert!(sent.body.len() < 4096, "a stranger gets little in return");
                let text = String::from_utf8_lossy(&sent.body);
                let after = text.split_once("r=").map_or("", |(_, after)| after);
                nonce = after.split(',').next().unwrap_or_default().to_owned();
            }
            Ok(Step::Expect) => {}
            Ok(Step::Done { outcome, .. }) => unreachable!("{outcome:?} without the password"),
            Ok(Step::Wait) | Err(_) => return,
        }
    }
}

const KEYS: &str = "SCRAM-SHA-256-CLIENT$4096:c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const VERIFIER: &str = "SCRAM-SHA-256$4096:c2FsdHNhbHQ=$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Knows every user with a short name.
struct AnyUser;

impl AccountStore for AnyUser {
    fn lookup(&self, user: &str) -> Lookup {
        assert!((1..=1024).contains(&user.len()), "a name of {} bytes", user.len());
        match VERIFIER.parse() {
            Ok(verifier) => Lookup::Now((user.len() < 8).then_some(verifier)),
            Err(error) => unreachable!("{error}"),
        }
    }

    fn secret(&self) -> &[u8] {
        b"sixteen bytes or more"
    }
}

/// No bytes panic; cutting them, lending and taking whole batches give the same messages; encoding what was decoded and
/// decoding it again does too.
pub fn zmtp_decoder(bytes: &[u8]) {
    let Some((&choice, bytes)) = bytes.split_first() else {
        return;
    };
    let whole = decode(&[bytes]);
    let cut = bytes.len() * usize::from(choice) / 256;
    assert_eq!(decode(&[&bytes[..cut], &bytes[cut..]]), whole);
    let mut lent = Vec::new();
    let mut halves = halves();
    let mut input = BytesMut::from(bytes);
    let error = loop {
        match halves.decoder.decode_each(&mut input, &mut |message| lent.push(message.to_message())) {
            Ok(Some(_)) => {}
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        }
    };
    assert_eq!((&lent, &error), (&whole.0, &whole.1));
    assert_eq!(decode_batches(&[&bytes[..cut], &bytes[cut..]], 1 + usize::from(choice & 7)), whole);

    let mut out = WriteBuffer::new();
    for message in &lent {
        assert!(halves.encoder.encode(message.into(), &mut out).is_ok());
    }
    assert_eq!(decode(&[&out.to_vec()]), (lent, None));
}

fn decode(pieces: &[&[u8]]) -> (Vec<Message>, Option<String>) {
    let mut halves = halves();
    let mut input = BytesMut::new();
    let mut messages = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match halves.decoder.decode(&mut input) {
                Ok(Some(Event::Message(message))) => messages.push(message),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return (messages, Some(error.to_string())),
            }
        }
    }
    (messages, None)
}

/// As `decode`, in batches of up to `max` messages.
fn decode_batches(pieces: &[&[u8]], max: usize) -> (Vec<Message>, Option<String>) {
    let mut halves = halves();
    let mut input = BytesMut::new();
    let mut messages = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let mut batch = Batch::new();
            let decoded = halves.decoder.decode_batch(&mut input, &mut batch, max);
            let count = batch.len();
            assert!(count <= max, "{count} messages where {max} were asked for");
            messages.extend(batch);
            match decoded {
                Ok(None) if count == 0 => break,
                Ok(_) => {}
                Err(error) => return (messages, Some(error.to_string())),
            }
        }
    }
    (messages, None)
}

fn halves() -> crate::framing::Halves {
    let limits =
        Limits::default().with_message(1 << 16).with_parts(16).with_ping_after(Duration::from_secs(1));
    let framing = Zmtp::new().framing(Role::Server, &["NULL"], &limits);
    match framing.into_halves(None, &limits, Instant::now()) {
        Ok(halves) => halves,
        Err(error) => unreachable!("ZMTP without a seal can always be split: {error}"),
    }
}
