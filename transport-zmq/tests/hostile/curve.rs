//! CURVE, through sockets: wrong keys, and a man in the middle who alters, repeats, reorders and cuts frames.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use transport_core::tcp::TcpTransport;
use transport_core::{Policy, Transports};
use transport_zmq::curve::{CurveClient, CurvePublicKey, CurveSecretKey, CurveServer};
use transport_zmq::{Disconnected, PullSocket, PushSocket, Security, SocketConfig, SocketEvent};

use crate::common::{config, event, port, within};

fn tcp() -> Transports {
    Transports::new().with(TcpTransport::new())
}

fn secured(security: Security) -> SocketConfig {
    let mut config = config();
    config.security = security;
    config
}

fn connecting(secret: CurveSecretKey, server: CurvePublicKey) -> SocketConfig {
    secured(Security::new(server.policy()).with_mechanism(CurveClient::new(secret, server)))
}

/// A PULL that lets this client in, the socket's port, and the server's key.
async fn bound(allowed: Policy) -> (PullSocket, u16, CurvePublicKey) {
    let server = CurveSecretKey::generate();
    let key = server.public_key();
    let pull =
        PullSocket::new(&tcp(), secured(Security::new(allowed).with_mechanism(CurveServer::new(server))));
    let address = pull.bind("tcp://127.0.0.1:0").await.unwrap();
    (pull, port(&address), key)
}

async fn refusal(socket: &PullSocket) -> String {
    event(&mut socket.events(), |event| match event {
        SocketEvent::HandshakeFailed { reason, .. } => Some(reason.to_string()),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_wrong_server_key_and_an_unknown_client_key_are_refused_and_a_good_client_is_served() {
    let good = CurveSecretKey::generate();
    let good_key = good.public_key();
    let (mut pull, port, key) = bound(good_key.policy()).await;
    let place = format!("tcp://127.0.0.1:{port}");
    let mut push = PushSocket::new(&tcp(), connecting(good, key));
    push.connect(&*place).unwrap();
    push.send("one").await.unwrap();
    let (message, peer) = within(pull.recv_from()).await;
    assert_eq!(message.to_text(), Some("one"));
    assert_eq!(peer.identity().to_string(), format!("curve:{}", good_key.to_hex()));

    let mut wrong = PushSocket::new(
        &tcp(),
        connecting(CurveSecretKey::generate(), CurveSecretKey::generate().public_key()),
    );
    wrong.connect(&*place).unwrap();
    wrong.try_send("never").unwrap();
    assert!(refusal(&pull).await.contains("HELLO"));
    drop(wrong);
    let mut unknown = PushSocket::new(&tcp(), connecting(CurveSecretKey::generate(), key));
    unknown.connect(&*place).unwrap();
    unknown.try_send("never").unwrap();
    let mut events = pull.events();
    event(&mut events, |event| match event {
        SocketEvent::HandshakeFailed { reason, .. } => reason.to_string().contains("curve:").then_some(()),
        _ => None,
    })
    .await;
    push.send("two").await.unwrap();
    assert_eq!(within(pull.recv()).await.to_text(), Some("two"));
}

/// What happens to the client's frames: HELLO is number 0, INITIATE number 1, messages follow.
#[derive(Clone, Copy, Debug)]
enum Middle {
    Repeat(usize),
    Alter(usize),
    Swap(usize),
    Cut(usize),
    Lengthen(usize),
    Huge(usize),
}

async fn relay(to: u16, middle: Middle) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        let mut greeting = [0; 64];
        from_client.read_exact(&mut greeting).await.unwrap();
        to_server.write_all(&greeting).await.unwrap();
        let mut held = Vec::new();
        for number in 0.. {
            let Ok(flags) = from_client.read_u8().await else { return };
            let length = if flags & 2 == 0 {
                u64::from(from_client.read_u8().await.unwrap())
            } else {
                from_client.read_u64().await.unwrap()
            };
            let mut body = vec![0; usize::try_from(length).unwrap()];
            from_client.read_exact(&mut body).await.unwrap();
            let frame = |body: &[u8]| [&[flags | 2][..], &(body.len() as u64).to_be_bytes(), body].concat();
            let bytes = match middle {
                Middle::Repeat(at) if at == number => [frame(&body), frame(&body)].concat(),
                Middle::Alter(at) if at == number => {
                    *body.last_mut().unwrap() ^= 1;
                    frame(&body)
                }
                Middle::Swap(at) if at == number => {
                    held = frame(&body);
                    continue;
                }
                Middle::Swap(_) => [frame(&body), std::mem::take(&mut held)].concat(),
                Middle::Cut(at) if at == number => frame(&body[..body.len() - 1]),
                Middle::Lengthen(at) if at == number => frame(&[&body[..], b"x"].concat()),
                Middle::Huge(at) if at == number => {
                    [&[flags | 2][..], &(1u64 << 40).to_be_bytes(), &body].concat()
                }
                _ => frame(&body),
            };
            if to_server.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    port
}

#[tokio::test]
async fn whatever_a_man_in_the_middle_does_to_frames_is_noticed_and_told() {
    for middle in [
        Middle::Alter(0),
        Middle::Cut(0),
        Middle::Lengthen(0),
        Middle::Huge(0),
        Middle::Repeat(0),
        Middle::Alter(1),
        Middle::Cut(1),
        Middle::Lengthen(1),
        Middle::Huge(1),
        Middle::Repeat(2),
        Middle::Alter(3),
        Middle::Swap(3),
        Middle::Cut(3),
        Middle::Lengthen(3),
        Middle::Huge(3),
    ] {
        let good = CurveSecretKey::generate();
        let (mut pull, port, key) = bound(good.public_key().policy()).await;
        let through = relay(port, middle).await;
        let mut push = PushSocket::new(&tcp(), connecting(good, key));
        push.connect(&*format!("tcp://127.0.0.1:{through}")).unwrap();
        let mut events = pull.events();
        for text in ["one", "two", "three"] {
            push.send(text).await.unwrap();
        }
        let end = event(&mut events, |event| match event {
            SocketEvent::HandshakeFailed { reason, .. } => Some((false, reason.to_string())),
            SocketEvent::Disconnected { reason: Disconnected::Receive(reason), .. } => {
                Some((true, reason.to_string()))
            }
            _ => None,
        });
        let (let_in, reason) = end.await;
        let (Middle::Repeat(at) | Middle::Alter(at) | Middle::Swap(at)) = middle else {
            let (Middle::Cut(at) | Middle::Lengthen(at) | Middle::Huge(at)) = middle else { unreachable!() };
            assert_eq!(let_in, at > 1, "{middle:?}: {reason}");
            continue;
        };
        assert_eq!(let_in, at > 1, "{middle:?}: {reason}");
        // What arrived before is whole and in order, and nothing that was touched is among it.
        let mut received = Vec::new();
        while let Ok(message) = tokio::time::timeout(Duration::from_millis(30), pull.recv()).await {
            received.push(message.to_text().unwrap().to_owned());
        }
        assert!(
            ["one", "two", "three"]
                .iter()
                .filter(|text| received.contains(&(**text).to_owned()))
                .eq(received.iter()),
            "{middle:?} {received:?}"
        );
    }
}

/// Two listeners of one socket, each with its own rules.
#[tokio::test]
async fn listeners_of_one_socket_with_different_security_keep_to_their_own() {
    let (server, client, other) =
        (CurveSecretKey::generate(), CurveSecretKey::generate(), CurveSecretKey::generate());
    let (server_key, client_key) = (server.public_key(), client.public_key());
    let mut pull = PullSocket::new(
        &tcp(),
        secured(Security::new(client_key.policy()).with_mechanism(CurveServer::new(server))),
    );
    let sealed = pull.bind("tcp://127.0.0.1:0").await.unwrap();
    let open = pull.bind_with("tcp://127.0.0.1:0", Security::new(Policy::danger_anyone())).await.unwrap();
    let known = connecting(client, server_key);
    for (config, place, expected) in [
        (known.clone(), &sealed, Some(format!("curve:{}", client_key.to_hex()))),
        (known, &open, None),
        (config(), &open, Some("anonymous".to_owned())),
        (config(), &sealed, None),
        (connecting(other, server_key), &sealed, None),
    ] {
        let mut push = PushSocket::new(&tcp(), config);
        push.connect(place).unwrap();
        push.try_send("hello").unwrap();
        if let Some(expected) = expected {
            let (_, peer) = within(pull.recv_from()).await;
            assert_eq!((peer.identity().to_string(), peer.endpoint()), (expected, place));
        } else {
            refusal(&pull).await;
            assert!(pull.try_recv().is_none());
        }
    }
}
