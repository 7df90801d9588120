//! Which user runs a pyzmq program: the kernel says, and the program needs no change.

use interop::{Place, Python, Pyzmq, Wire, bounded, skip};
use serde_json::json;
use transport::{Policy, Server};

use crate::set_up::{connect, python, refusal, zmq_address};

/// A uid that is nobody's.
const STRANGER: u32 = 54321;

#[tokio::test]
async fn a_client_of_this_user_is_known_by_its_uid() {
    let Some(python) = python() else { return };
    bounded(async {
        let (mut server, _place) = serve(Policy::same_user()).await;
        let mut theirs = Pyzmq::open(&python, "DEALER", json!({})).await;
        let pid = theirs.peer().pid();
        theirs.connect(&zmq_address(&server)).await;
        let ours = server.accept().await.unwrap();
        assert_eq!(ours.identity().to_string(), format!("uid:{}", own_uid()));
        let credentials = ours.identity().credentials().unwrap();
        assert_eq!(credentials.pid, i32::try_from(pid).ok());
    })
    .await;
}

#[tokio::test]
async fn a_server_of_this_user_is_known_by_its_uid() {
    let Some(python) = python() else { return };
    bounded(async {
        let place = Wire::Ipc.place();
        let mut theirs = Pyzmq::open(&python, "DEALER", json!({})).await;
        let endpoint = theirs.bind(&place.zmq()).await;
        let ours = connect(Wire::Ipc, &endpoint).await.unwrap();
        assert_eq!(ours.identity().to_string(), format!("uid:{}", own_uid()));
    })
    .await;
}

#[tokio::test]
async fn a_client_of_another_user_is_known_by_its_uid() {
    let Some(python) = python() else { return };
    bounded(async {
        let Some(mut theirs) = stranger(&python).await else {
            return;
        };
        let (mut server, _place) = serve(Policy::uid(STRANGER)).await;
        theirs.connect(&zmq_address(&server)).await;
        theirs.send(&["hello"]).await;
        let mut ours = server.accept().await.unwrap();
        assert_eq!(ours.identity().to_string(), format!("uid:{STRANGER}"));
        assert_eq!(ours.identity().credentials().unwrap().gid, STRANGER);
        assert_eq!(ours.recv().await.unwrap().unwrap().to_text(), Some("hello"));
    })
    .await;
}

#[tokio::test]
async fn a_client_of_a_user_whom_the_policy_denies_is_refused_and_stays_away() {
    let Some(python) = python() else { return };
    bounded(async {
        let Some(mut theirs) = stranger(&python).await else {
            return;
        };
        let own = own_uid();
        let (mut server, _place) = serve(Policy::uid(own)).await;
        let mut events = server.events();
        theirs.watch().await;
        theirs.connect(&zmq_address(&server)).await;
        let (identity, reason) = refusal(&mut events).await;
        assert_eq!(identity.unwrap().to_string(), format!("uid:{STRANGER}"));
        assert_eq!(reason.to_string(), format!("uid:{STRANGER} is not allowed by the policy (uid:{own})"));
        // It was told "400" in the place of READY, and that is what its program sees.
        let told = theirs.event(&["HANDSHAKE_FAILED_AUTH"], 5000).await;
        assert_eq!(told, Some(("HANDSHAKE_FAILED_AUTH".to_owned(), 400)));
        assert_eq!(theirs.event(&["CONNECT_RETRIED", "CONNECTED"], 800).await, None);
    })
    .await;
}

#[tokio::test]
async fn a_socket_file_of_mode_0600_keeps_other_users_out() {
    let Some(python) = python() else { return };
    bounded(async {
        let Some(mut theirs) = stranger(&python).await else {
            return;
        };
        let place = Wire::Ipc.place();
        let server = transport::listen(place.ours()).policy(Policy::danger_anyone());
        let mut server = server.start().await.unwrap();
        let mut events = server.events();
        theirs.watch().await;
        theirs.connect(&zmq_address(&server)).await;
        // The kernel turns it away, time and again; neither policy nor events hear of it.
        for _ in 0..2 {
            assert!(theirs.event(&["CONNECT_RETRIED"], 5000).await.is_some());
        }
        drop(server);
        while let Some(event) = events.recv().await {
            assert!(matches!(event, transport::ServerEvent::Stopped), "{event:?}");
        }
    })
    .await;
}

async fn serve(policy: Policy) -> (Server, Place) {
    let place = Wire::Ipc.place();
    let address = format!("{}?mode=0666", place.ours());
    let server = transport::listen(address).policy(policy).start();
    (server.await.unwrap(), place)
}

/// A DEALER of another user, where this one may become another and that one may read pyzmq.
async fn stranger(python: &Python) -> Option<Pyzmq> {
    if own_uid() != 0 {
        skip("only root can become another user");
        return None;
    }
    let theirs = Pyzmq::open_as(STRANGER, python, "DEALER", json!({})).await;
    if theirs.is_none() {
        skip("there is no setpriv, or other users cannot read the peer scripts or the Python environment");
    }
    theirs
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}
