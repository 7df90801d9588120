//! A stock ZeroMQ program knows no TLS; with stunnel beside it, it is a peer over TLS all the same, known by stunnel's
//! certificate. Only stunnel gets at the program's socket: both sockets are files in a folder of the test's own.

use std::process::Stdio;
use std::time::Duration;

use interop::{Python, Pyzmq, bounded, has_program};
use serde_json::json;
use tokio::net::UnixStream;
use tokio::process::Child;
use transport::tls::TlsTransport;
use transport::{Connection, Message, Policy};

use crate::set_up::Folder;
use crate::stunnel::{legacy, stunnel};

/// A stunnel from one socket to another, once it listens.
async fn between(folder: &Folder, own: &str, settings: &str) -> Child {
    let more = format!("[zmq]\naccept = {}\n{settings}", folder.path("stunnel.sock").display());
    let child = stunnel(folder, own, &more).stderr(Stdio::null()).spawn().unwrap();
    // The file is there a moment before anybody listens. A connection that ends at once bothers neither side.
    while UnixStream::connect(folder.path("stunnel.sock")).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child
}

fn zmq_address(folder: &Folder, name: &str) -> String {
    format!("ipc://{}", folder.path(name).display())
}

/// Messages of one part and of several, small and large, there and back.
async fn talk(ours: &mut Connection, theirs: &mut Pyzmq) {
    let large = "x".repeat(1 << 20);
    theirs.echo(103).await;
    for i in 0..100 {
        ours.send(&format!("message {i}")).await.unwrap();
        assert_eq!(ours.recv().await.unwrap().unwrap().to_text(), Some(&*format!("message {i}")));
    }
    for parts in [vec!["a", "", "b"], vec![&large], vec![&large, "end"]] {
        let message: Message = parts.iter().map(|part| bytes::Bytes::from((*part).to_owned())).collect();
        ours.send(&message).await.unwrap();
        assert_eq!(ours.recv().await.unwrap().unwrap(), message);
    }
    theirs.done().await;
}

#[tokio::test]
async fn a_stock_zeromq_client_reaches_us_through_stunnel() {
    let Some(folder) = Folder::new() else { return };
    let Some(python) = Python::with_packages(env!("CARGO_TARGET_TMPDIR")) else { return };
    if !has_program("stunnel4") {
        return;
    }
    bounded(async {
        let tls = TlsTransport::with_config(legacy(&folder, "db.example.pem", "alice")).unwrap();
        let listen = transport::listen("tls://127.0.0.1:0").transport(tls);
        let mut server = listen.policy(Policy::san_dns("alice")).start().await.unwrap();
        let (_, port) = server.local_address().host_port().unwrap();
        let settings = format!("client = yes\nconnect = 127.0.0.1:{port}\ncheckHost = db.example\n");
        let _stunnel = between(&folder, "alice.pem", &settings).await;
        let mut theirs = Pyzmq::open(&python, "DEALER", json!({})).await;
        theirs.connect(&zmq_address(&folder, "stunnel.sock")).await;
        let mut ours = server.accept().await.unwrap();
        assert_eq!(ours.identity().to_string(), "dns:alice");
        talk(&mut ours, &mut theirs).await;
    })
    .await;
}

#[tokio::test]
async fn we_reach_a_stock_zeromq_server_through_stunnel() {
    let Some(folder) = Folder::new() else { return };
    let Some(python) = Python::with_packages(env!("CARGO_TARGET_TMPDIR")) else { return };
    if !has_program("stunnel4") {
        return;
    }
    bounded(async {
        let mut theirs = Pyzmq::open(&python, "DEALER", json!({})).await;
        theirs.bind(&zmq_address(&folder, "zmq.sock")).await;
        let settings = format!("connect = {}\n", folder.path("zmq.sock").display());
        let _stunnel = between(&folder, "db.example.pem", &settings).await;
        let tls = TlsTransport::with_config(legacy(&folder, "alice.pem", "db.example")).unwrap();
        let tls = tls.over("tls+unix", transport::unix::UnixTransport::new());
        let address = format!("tls+unix://{}?name=db.example", folder.path("stunnel.sock").display());
        let connect = transport::connect(address).transport(tls).server(Policy::san_dns("db.example"));
        let mut ours = connect.await.unwrap();
        assert_eq!(ours.identity().to_string(), "dns:db.example");
        talk(&mut ours, &mut theirs).await;
    })
    .await;
}
