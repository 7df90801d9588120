//! SCRAM-SHA-256 with the Python library scramp as the other side, over ZMTP commands. It knows no `tls-exporter`, so
//! -PLUS is not tested here.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use interop::{Peer, Python, bounded};
use serde_json::json;
use transport::core::mechanism::scram::{Accounts, ScramClient, ScramServer, Verifier};
use transport::{Policy, Server};

const SCRIPT: &str = "scram_peer.py";
const PASSWORD: &str = "p\u{e4}ss,w=rd";

fn python() -> Option<Python> {
    Python::with_packages(env!("CARGO_TARGET_TMPDIR"))
}

fn accounts(user: &str) -> Accounts {
    Accounts::new().unwrap().with_user(user, Verifier::new(PASSWORD, 4096).unwrap())
}

/// Sends one message back, and returns who it came from.
async fn echo_once(mut server: Server) -> String {
    let mut connection = server.accept().await.unwrap();
    let message = connection.recv().await.unwrap().unwrap();
    connection.send(&message).await.unwrap();
    connection.identity().to_string()
}

#[tokio::test]
async fn a_client_of_scramp_logs_in_with_any_user_name() {
    let Some(python) = python() else { return };
    bounded(async {
        for user in ["alice", "a,b=c", "\u{e9}milie"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("socket").display().to_string();
            let listen = transport::listen(format!("unix://{path}")).policy(Policy::user(user));
            let server = listen.mechanism(ScramServer::new(accounts(user))).start().await.unwrap();
            let mut peer = Peer::start(&python, SCRIPT);
            let login = peer.ask(json!({"do": "login", "path": path, "user": user, "password": PASSWORD}));
            let (answer, identity) = tokio::join!(login, echo_once(server));
            assert_eq!(answer["answer"], "hello", "{answer}");
            assert_eq!(identity, format!("user:{user}"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_of_scramp_with_a_wrong_password_or_name_is_refused() {
    let Some(python) = python() else { return };
    bounded(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket").display().to_string();
        let listen = transport::listen(format!("unix://{path}")).policy(Policy::user("alice"));
        let _server = listen.mechanism(ScramServer::new(accounts("alice"))).start().await.unwrap();
        for (user, password) in [("alice", "wrong"), ("bob", PASSWORD)] {
            let mut peer = Peer::start(&python, SCRIPT);
            let login = json!({"do": "login", "path": path, "user": user, "password": password});
            let answer = peer.ask(login).await["refused"].to_string();
            assert!(answer.contains("ERROR came instead of READY"), "{answer}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_of_scramp_is_known_by_the_user_and_knows_ours() {
    let Some(python) = python() else { return };
    bounded(async {
        for iterations in [4096, 10_000] {
            let mut peer = Peer::start(&python, SCRIPT);
            let path = peer.ask(json!({"do": "listen"})).await["path"].as_str().unwrap().to_owned();
            peer.tell(
                json!({"do": "serve_one", "user": "alice", "password": PASSWORD, "iterations": iterations}),
            )
            .await;
            let connect = transport::connect(format!("unix://{path}")).server(Policy::user("alice"));
            let mut ours = connect.mechanism(ScramClient::new("alice", PASSWORD).unwrap()).await.unwrap();
            ours.send("hello").await.unwrap();
            assert_eq!(ours.recv().await.unwrap().unwrap().to_text(), Some("hello"));
            assert_eq!(peer.answer().await["message"], "hello");
        }
    })
    .await;
}
