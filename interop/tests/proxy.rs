//! Connections through pproxy, a proxy server from PyPI.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use interop::{Peer, Python, bounded};
use serde_json::json;
use transport::core::tcp::{ProxyError, TcpTransport};
use transport::core::{TransportError, Transports};
use transport::{Connect, ConnectError, Policy, Server};

fn python() -> Option<Python> {
    Python::with_packages(env!("CARGO_TARGET_TMPDIR"))
}

/// Starts a proxy and tells its port.
async fn start(peer: &mut Peer, protocol: &str, login: &str) -> u64 {
    let answer = peer.ask(json!({"do": "listen", "protocol": protocol, "login": login})).await;
    answer["port"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

async fn echo_server() -> (Server, u16) {
    let server =
        transport::listen("tcp://127.0.0.1:0").policy(Policy::danger_anyone()).start().await.unwrap();
    let (_, port) = server.local_address().host_port().unwrap();
    (server, port)
}

fn connect(proxy: &str, target: &str) -> Connect {
    let transports = Transports::new().with(TcpTransport::new().with_proxy(proxy.parse().unwrap()));
    Connect::new(&transports, target).server(Policy::danger_anyone()).danger_plaintext()
}

#[tokio::test]
async fn messages_pass_with_and_without_a_password_to_a_name_and_to_an_address() {
    let Some(python) = python() else { return };
    bounded(async {
        let mut peer = Peer::start(&python, "proxy_peer.py");
        let (mut server, port) = echo_server().await;
        tokio::spawn(async move {
            while let Some(mut connection) = server.accept().await {
                let message = connection.recv().await.unwrap().unwrap();
                connection.send(&message).await.unwrap();
            }
        });
        for protocol in ["socks5", "http"] {
            for login in ["", "alice:secret"] {
                let proxy = start(&mut peer, protocol, login).await;
                let at = if login.is_empty() { "" } else { "@" };
                let proxy = format!("{protocol}://{login}{at}127.0.0.1:{proxy}");
                for host in ["127.0.0.1", "localhost"] {
                    let mut connection = connect(&proxy, &format!("tcp://{host}:{port}")).await.unwrap();
                    connection.send("hello").await.unwrap();
                    assert_eq!(connection.recv().await.unwrap().unwrap().to_text(), Some("hello"), "{proxy}");
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password_is_told() {
    let Some(python) = python() else { return };
    bounded(async {
        let mut peer = Peer::start(&python, "proxy_peer.py");
        let (_server, port) = echo_server().await;
        for protocol in ["socks5", "http"] {
            let proxy = start(&mut peer, protocol, "alice:secret").await;
            for login in ["", "alice:wrong@"] {
                let proxy = format!("{protocol}://{login}127.0.0.1:{proxy}");
                let error = connect(&proxy, &format!("tcp://127.0.0.1:{port}")).await.unwrap_err();
                let ConnectError::Transport(TransportError::Proxy { source, .. }) = error else {
                    panic!("{proxy}: {error}");
                };
                // pproxy says nothing to a wrong SOCKS5 login, and closes.
                assert!(
                    matches!(*source, ProxyError::Credentials(_) | ProxyError::Closed),
                    "{proxy}: {source}"
                );
            }
        }
    })
    .await;
}
