//! How connections end, and who can make them end.

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use transport_core::mem::MemTransport;
use transport_core::{
    Address, Connect, Incoming, Limits, Listen, Policy, RecvError, Transport as _, Transports,
};
use transport_unix::UnixTransport;

use crate::common::Authority;
use crate::meet::{bounded, meet, refusal, serve};

#[tokio::test]
async fn a_stream_that_is_cut_off_on_its_way_is_told_from_one_that_was_closed() {
    let authority = Authority::new();
    let tls = authority.tls(&authority.leaf("db.example"));
    let (mut server, _events) = serve(&tls).await;
    let (_, port) = server.local_address().host_port().unwrap();
    // Somebody on the way, who ends both streams after the first message.
    let between = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tls://{}?name=db.example", between.local_addr().unwrap());
    let (cut, cut_now) = tokio::sync::oneshot::channel::<()>();
    let relay = tokio::spawn(async move {
        let (mut near, _) = between.accept().await.unwrap();
        let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => panic!("it ended by itself"),
            _ = cut_now => {}
        }
        near.shutdown().await.unwrap();
        far.shutdown().await.unwrap();
        // Without unread bytes there is no reset.
        let (mut rest, mut other_rest) = (Vec::new(), Vec::new());
        let _ = tokio::join!(near.read_to_end(&mut rest), far.read_to_end(&mut other_rest));
    });
    let connect =
        Connect::new(&Transports::new(), &address).transport(tls.clone()).server(Policy::danger_anyone());
    let (near, far) = bounded(async { tokio::join!(connect, server.accept()) }).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    near.send("whole").await.unwrap();
    assert_eq!(bounded(far.recv()).await.unwrap().unwrap().to_text(), Some("whole"));
    cut.send(()).unwrap();
    for connection in [&mut near, &mut far] {
        let error = bounded(connection.recv()).await.unwrap_err();
        assert!(matches!(error, RecvError::Truncated), "{error:?}");
    }
    drop((near, far));
    bounded(relay).await.unwrap();

    let (mut near, far) = meet(&tls, &mut server, "db.example").await;
    drop(far);
    assert!(bounded(near.recv()).await.unwrap().is_none(), "a goodbye is no cut");
}

/// Over a Unix socket, which notices at once that nobody is left to hear the goodbye.
#[tokio::test]
async fn closing_what_the_other_end_has_closed_is_no_error_and_writing_is() {
    let authority = Authority::new();
    let tls = authority.tls(&authority.leaf("db.example")).over("tls+unix", UnixTransport::new());
    let directory = tempfile::tempdir().unwrap();
    let address: Address =
        format!("tls+unix://{}/s.sock?name=db.example", directory.path().display()).parse().unwrap();
    let listen = Listen::new(&Transports::new(), address.clone()).transport(tls.clone());
    let mut server = listen.policy(Policy::certified()).start_raw().await.unwrap();
    for writes in [false, true] {
        let (near, far) = bounded(async { tokio::join!(tls.connect(&address), server.accept()) }).await;
        let mut far = far.unwrap().into_stream();
        drop(near.unwrap());
        assert_eq!(bounded(far.read(&mut [0; 16])).await.unwrap(), 0, "it has said goodbye");
        if writes {
            let error = bounded(far.write_all(b"too late")).await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        } else {
            bounded(far.shutdown()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_came_before_a_forged_record_is_received_and_then_the_error() {
    let authority = Authority::new();
    let tls = authority.tls(&authority.leaf("db.example"));
    let (mut server, _events) = serve(&tls).await;
    let (_, port) = server.local_address().host_port().unwrap();
    // Somebody on the way, who appends a record of his own to the first long message.
    const LONG: usize = 4050;
    let between = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tls://{}?name=db.example", between.local_addr().unwrap());
    let relay = tokio::spawn(async move {
        let (mut near, mut to_near) = between.accept().await.unwrap().0.into_split();
        let (mut far, mut to_far) = TcpStream::connect(("127.0.0.1", port)).await.unwrap().into_split();
        let back = tokio::spawn(async move { tokio::io::copy(&mut far, &mut to_near).await });
        let mut chunk = vec![0; 2 * LONG];
        loop {
            let length = near.read(&mut chunk).await.unwrap();
            let forged: &[u8] =
                if length > LONG { &[&[23, 3, 3, 0, 64], &[0; 64][..]].concat() } else { &[] };
            if length == 0 || to_far.write_all(&[&chunk[..length], forged].concat()).await.is_err() {
                break;
            }
        }
        back.abort();
    });
    let connect =
        Connect::new(&Transports::new(), &address).transport(tls.clone()).server(Policy::danger_anyone());
    let (near, far) = bounded(async { tokio::join!(connect, server.accept()) }).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    near.send(&vec![7; LONG][..]).await.unwrap();
    assert_eq!(bounded(far.recv()).await.unwrap().unwrap()[0], [7; LONG][..]);
    let error = bounded(far.recv()).await.unwrap_err();
    assert!(matches!(error, RecvError::Io(_)), "{error:?}");
    drop((near, far));
    bounded(relay).await.unwrap();
}

/// In virtual time, which a slow machine does not stretch.
#[tokio::test(start_paused = true)]
async fn the_handshakes_of_tls_and_zmtp_share_one_deadline() {
    let authority = Authority::new();
    let mem = MemTransport::new();
    let tls = authority.tls(&authority.leaf("db.example")).over("tls+mem", mem.clone());
    let deadline = Limits::default().handshake_time;
    let listen = Listen::new(&Transports::new(), "tls+mem://server").transport(tls.clone());
    let mut server = listen.policy(Policy::danger_anyone()).start().await.unwrap();
    let mut events = server.events();
    let below: Address = "mem://server".parse().unwrap();

    // Part of a hello, as a record that says it is 512 bytes long.
    let mut half = mem.connect(&below).await.unwrap().stream;
    half.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252]).await.unwrap();
    let refused = bounded(refusal(&mut events)).await;
    assert!(refused.contains("within 5s"), "{refused}");

    // TLS takes half of the time, and ZMTP does not get another such time.
    let mut slow = mem.listen(&"mem://slow".parse().unwrap()).await.unwrap();
    tokio::spawn(async move {
        let Incoming::Established(mut near) = poll_fn(|cx| slow.poll_accept(cx)).await.unwrap() else {
            panic!("there is no handshake to do")
        };
        let mut far = mem.connect(&below).await.unwrap();
        tokio::time::sleep(deadline / 2).await;
        let _until_it_is_cut = tokio::io::copy_bidirectional(&mut near.stream, &mut far.stream).await;
    });
    let start = Instant::now();
    let silent = bounded(tls.connect(&"tls+mem://slow?name=db.example".parse().unwrap())).await.unwrap();
    assert_eq!(start.elapsed(), deadline / 2);
    let refused = bounded(refusal(&mut events)).await;
    assert_eq!(start.elapsed(), deadline);
    assert!(refused.contains("within 5s"), "{refused}");
    drop(silent);
}

#[tokio::test]
async fn what_was_fed_goes_out_while_this_side_waits_for_an_answer() {
    let authority = Authority::new();
    let tls = authority.tls(&authority.leaf("db.example"));
    let (mut server, _events) = serve(&tls).await;
    let (mut near, mut far) = meet(&tls, &mut server, "db.example").await;
    // Far more than the buffers on the way hold, so that some is left in the TLS layer.
    const MANY: usize = 200;
    let large = vec![7; 100_000];
    let receiving = tokio::spawn(async move {
        for _ in 0..MANY {
            bounded(far.recv()).await.unwrap().unwrap();
        }
        far.send("all are here").await.unwrap();
        far
    });
    for _ in 0..MANY {
        bounded(near.feed(&large[..])).await.unwrap();
    }
    let answer = bounded(near.recv()).await.unwrap().unwrap();
    assert_eq!(answer.to_text(), Some("all are here"));
    receiving.await.unwrap();
}

/// Over a transport in memory: what was sent has arrived, and no kernel is still busy with it.
#[tokio::test]
async fn what_has_arrived_when_the_server_drains_is_received() {
    let authority = Authority::new();
    let tls = authority.tls(&authority.leaf("db.example")).over("tls+mem", MemTransport::new());
    for split in [false, true] {
        let address = "tls+mem://server?name=db.example";
        let listen = Listen::new(&Transports::new(), address).transport(tls.clone());
        let mut server = listen.policy(Policy::certified()).start().await.unwrap();
        let connect = Connect::new(&Transports::new(), address).transport(tls.clone());
        let connect = connect.server(Policy::certified()).into_future();
        let (near, far) = bounded(async { tokio::join!(connect, server.accept()) }).await;
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        near.send("first").await.unwrap();
        assert!(bounded(far.recv()).await.unwrap().is_some());
        near.send("on its way").await.unwrap();
        let handle = server.handle();
        let stopping = tokio::spawn(async move { handle.shutdown(Duration::from_secs(10)).await });
        assert!(bounded(server.accept()).await.is_none());
        let message = if split {
            let (_sender, mut receiver) = far.split();
            bounded(receiver.recv()).await.unwrap()
        } else {
            bounded(far.recv()).await.unwrap()
        };
        assert_eq!(message.expect("it had arrived").to_text(), Some("on its way"));
        stopping.abort();
    }
}
