//! TLS through a proxy: what the proxy may know, and what it cannot change.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use transport_core::tcp::TcpTransport;
use transport_core::{Connect, Policy, Protection, Transports};

use crate::common::Authority;
use crate::meet::{bounded, chain, serve};

#[tokio::test]
async fn a_server_behind_a_proxy_is_known_by_the_name_in_the_address_and_the_stream_is_encrypted() {
    let authority = Authority::new();
    let tls = authority.tls(&authority.leaf("db.example"));
    let (mut server, _events) = serve(&tls).await;
    let (_, port) = server.local_address().host_port().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(go_between(near, port));
        }
    });
    let tcp = TcpTransport::new().with_proxy(format!("http://{proxy}").parse().unwrap());
    let connect = |address: &str| {
        let connect = Connect::new(&Transports::new(), address).transport(tls.over("tls", tcp.clone()));
        connect.server(Policy::danger_anyone()).into_future()
    };
    let (near, far) =
        bounded(async { tokio::join!(connect("tls://db.example:5555"), server.accept()) }).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    assert_eq!(near.protection(), Protection::Encrypted);
    near.send("hello").await.unwrap();
    assert_eq!(bounded(far.recv()).await.unwrap().unwrap().to_text(), Some("hello"));
    // A proxy that connects to somewhere else than it was told is found out.
    let error = bounded(connect("tls://other.example:5555")).await.unwrap_err();
    assert!(chain(&error).contains("other.example"), "{}", chain(&error));
}

async fn go_between(mut near: TcpStream, port: u16) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(near.read_u8().await.unwrap());
    }
    assert!(request.starts_with(b"CONNECT "), "{}", request.escape_ascii());
    near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let _ended = tokio::io::copy_bidirectional(&mut near, &mut far).await;
}
