//! CURVE over real connections: who gets in, what is carried, and what a man in the middle can do.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::future::{Future, IntoFuture as _};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use transport_core::mechanism::Verdict;
use transport_core::tcp::TcpTransport;
use transport_core::{
    Connect, ConnectError, Connection, FramingError, HandshakeError, Limits, Listen, Message, Policy,
    RecvError, Refusal, Server, ServerEvent, Transports,
};
use transport_zmq::curve::{CurveClient, CurvePublicKey, CurveSecretKey, CurveServer};

fn transports() -> Transports {
    Transports::new().with(TcpTransport::new())
}

struct Keys {
    client: CurveSecretKey,
    server: CurveSecretKey,
}

impl Keys {
    fn new() -> Keys {
        Keys { client: CurveSecretKey::generate(), server: CurveSecretKey::generate() }
    }
}

async fn serve(mechanism: CurveServer, policy: Policy) -> Server {
    let listen = Listen::new(&transports(), "tcp://127.0.0.1:0").mechanism(mechanism).policy(policy);
    listen.limits(limits()).start().await.unwrap()
}

fn limits() -> Limits {
    Limits::default().with_ping_after(Duration::from_millis(50)).with_message(2 << 20)
}

fn dial(to: &str, secret: CurveSecretKey, server: CurvePublicKey) -> Connect {
    let mechanism = CurveClient::new(secret, server);
    Connect::new(&transports(), to).mechanism(mechanism).server(server.policy()).limits(limits())
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("nothing here takes so long")
}

/// Two that have met, through whatever is at `through`, or directly.
async fn meet(through: Option<Middle>) -> (Connection, Connection) {
    let Keys { client, server } = Keys::new();
    let (client_key, server_key) = (client.public_key(), server.public_key());
    let mut accepting = serve(CurveServer::new(server), client_key.policy()).await;
    let port = accepting.local_address().host_port().unwrap().1;
    let port = match through {
        Some(middle) => relay(port, middle).await,
        None => port,
    };
    let connecting = dial(&format!("tcp://127.0.0.1:{port}"), client, server_key);
    let (ours, theirs) = within(async { tokio::join!(connecting, accepting.accept()) }).await;
    let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
    assert_eq!(theirs.identity().to_string(), format!("curve:{}", client_key.to_hex()));
    assert_eq!(ours.identity().to_string(), format!("curve:{}", server_key.to_hex()));
    (ours, theirs)
}

async fn refused(server: &mut Server) -> HandshakeError {
    let mut events = server.events();
    loop {
        if let ServerEvent::Refused { reason, .. } = within(events.recv()).await.unwrap() {
            return std::sync::Arc::into_inner(reason).unwrap();
        }
    }
}

#[tokio::test]
async fn messages_of_every_size_and_number_of_parts_arrive() {
    let (mut client, mut server) = meet(None).await;
    for size in [0, 1, 221, 222, 223, 255, 256, 4096, 65_536, 1 << 20] {
        let parts: Message = [vec![1; size], vec![], vec![2; size / 2]].into_iter().collect();
        for message in [&parts, &Message::new(vec![3; size])] {
            within(async {
                let (sent, received) = tokio::join!(client.send(message), server.recv());
                sent.unwrap();
                assert_eq!(received.unwrap().unwrap(), *message);
                let (sent, received) = tokio::join!(server.send(message), client.recv());
                sent.unwrap();
                assert_eq!(received.unwrap().unwrap(), *message);
            })
            .await;
        }
    }
}

#[tokio::test]
async fn many_messages_arrive_in_order_whole_lent_and_one_by_one() {
    let (mut client, mut server) = meet(None).await;
    let sending = async {
        for number in 0..30_000u32 {
            client.feed(&number.to_be_bytes()).await.unwrap();
        }
        client.flush().await.unwrap();
        client
    };
    let receiving = async {
        let (mut numbers, mut many) = (Vec::new(), Vec::new());
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        for turn in 0.. {
            match turn % 3 {
                _ if numbers.len() == 30_000 => break,
                0 => numbers.push(number(&server.recv().await.unwrap().unwrap()[0])),
                1 => {
                    server.recv_many(&mut many, 100).await.unwrap();
                    numbers.extend(many.drain(..).map(|message| number(&message[0])));
                }
                _ => {
                    server.recv_each(|message| numbers.extend(message.parts().map(number))).await.unwrap();
                }
            }
        }
        assert!(numbers.into_iter().eq(0..30_000));
    };
    within(async { tokio::join!(sending, receiving) }).await;
}

#[tokio::test]
async fn heartbeats_travel_inside_and_keep_an_idle_connection() {
    let (mut client, mut server) = meet(None).await;
    let idle = async {
        let both = async { tokio::join!(client.recv(), server.recv()) };
        assert!(tokio::time::timeout(Duration::from_millis(400), both).await.is_err(), "nothing ends it");
    };
    within(idle).await;
    within(client.send("still here")).await.unwrap();
    assert_eq!(within(server.recv()).await.unwrap().unwrap().to_text(), Some("still here"));
}

#[tokio::test]
async fn a_client_with_the_wrong_server_key_gets_no_answer_and_the_server_says_why() {
    let Keys { client, server } = Keys::new();
    let mut accepting = serve(CurveServer::new(server), Policy::danger_anyone()).await;
    let to = accepting.local_address().to_string();
    let other = CurveSecretKey::generate().public_key();
    let error = within(dial(&to, client, other).into_future()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Handshake(HandshakeError::Closed)), "{error}");
    let reason = refused(&mut accepting).await;
    assert!(
        matches!(&reason, HandshakeError::Refusal(Refusal::Malformed { token: "HELLO", .. })),
        "{reason}"
    );
}

#[tokio::test]
async fn a_client_whose_key_the_policy_does_not_allow_is_refused_and_told() {
    let Keys { client, server } = Keys::new();
    let server_key = server.public_key();
    let other = CurveSecretKey::generate().public_key();
    let mut accepting = serve(CurveServer::new(server), other.policy()).await;
    let to = accepting.local_address().to_string();
    let error = within(dial(&to, client, server_key).into_future()).await.unwrap_err();
    assert!(error.to_string().starts_with("the peer refused this side: 400"), "{error}");
    assert!(matches!(refused(&mut accepting).await, HandshakeError::Denied(_)));
}

#[tokio::test]
async fn a_verifier_decides_at_once_or_later_and_may_fail() {
    for (answer, refusal) in
        [("yes", ""), ("no", "the verifier does not know"), ("broken", "the store is away")]
    {
        for later in [false, true] {
            if answer == "broken" && !later {
                continue;
            }
            let Keys { client, server } = Keys::new();
            let (client_key, server_key) = (client.public_key(), server.public_key());
            let mechanism = CurveServer::with_verifier(server, move |key: &CurvePublicKey| {
                assert_eq!(*key, client_key);
                if !later {
                    return Verdict::Now(answer == "yes");
                }
                Verdict::Later(Box::pin(async move {
                    tokio::task::yield_now().await;
                    if answer == "broken" { Err("the store is away".to_owned()) } else { Ok(answer == "yes") }
                }))
            });
            let mut accepting = serve(mechanism, client_key.policy()).await;
            let to = accepting.local_address().to_string();
            let connected = within(dial(&to, client, server_key).into_future()).await;
            assert_eq!(connected.is_ok(), answer == "yes", "{answer} {later}");
            if answer != "yes" {
                let reason = refused(&mut accepting).await.to_string();
                assert!(reason.contains(refusal), "{reason}");
            }
        }
    }
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_after_opening() {
    let (mut client, mut server) = meet(None).await;
    let half = vec![0; 1 << 20];
    let parts: Message = [half.clone(), half].into_iter().collect();
    let (_, received) = within(async { tokio::join!(client.send(&parts), server.recv()) }).await;
    assert!(matches!(received, Err(RecvError::Framing(FramingError::TooLarge { .. }))), "{received:?}");
}

/// What a man in the middle does to the frames of a client after the handshake.
#[derive(Clone, Copy)]
enum Middle {
    Replay,
    Alter,
    Swap,
    Drop,
    InClear,
}

/// Relays a connection to `to`, doing what `middle` says to the second message of the client.
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
        let mut held = None;
        for number in 0.. {
            let Some(mut frame) = read_frame(&mut from_client).await else { return };
            // 0 and 1 are HELLO and INITIATE, 2 and 3 the first messages.
            match (number, middle) {
                (3, Middle::Replay) => frame = [frame.clone(), frame].concat(),
                (3, Middle::Alter) => *frame.last_mut().unwrap() ^= 1,
                (3, Middle::Swap) => {
                    held = Some(frame);
                    continue;
                }
                (3, Middle::Drop) => continue,
                (3, Middle::InClear) => frame = b"\x00\x05hello".to_vec(),
                (4, Middle::Swap) => frame.extend(held.take().unwrap()),
                _ => {}
            }
            if to_server.write_all(&frame).await.is_err() {
                return;
            }
        }
    });
    port
}

async fn read_frame(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let flags = stream.read_u8().await.ok()?;
    let (mut frame, length) = if flags & 2 == 0 {
        let length = stream.read_u8().await.ok()?;
        (vec![flags, length], usize::from(length))
    } else {
        let length = stream.read_u64().await.ok()?;
        let mut frame = vec![flags];
        frame.extend_from_slice(&length.to_be_bytes());
        (frame, usize::try_from(length).unwrap())
    };
    let start = frame.len();
    frame.resize(start + length, 0);
    stream.read_exact(&mut frame[start..]).await.ok()?;
    Some(frame)
}

/// Sends three messages through the middle: what arrives, and how it ends.
async fn through(middle: Middle) -> (Vec<String>, Result<(), RecvError>) {
    let (mut client, mut server) = meet(Some(middle)).await;
    for text in ["one", "two", "three"] {
        client.send(text).await.unwrap();
    }
    let mut texts = Vec::new();
    let end = within(async {
        loop {
            match server.recv().await {
                Ok(Some(message)) => texts.push(message.to_text().unwrap().to_owned()),
                Ok(None) => return Ok(()),
                Err(error) => return Err(error),
            }
            if texts.last().is_some_and(|text| text == "three") && texts.len() == 2 {
                client.send("end").await.unwrap();
            }
            if texts.last().is_some_and(|text| text == "end") {
                return Ok(());
            }
        }
    });
    let end = end.await;
    (texts, end)
}

#[tokio::test]
async fn a_replayed_box_ends_the_connection() {
    let (texts, end) = through(Middle::Replay).await;
    assert_eq!(texts, ["one", "two"]);
    assert!(end.unwrap_err().to_string().contains("a replay"));
}

#[tokio::test]
async fn an_altered_box_ends_the_connection() {
    let (texts, end) = through(Middle::Alter).await;
    assert_eq!(texts, ["one"]);
    assert!(end.unwrap_err().to_string().contains("does not open"));
}

#[tokio::test]
async fn a_number_that_goes_backwards_ends_the_connection() {
    let (texts, end) = through(Middle::Swap).await;
    assert_eq!(texts, ["one", "three"]);
    assert!(end.unwrap_err().to_string().contains("a replay"));
}

#[tokio::test]
async fn a_frame_in_clear_ends_the_connection() {
    let (texts, end) = through(Middle::InClear).await;
    assert_eq!(texts, ["one"]);
    assert!(end.unwrap_err().to_string().contains("no MESSAGE"));
}

/// As in libzmq: CURVE over a reliable stream does not notice what somebody leaves out. RFC 26 asks for no more.
#[tokio::test]
async fn a_box_that_is_left_out_leaves_a_gap_that_is_accepted() {
    let (texts, end) = through(Middle::Drop).await;
    assert_eq!(texts, ["one", "three", "end"]);
    end.unwrap();
}
