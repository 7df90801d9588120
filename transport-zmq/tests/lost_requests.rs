//! What becomes of a request whose connection ends.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::time::Duration;

use common::raw::{greeting, read_frame, ready};
use common::{Places, config, connected, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use transport_core::Transports;
use transport_core::framing::Role;
use transport_core::mem::MemTransport;
use transport_core::test_util::{Direction, FaultPlan, FaultyTransport, virtual_time};
use transport_zmq::{RepSocket, ReqSocket, RequestError};

/// Lets a REQ in that connects.
async fn let_in(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    stream.write_all(&[greeting("NULL"), ready("REP", b"")].concat()).await.unwrap();
    within(stream.read_exact(&mut [0; 64])).await.unwrap();
    read_frame(&mut stream).await.expect("its READY");
    stream
}

/// The body of the next request.
async fn asked(stream: &mut TcpStream) -> Vec<u8> {
    read_frame(stream).await.expect("its delimiter");
    read_frame(stream).await.expect("its body").1
}

#[tokio::test]
async fn a_request_that_waited_for_its_endpoint_is_lost_with_the_connection_that_took_it() {
    let places = Places::new();
    for relaxed in [false, true] {
        let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = reserved.local_addr().unwrap();
        drop(reserved);
        let req = ReqSocket::new(&places.transports, config());
        let mut req = if relaxed { req.relaxed() } else { req };
        req.connect(format!("tcp://{place}")).unwrap();
        let mut events = req.events();
        req.send("are you there?").await.unwrap();
        let listener = TcpListener::bind(place).await.unwrap();
        let mut first = let_in(&listener).await;
        if relaxed {
            // The delimiter stands behind a number.
            read_frame(&mut first).await.unwrap();
        }
        assert_eq!(asked(&mut first).await, b"are you there?");
        drop(first);
        let second = let_in(&listener).await;
        connected(&mut events, 2).await;
        // Nobody has looked since the request was sent.
        assert!(matches!(within(req.recv()).await, Err(RequestError::PeerLost)));
        drop(second);
    }
}

/// Wherever its connection breaks, a request is answered, or lost and never worked on later; and the next one has its own
/// answer.
#[test]
fn a_request_that_goes_out_on_the_next_connection_is_answered_there() {
    let mut answered_there = 0;
    for stalls in 64..200 {
        virtual_time(1, async |_| {
            let faulty = FaultyTransport::new(MemTransport::new());
            faulty.control().plan(move |role, number| match (role, number) {
                (Role::Client, 0) => {
                    let stalled = Direction::new().stall_after(stalls, Duration::from_secs(3600));
                    FaultPlan::new().outgoing(stalled).reset_at(Duration::from_secs(2))
                }
                _ => FaultPlan::new(),
            });
            let transports = Transports::new().with(faulty);
            let (mut req, mut rep) =
                (ReqSocket::new(&transports, config()), RepSocket::new(&transports, config()));
            let mut events = req.events();
            rep.bind("inproc://stalls").await.unwrap();
            req.connect("inproc://stalls").unwrap();
            tokio::spawn(async move {
                loop {
                    let question = rep.recv().await;
                    let _gone = rep.send(&question).await;
                }
            });
            connected(&mut events, 1).await;
            let start = tokio::time::Instant::now();
            let first = within(req.request("first")).await;
            let is_late = start.elapsed() > Duration::from_millis(500);
            match first {
                Ok(answer) => {
                    assert_eq!(answer.to_text(), Some("first"));
                    answered_there += u32::from(is_late);
                }
                Err(error) => assert!(matches!(error, RequestError::PeerLost), "{error}"),
            }
            for number in 0..5u32 {
                match within(req.request(&number.to_be_bytes())).await {
                    Ok(answer) => assert_eq!(answer[0][..], number.to_be_bytes(), "after {stalls} bytes"),
                    Err(error) => assert!(matches!(error, RequestError::PeerLost), "{error}"),
                }
            }
        });
    }
    assert!(answered_there > 0, "some request was put back");
}

#[tokio::test]
async fn a_request_that_is_not_sent_takes_nothing_from_the_one_before() {
    let places = Places::new();
    let mut req = ReqSocket::new(&places.transports, config()).relaxed();
    let mut rep = RepSocket::new(&places.transports, config());
    let address = rep.bind("inproc://unsent").await.unwrap();
    req.connect(&address).unwrap();
    req.send("first").await.unwrap();
    within(rep.recv()).await;
    rep.send("answer").await.unwrap();
    rep.close().await;
    req.disconnect(&address).unwrap();
    let no_peer = tokio::time::timeout(Duration::from_millis(10), req.send("second")).await;
    assert!(no_peer.is_err());
    assert_eq!(within(req.recv()).await.unwrap().to_text(), Some("answer"));
}
