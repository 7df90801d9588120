//! Connections through SOCKS5 and HTTP proxies that the test plays.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{NET, address, listen};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use transport_core::tcp::{ProxyError, TcpTransport};
use transport_core::{
    ClientEnd, Connect, ConnectError, GaveUp, HandshakeError, Limits, Policy, Source, TransportError,
    Transports,
};

/// What a proxy expects, and what it answers to that.
type Script = Vec<(Vec<u8>, Vec<u8>)>;

const SOCKS_NAME: &[u8] = b"\x05\x01\x00\x03\x13server.test.invalid\x15\xb3";
const SOCKS_OK: &[u8] = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x15\xb3";
const HTTP_REQUEST: &str = "CONNECT server.test.invalid:5555 HTTP/1.1\r\nHost: server.test.invalid:5555\r\n";
const HTTP_OK: &[u8] = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n";

fn socks() -> Script {
    vec![(b"\x05\x01\x00".into(), b"\x05\x00".into()), (SOCKS_NAME.into(), SOCKS_OK.into())]
}

fn socks_with_password() -> Script {
    vec![
        (b"\x05\x02\x00\x02".into(), b"\x05\x02".into()),
        (b"\x01\x04user\x04pass".into(), b"\x01\x00".into()),
        (SOCKS_NAME.into(), SOCKS_OK.into()),
    ]
}

fn http() -> Script {
    vec![(format!("{HTTP_REQUEST}\r\n").into(), HTTP_OK.into())]
}

fn http_with_password() -> Script {
    let request = format!("{HTTP_REQUEST}Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n");
    vec![(request.into(), HTTP_OK.into())]
}

/// How a proxy's answers are cut into writes.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    Not,
    EachByte,
    /// The last answer and the first bytes of the target come together.
    WithTheTarget,
}

/// A proxy that follows a script for each stream and then goes between it and `target`.
async fn proxy(script: Script, cut: Cut, target: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let local = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, script.clone(), cut, target));
        }
    });
    local
}

async fn serve(mut stream: TcpStream, script: Script, cut: Cut, target: SocketAddr) {
    stream.set_nodelay(true).unwrap();
    let last = script.len() - 1;
    for (i, (expected, answer)) in script.into_iter().enumerate() {
        let mut bytes = vec![0; expected.len()];
        stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, expected, "{}", bytes.escape_ascii());
        match cut {
            Cut::WithTheTarget if i == last => {
                let mut target = TcpStream::connect(target).await.unwrap();
                // A server of ours says its version at once.
                let mut early = [0; 12];
                target.read_exact(&mut early).await.unwrap();
                stream.write_all(&[&answer[..], &early].concat()).await.unwrap();
                let _ended = tokio::io::copy_bidirectional(&mut stream, &mut target).await;
                return;
            }
            Cut::EachByte => {
                for byte in answer {
                    stream.write_all(&[byte]).await.unwrap();
                    tokio::time::sleep(Duration::from_micros(200)).await;
                }
            }
            _ => stream.write_all(&answer).await.unwrap(),
        }
    }
    let mut target = TcpStream::connect(target).await.unwrap();
    let _ended = tokio::io::copy_bidirectional(&mut stream, &mut target).await;
}

/// A proxy that sends these bytes, whatever it is told, and closes or not.
async fn scripted(answer: Vec<u8>, close: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let local = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = [0; 1024];
            let _asked = stream.read(&mut bytes).await;
            let _gone = stream.write_all(&answer).await;
            if !close {
                open.push(stream);
            }
        }
    });
    local
}

/// A port at which nobody listens, and nobody will for as long as the socket has it.
fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let local = socket.local_addr().unwrap();
    (socket, local)
}

fn connect(proxy: &str, target: &str) -> Connect {
    let transports = Transports::new().with(TcpTransport::new().with_proxy(proxy.parse().unwrap()));
    Connect::new(&transports, target).server(Policy::danger_anyone())
}

async fn proxy_error(proxy: &str, target: &str) -> ProxyError {
    let connecting = connect(proxy, target).danger_plaintext().into_future();
    match tokio::time::timeout(NET, connecting).await.unwrap() {
        Err(ConnectError::Transport(TransportError::Proxy { source, .. })) => *source,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn messages_pass_through_every_kind_of_proxy_however_its_answers_are_cut() {
    let mut server = listen().start().await.unwrap();
    let target = address(&server);
    tokio::spawn(async move {
        while let Some(mut connection) = server.accept().await {
            tokio::spawn(async move {
                while let Ok(Some(message)) = connection.recv().await {
                    connection.send(&message).await.unwrap();
                }
            });
        }
    });
    for (scheme, credentials, script) in [
        ("socks5", "", socks()),
        ("socks5", "user:pass@", socks_with_password()),
        ("http", "", http()),
        ("http", "user:pass@", http_with_password()),
    ] {
        for cut in [Cut::Not, Cut::EachByte, Cut::WithTheTarget] {
            let proxy = proxy(script.clone(), cut, target).await;
            // A name that nobody here can resolve: it is for the proxy.
            let connect =
                connect(&format!("{scheme}://{credentials}{proxy}"), "tcp://server.test.invalid:5555");
            let mut connection = connect.danger_plaintext().await.unwrap();
            connection.send("hello").await.unwrap();
            let answer = tokio::time::timeout(NET, connection.recv()).await.unwrap().unwrap().unwrap();
            assert_eq!(answer.to_text(), Some("hello"));
            let Source::Other(source) = connection.source() else { panic!("it is behind the proxy") };
            assert_eq!(*source, format!("server.test.invalid port 5555 through the proxy {proxy}"));
        }
    }
}

#[tokio::test]
async fn a_stream_through_a_proxy_is_unprotected_whatever_its_target_is_called() {
    for target in ["tcp://127.0.0.1:5555", "tcp://localhost:5555", "tcp://[::1]:5555"] {
        let proxy = scripted(HTTP_OK.into(), false).await;
        let error = connect(&format!("http://{proxy}"), target).await.unwrap_err();
        assert!(matches!(error, ConnectError::Handshake(HandshakeError::Unprotected(_))), "{error}");
    }
}

#[tokio::test]
async fn a_proxy_that_says_nothing_ends_at_the_connect_deadline() {
    let proxy = scripted(Vec::new(), false).await;
    let limits = Limits::default().with_connect_time(Duration::from_millis(200));
    for scheme in ["socks5", "http"] {
        let connect = connect(&format!("{scheme}://{proxy}"), "tcp://server.test.invalid:5555");
        let error = tokio::time::timeout(NET, connect.limits(limits.clone()).into_future()).await.unwrap();
        assert!(matches!(error, Err(ConnectError::Deadline(_))), "{error:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_closes_or_speaks_something_else_is_told_apart() {
    let target = "tcp://server.test.invalid:5555";
    for (scheme, answer, expected) in [
        ("socks5", &b"\x05\x00\x05\x05"[..], "it answered: 5 connection refused"),
        ("socks5", b"", "it closed the stream instead of answering"),
        ("socks5", b"SSH-2.0-x\r\n", "it does not speak SOCKS5: its first byte is not 5"),
        ("socks5", b"\x05\xff", "it wants a user and a password"),
        ("http", b"HTTP/1.1 403 Forbidden\r\n\r\n", "it answered: 403 Forbidden"),
        ("http", b"HTTP/1.1 200 OK\r\n", "it closed the stream instead of answering"),
        ("http", b"\x05\x00\n", "it does not speak HTTP: it began with \\x05\\x00"),
        ("http", b"HTTP/1.1 407 No\r\n\r\n", "it wants a user and a password, or others than these"),
    ] {
        let proxy = scripted(answer.into(), true).await;
        let error = proxy_error(&format!("{scheme}://{proxy}"), target).await;
        assert_eq!(error.to_string(), expected);
    }
    let endless = [&b"HTTP/1.1 200 OK\r\n"[..], &b"X: y\r\n".repeat(100_000)].concat();
    let proxy = scripted(endless, false).await;
    let error = proxy_error(&format!("http://{proxy}"), target).await;
    assert!(matches!(error, ProxyError::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named_without_its_password() {
    let (_nobody, place) = nobody();
    let connect = connect(&format!("socks5://user:secret@{place}"), "tcp://server.test.invalid:5555");
    let error = connect.await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to the proxy socks5://{place}"));
    assert!(!format!("{error:?}").contains("secret"));
}

#[tokio::test]
async fn a_client_gives_up_on_a_proxy_that_does_not_take_its_password() {
    let proxy = scripted(b"HTTP/1.1 407 No\r\n\r\n".into(), true).await;
    let connect = connect(&format!("http://u:p@{proxy}"), "tcp://server.test.invalid:5555");
    let client = connect.danger_plaintext().keep().unwrap();
    let ended = tokio::time::timeout(NET, client.connected()).await.unwrap();
    assert!(matches!(ended, Err(ClientEnd::GaveUp(GaveUp::ForGood(_)))), "{ended:?}");
}

#[tokio::test]
async fn a_name_with_several_addresses_is_reached_at_the_one_that_answers_and_else_all_are_named() {
    let transports = Transports::new().with(TcpTransport::new());
    // `localhost` may have an IPv6 address too, at which nobody listens.
    let server = listen().start().await.unwrap();
    let port = address(&server).port();
    let connect = |port| {
        Connect::new(&transports, format!("tcp://localhost:{port}"))
            .server(Policy::danger_anyone())
            .into_future()
    };
    tokio::time::timeout(NET, connect(port)).await.unwrap().unwrap();
    drop(server);
    let (_nobody, place) = nobody();
    let Err(ConnectError::Transport(error)) = tokio::time::timeout(NET, connect(place.port())).await.unwrap()
    else {
        panic!("nobody listens there");
    };
    let words = format!("{error}: {}", std::error::Error::source(&error).unwrap());
    assert!(words.contains(&place.to_string()), "{words}");
}
