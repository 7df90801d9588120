//! Connecting, listening and accepting.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use transport_core::{BoxStream, Established, TransportError};

use crate::establish::{accept, connect, finish, listen, listen_at, pair_at, parse, transport};
use crate::harness::Harness;

/// A peer that connects and says nothing does not keep the next one from being accepted.
pub async fn accept_is_not_held_up_by_a_silent_peer(harness: impl Harness) {
    let mut listener = listen(&harness).await;
    let _silent = harness.silent_peer(listener.local_address().clone()).await;
    let _its_end = accept(&mut *listener).await;
    talk(pair_at(&harness, &mut *listener).await).await;
}

/// 64 peers are connected at the same time, and each talks to its own end.
pub async fn many_connections_are_open_at_once(harness: impl Harness) {
    const MANY: u8 = 64;
    let mut listener = listen(&harness).await;
    let address = listener.local_address().clone();
    let transport = transport(&harness, &address);
    let all_are_open = Arc::new(Barrier::new(MANY.into()));
    let mut peers = JoinSet::new();
    for number in 0..MANY {
        let (address, transport) = (address.clone(), Arc::clone(&transport));
        let all_are_open = Arc::clone(&all_are_open);
        peers.spawn(async move {
            let mut stream = transport.connect(&address).await.expect("connect").stream;
            stream.write_u8(number).await.expect("write");
            stream.flush().await.expect("flush");
            all_are_open.wait().await;
            assert_eq!(stream.read_u8().await.expect("read"), !number);
        });
    }
    for _ in 0..MANY {
        let incoming = accept(&mut *listener).await;
        peers.spawn(async move {
            let mut stream = finish(incoming).await.expect("accept").stream;
            let number = stream.read_u8().await.expect("read");
            stream.write_u8(!number).await.expect("write");
            stream.shutdown().await.expect("shutdown");
        });
    }
    while let Some(peer) = peers.join_next().await {
        peer.expect("one of the peers");
    }
}

/// Connecting where nobody listens fails at once, with an error that says where.
pub async fn connecting_to_nobody_fails_and_names_the_address(harness: impl Harness) {
    let listener = listen(&harness).await;
    let address = listener.local_address().clone();
    drop(listener);
    let error = connect(&harness, &address).await.expect_err("nobody is there");
    assert!(matches!(error, TransportError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

/// A second listener at the same address is an error that says where, and the first goes on.
pub async fn listening_twice_at_one_address_fails(harness: impl Harness) {
    let mut listener = listen(&harness).await;
    let address = listener.local_address().clone();
    let error = listen_at(&harness, &address).await.err().expect("it is taken");
    assert!(matches!(error, TransportError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    talk(pair_at(&harness, &mut *listener).await).await;
}

/// An address that has the scheme but another transport's shape is refused as such.
pub async fn an_address_of_another_shape_is_refused(harness: impl Harness) {
    let misshapen = harness.misshapen();
    assert!(!misshapen.is_empty(), "the harness knows some");
    for text in misshapen {
        let address = parse(&text);
        for error in [connect(&harness, &address).await.err(), listen_at(&harness, &address).await.err()] {
            let error = error.unwrap_or_else(|| panic!("{text} was accepted"));
            assert!(matches!(error, TransportError::Address { .. }), "{text}: {error:?}");
            assert!(error.to_string().contains(&text), "{error}");
        }
    }
}

/// What a listener says its address is can be printed, read again and connected to.
pub async fn the_local_address_can_be_connected_to(harness: impl Harness) {
    let mut listener = listen(&harness).await;
    let address = parse(&listener.local_address().to_string());
    assert_eq!(address, *listener.local_address());
    let accepted = async { finish(accept(&mut *listener).await).await };
    let (near, far) = tokio::join!(connect(&harness, &address), accepted);
    talk((near.expect("connect"), far.expect("accept"))).await;
}

/// The listener and both ends agree on how well the stream is guarded.
pub async fn the_protection_is_as_expected(harness: impl Harness) {
    let expected = harness.expected().protection;
    let mut listener = listen(&harness).await;
    assert_eq!(listener.protection(), expected);
    let (near, far) = pair_at(&harness, &mut *listener).await;
    assert_eq!(near.evidence.protection(), expected);
    assert_eq!(far.evidence.protection(), expected);
}

/// Once a listener is dropped the next can have its address, even while a stream of the first is open.
pub async fn dropping_the_listener_frees_the_address(harness: impl Harness) {
    let mut listener = listen(&harness).await;
    let address = listener.local_address().clone();
    let _still_open = pair_at(&harness, &mut *listener).await;
    drop(listener);
    let mut again = listen_at(&harness, &address).await.expect("listen again");
    talk(pair_at(&harness, &mut *again).await).await;
}

/// Streams that were accepted outlive their listener.
pub async fn dropping_the_listener_leaves_open_streams_alone(harness: impl Harness) {
    let mut listener = listen(&harness).await;
    let ends = pair_at(&harness, &mut *listener).await;
    drop(listener);
    talk(ends).await;
}

/// A peer that was never accepted sees an end when the listener goes, and does not hang.
pub async fn a_peer_still_waiting_sees_the_listener_end(harness: impl Harness) {
    let listener = listen(&harness).await;
    let address = listener.local_address().clone();
    let transport = transport(&harness, &address);
    let mut waiting = tokio::spawn(async move {
        if let Ok(mut near) = transport.connect(&address).await {
            let read = near.stream.read(&mut [0; 8]).await;
            assert!(matches!(read, Ok(0) | Err(_)), "read {read:?}");
        }
    });
    // Long enough to be in the backlog; if it is not, connecting fails, which is an end as well.
    let early = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
    assert!(early.is_err(), "it ended before the listener did: {early:?}");
    drop(listener);
    waiting.await.expect("the peer that waited");
}

/// However far a connect future had come when it was dropped, the listener and the next peer are as before.
pub async fn dropping_a_connect_future_is_harmless(harness: impl Harness) {
    let mut listener = listen(&harness).await;
    let address = listener.local_address().clone();
    let transport = transport(&harness, &address);
    for polls in 0..10 {
        let mut connecting = transport.connect(&address);
        for _ in 0..polls {
            let mut context = Context::from_waker(Waker::noop());
            if connecting.as_mut().poll(&mut context).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let patient = async {
        let mut stream = connect(&harness, &address).await.expect("connect").stream;
        stream.write_all(b"still here").await.expect("write");
        stream.shutdown().await.expect("shutdown");
        stream.read_to_end(&mut Vec::new()).await.expect("read");
    };
    // Of those that were dropped some arrive, and end without a word.
    let server = async {
        loop {
            let Ok(mut far) = finish(accept(&mut *listener).await).await else {
                continue;
            };
            let mut bytes = Vec::new();
            if far.stream.read_to_end(&mut bytes).await.is_ok() && bytes == b"still here" {
                return;
            }
        }
    };
    tokio::join!(patient, server);
}

/// A few bytes there and back.
async fn talk((mut near, mut far): (Established, Established)) {
    say_hello(&mut near.stream, &mut far.stream).await;
    say_hello(&mut far.stream, &mut near.stream).await;
}

async fn say_hello(from: &mut BoxStream, to: &mut BoxStream) {
    from.write_all(b"hello").await.expect("write");
    from.flush().await.expect("flush");
    let mut heard = [0; 5];
    to.read_exact(&mut heard).await.expect("read");
    assert_eq!(&heard, b"hello");
}
