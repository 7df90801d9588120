//! Names in Linux's abstract namespace: `ipc://@name` there, `unix:@name` here.

use interop::{Pyzmq, Wire, bounded};
use serde_json::json;

use crate::set_up::{connect, python, zmq_address};

#[tokio::test]
async fn a_client_finds_the_abstract_name_of_this_side() {
    let Some(python) = python() else { return };
    bounded(async {
        let address = format!("unix:@{}", name("ours"));
        let server = transport::listen(&address).policy(Wire::Ipc.policy()).start();
        let mut server = server.await.unwrap();
        let mut theirs = Pyzmq::open(&python, "DEALER", json!({})).await;
        theirs.connect(&zmq_address(&server)).await;
        theirs.send(&["hello"]).await;
        let mut ours = server.accept().await.unwrap();
        assert_eq!(ours.recv().await.unwrap().unwrap().to_text(), Some("hello"));
    })
    .await;
}

#[tokio::test]
async fn this_side_finds_the_abstract_name_of_a_server() {
    let Some(python) = python() else { return };
    bounded(async {
        let mut theirs = Pyzmq::open(&python, "DEALER", json!({})).await;
        let endpoint = theirs.bind(&format!("ipc://@{}", name("theirs"))).await;
        let mut ours = connect(Wire::Ipc, &endpoint).await.unwrap();
        ours.send("hello").await.unwrap();
        assert_eq!(theirs.recv().await, ["hello"]);
    })
    .await;
}

/// All programs of the machine share the namespace.
fn name(what: &str) -> String {
    format!("interop-{}-{what}", std::process::id())
}
