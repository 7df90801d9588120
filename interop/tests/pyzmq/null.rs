//! NULL, where libzmq asks an authentication handler all the same.

use interop::{Pyzmq, Wire, bounded};
use serde_json::json;
use transport::ConnectError;
use transport::core::HandshakeError;

use crate::set_up::{connect, python};

#[tokio::test]
async fn a_null_server_whose_handler_lets_this_side_in_can_be_talked_to() {
    let Some(python) = python() else { return };
    bounded(async {
        let options = json!({"ZAP_DOMAIN": "any"});
        let mut theirs = Pyzmq::open_guarded(&python, "DEALER", options, json!({})).await;
        let endpoint = theirs.bind("tcp://127.0.0.1:0").await;
        let mut ours = connect(Wire::Tcp, &endpoint).await.unwrap();
        ours.send("hello").await.unwrap();
        assert_eq!(theirs.recv().await, ["hello"]);
    })
    .await;
}

#[tokio::test]
async fn the_error_of_a_null_server_whose_handler_refuses_is_understood() {
    let Some(python) = python() else { return };
    bounded(async {
        let options = json!({"ZAP_DOMAIN": "any"});
        let guard = json!({"deny": ["127.0.0.1"]});
        let mut theirs = Pyzmq::open_guarded(&python, "DEALER", options, guard).await;
        let endpoint = theirs.bind("tcp://127.0.0.1:0").await;
        let error = connect(Wire::Tcp, &endpoint).await.unwrap_err();
        let ConnectError::Handshake(HandshakeError::RefusedByPeer { reason }) = error else {
            panic!("{error:?}");
        };
        assert_eq!(reason, "400");
    })
    .await;
}
