//! CURVE, through sockets: wrong keys, and a man in the middle who alters, repeats, reorders and cuts frames.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use transport_core::Policy;
use transport_zmq::curve::{CurveClient, CurvePublicKey, CurveSecretKey, CurveServer};
use transport_zmq::{Disconnected, PullSocket, PushSocket, Security, SocketConfig, SocketEvent};

use crate::common::{config, event, port, secured, tcp, within};

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

const SENT: [&str; 3] = ["one", "two", "three"];

/// What happens to the frames of one side. A client's: HELLO is number 0, INITIATE number 1, messages follow. A server's:
/// WELCOME is number 0, READY number 1.
#[derive(Clone, Copy, Debug)]
enum Middle {
    Repeat(usize),
    Alter(usize),
    Swap(usize),
    Cut(usize),
    Lengthen(usize),
    Huge(usize),
}

impl Middle {
    const ALL: [Middle; 15] = [
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
    ];

    /// The frame that it touches.
    fn at(self) -> usize {
        match self {
            Middle::Repeat(at)
            | Middle::Alter(at)
            | Middle::Swap(at)
            | Middle::Cut(at)
            | Middle::Lengthen(at)
            | Middle::Huge(at) => at,
        }
    }

    /// What the other side says of it.
    fn reason(self, from: From) -> &'static str {
        let client = from == From::Client;
        match self {
            Middle::Huge(_) => "the peer announced 1099511627776 bytes",
            Middle::Repeat(0) if client => "HELLO where INITIATE belongs",
            Middle::Repeat(0) => "WELCOME where READY belongs",
            Middle::Repeat(_) | Middle::Swap(_) => "a replay",
            touched => match touched.at() {
                0 if client => "malformed HELLO",
                0 => "malformed WELCOME",
                1 if client => "malformed INITIATE: its box does not open",
                1 => "malformed READY: its box does not open",
                _ => "its box does not open",
            },
        }
    }
}

/// Whose frames are touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Client,
    Server,
}

/// Goes between one client and the server at this port.
async fn relay(to: u16, from: From, middle: Middle) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
        let (touched, other) = if from == From::Client { (client, server) } else { (server, client) };
        let (touched, mut back) = touched.into_split();
        let (mut whole, out) = other.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut whole, &mut back).await });
        touch(touched, out, middle).await;
    });
    port
}

/// Passes the greeting on as it is, and then frames.
async fn touch(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, middle: Middle) {
    let mut greeting = [0; 64];
    from.read_exact(&mut greeting).await.unwrap();
    to.write_all(&greeting).await.unwrap();
    let mut held = Vec::new();
    for number in 0.. {
        let Ok(flags) = from.read_u8().await else { return };
        let length = if flags & 2 == 0 {
            u64::from(from.read_u8().await.unwrap())
        } else {
            from.read_u64().await.unwrap()
        };
        let mut body = vec![0; usize::try_from(length).unwrap()];
        from.read_exact(&mut body).await.unwrap();
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
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn whatever_a_man_in_the_middle_does_to_frames_is_noticed_and_told() {
    for middle in Middle::ALL {
        let good = CurveSecretKey::generate();
        let (mut pull, port, key) = bound(good.public_key().policy()).await;
        let through = relay(port, From::Client, middle).await;
        let mut push = PushSocket::new(&tcp(), connecting(good, key));
        push.connect(&*format!("tcp://127.0.0.1:{through}")).unwrap();
        let mut events = pull.events();
        for text in SENT {
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
        assert_eq!(let_in, middle.at() > 1, "{middle:?}: {reason}");
        assert!(reason.contains(middle.reason(From::Client)), "{middle:?}: {reason}");
        // What arrived before is whole and in order, and nothing that was touched is among it.
        let mut received = Vec::new();
        while let Some(message) = pull.try_recv() {
            received.push(message.to_text().unwrap().to_owned());
        }
        assert!(are_some_in_order(&received), "{middle:?} {received:?}");
    }
}

/// The server sends here. The first frame behind its greeting is WELCOME, then come READY and its messages.
#[tokio::test]
async fn a_client_notices_whatever_a_man_in_the_middle_does_to_the_frames_of_its_server() {
    for middle in Middle::ALL {
        let (good, server) = (CurveSecretKey::generate(), CurveSecretKey::generate());
        let key = server.public_key();
        let allowed = Security::new(good.public_key().policy()).with_mechanism(CurveServer::new(server));
        let mut push = PushSocket::new(&tcp(), secured(allowed));
        let bound = push.bind("tcp://127.0.0.1:0").await.unwrap();
        let through = relay(port(&bound), From::Server, middle).await;
        let mut pull = PullSocket::new(&tcp(), connecting(good, key));
        pull.connect(&*format!("tcp://127.0.0.1:{through}")).unwrap();
        let mut events = pull.events();
        let sending = tokio::spawn(async move {
            for text in SENT {
                push.send(text).await.unwrap();
            }
            push
        });
        let end = event(&mut events, |event| match event {
            SocketEvent::ConnectFailed { error, .. } => Some((false, error.to_string())),
            SocketEvent::Disconnected { reason: Disconnected::Receive(reason), .. } => {
                Some((true, reason.to_string()))
            }
            _ => None,
        });
        let (let_in, reason) = end.await;
        assert_eq!(let_in, middle.at() > 1, "{middle:?}: {reason}");
        assert!(reason.contains(middle.reason(From::Server)), "{middle:?}: {reason}");
        let mut received = Vec::new();
        while let Some(message) = pull.try_recv() {
            received.push(message.to_text().unwrap().to_owned());
        }
        assert!(are_some_in_order(&received), "{middle:?} {received:?}");
        sending.abort();
    }
}

/// Whether these are whole messages of those that were sent, in order.
fn are_some_in_order(received: &[String]) -> bool {
    SENT.iter().filter(|text| received.contains(&(**text).to_owned())).eq(received.iter())
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
