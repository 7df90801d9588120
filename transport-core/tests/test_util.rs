//! The test kit does what its scripts say, when they say it, and the same for the same seed.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::future::poll_fn;
use std::io::ErrorKind;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};
use transport_core::framing::Role;
use transport_core::mem::MemTransport;
use transport_core::test_util::{
    Direction, FaultControl, FaultPlan, FaultyTransport, Random, pair_over, sweep, virtual_time,
};
use transport_core::{Address, BoxStream, Incoming, Transport, Transports};

const SECOND: Duration = Duration::from_secs(1);

fn faulty() -> (FaultyTransport<MemTransport>, FaultControl) {
    let faulty = FaultyTransport::new(MemTransport::new());
    let control = faulty.control();
    (faulty, control)
}

/// Both ends of a stream whose connecting end has this plan.
async fn streams(plan: FaultPlan) -> (BoxStream, BoxStream, FaultControl) {
    let (faulty, control) = faulty();
    control.plan(move |role, _| if role == Role::Client { plan.clone() } else { FaultPlan::new() });
    let (near, far) = streams_of(&faulty).await;
    (near, far, control)
}

async fn streams_of(transport: &impl Transport) -> (BoxStream, BoxStream) {
    let address: Address = "mem://streams".parse().unwrap();
    let mut listener = transport.listen(&address).await.unwrap();
    let near = transport.connect(&address).await.unwrap().stream;
    match poll_fn(|cx| listener.poll_accept(cx)).await.unwrap() {
        Incoming::Established(far) => (near, far.stream),
        Incoming::Handshake { .. } => unreachable!("mem has none"),
    }
}

#[test]
fn a_reset_comes_after_so_many_bytes_written_and_ends_both_directions() {
    virtual_time(0, async |_| {
        let plan = FaultPlan::new().outgoing(Direction::new().reset_after(5));
        let (mut near, mut far, _) = streams(plan).await;
        far.write_all(b"on its way").await.unwrap();
        assert_eq!(near.write(b"12345678").await.unwrap(), 5);
        assert_eq!(near.write(b"678").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(near.read(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        drop(near);
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, b"12345");
    });
}

#[test]
fn a_reset_comes_after_so_many_bytes_read() {
    virtual_time(0, async |_| {
        let plan = FaultPlan::new().incoming(Direction::new().reset_after(5));
        let (mut near, mut far, _) = streams(plan).await;
        far.write_all(b"12345678").await.unwrap();
        let mut bytes = [0; 8];
        assert_eq!(near.read(&mut bytes).await.unwrap(), 5);
        assert_eq!(near.read(&mut bytes).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(near.write(b"1").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn an_end_comes_after_so_many_bytes_and_leaves_the_other_direction() {
    virtual_time(0, async |_| {
        let plan = FaultPlan::new().outgoing(Direction::new().end_after(5));
        let (mut near, mut far, _) = streams(plan).await;
        assert_eq!(near.write(b"12345678").await.unwrap(), 5);
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, b"12345");
        assert_eq!(near.write(b"678").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        far.write_all(b"back").await.unwrap();
        near.read_exact(&mut [0; 4]).await.unwrap();

        let (mut near, mut far, _) = streams(FaultPlan::new().incoming(Direction::new().end_after(3))).await;
        far.write_all(b"12345678").await.unwrap();
        let mut bytes = Vec::new();
        near.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, b"123");
    });
}

#[test]
fn a_reset_at_a_time_comes_while_both_sides_wait() {
    virtual_time(0, async |_| {
        let (mut near, _far, _) = streams(FaultPlan::new().reset_at(90 * SECOND)).await;
        let start = Instant::now();
        assert_eq!(near.read(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(start.elapsed(), 90 * SECOND);
    });
}

#[test]
fn what_is_read_shows_with_its_delay_and_in_order() {
    virtual_time(0, async |_| {
        let plan = FaultPlan::new().incoming(Direction::new().delayed(3 * SECOND));
        let (mut near, mut far, _) = streams(plan).await;
        let start = Instant::now();
        tokio::spawn(async move {
            far.write_all(b"one").await.unwrap();
            tokio::time::sleep(SECOND).await;
            far.write_all(b"two").await.unwrap();
        });
        let mut bytes = [0; 8];
        assert_eq!(near.read(&mut bytes).await.unwrap(), 3);
        assert_eq!((&bytes[..3], start.elapsed()), (&b"one"[..], 3 * SECOND));
        assert_eq!(near.read(&mut bytes).await.unwrap(), 3);
        assert_eq!((&bytes[..3], start.elapsed()), (&b"two"[..], 4 * SECOND));
        // The end of the stream travels as slowly.
        assert_eq!(near.read(&mut bytes).await.unwrap(), 0);
        assert_eq!(start.elapsed(), 4 * SECOND);
        assert_eq!(near.read(&mut bytes).await.unwrap(), 0);
    });
}

#[test]
fn bytes_pass_at_the_pace_of_the_script_in_either_direction() {
    virtual_time(0, async |_| {
        let slow = || Direction::new().slowed_to(1000);
        for plan in [FaultPlan::new().incoming(slow()), FaultPlan::new().outgoing(slow())] {
            let (near, far, _) = streams(plan).await;
            let (mut near_read, mut near_write) = near.into_split();
            let (mut far_read, mut far_write) = far.into_split();
            let start = Instant::now();
            let mut bytes = [0; 5000];
            let (read, written) =
                tokio::join!(near_read.read_exact(&mut bytes), far_write.write_all(&[0; 5000]));
            read.unwrap();
            written.unwrap();
            let (read, written) =
                tokio::join!(far_read.read_exact(&mut bytes), near_write.write_all(&[0; 5000]));
            read.unwrap();
            written.unwrap();
            assert_eq!(start.elapsed(), 5 * SECOND);
        }
    });
}

#[test]
fn one_byte_is_corrupted_in_either_direction() {
    virtual_time(0, async |_| {
        let corrupt = || Direction::new().corrupt(2, 0xff);
        let (mut near, mut far, _) = streams(FaultPlan::new().incoming(corrupt()).outgoing(corrupt())).await;
        let mut bytes = [0; 4];
        far.write_all(&[1; 4]).await.unwrap();
        near.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, [1, 1, 0xfe, 1]);
        near.write_all(&[1; 4]).await.unwrap();
        far.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, [1, 1, 0xfe, 1]);
    });
}

#[test]
fn bytes_come_and_go_in_pieces() {
    virtual_time(0, async |_| {
        let pieces = || Direction::new().in_pieces(7);
        let (mut near, mut far, _) = streams(FaultPlan::new().incoming(pieces()).outgoing(pieces())).await;
        let sent: Vec<u8> = (0..200).collect();
        let mut at = 0;
        while at < sent.len() {
            let written = near.write(&sent[at..]).await.unwrap();
            assert!((1..=7).contains(&written));
            at += written;
        }
        let mut received = vec![0; sent.len()];
        far.read_exact(&mut received).await.unwrap();
        assert_eq!(received, sent);
        far.write_all(&sent).await.unwrap();
        let mut received = Vec::new();
        while received.len() < sent.len() {
            let mut bytes = [0; 100];
            let length = near.read(&mut bytes).await.unwrap();
            assert!((1..=7).contains(&length));
            received.extend_from_slice(&bytes[..length]);
        }
        assert_eq!(received, sent);
    });
}

#[test]
fn a_stall_holds_up_one_direction_for_its_time() {
    virtual_time(0, async |_| {
        let plan = FaultPlan::new().outgoing(Direction::new().stall_after(3, 10 * SECOND));
        let (mut near, mut far, _) = streams(plan).await;
        let start = Instant::now();
        assert_eq!(near.write(b"12345").await.unwrap(), 3);
        far.write_all(b"back").await.unwrap();
        near.read_exact(&mut [0; 4]).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        near.write_all(b"45").await.unwrap();
        assert_eq!(start.elapsed(), 10 * SECOND);

        let plan = FaultPlan::new().incoming(Direction::new().stall_after(0, Duration::MAX));
        let (mut near, mut far, _) = streams(plan).await;
        far.write_all(b"never read").await.unwrap();
        assert!(timeout(100_000 * SECOND, near.read(&mut [0; 8])).await.is_err());
        assert!(!near.has_arrived());
    });
}

#[test]
fn connects_are_refused_until_they_are_not() {
    virtual_time(0, async |_| {
        let (faulty, control) = faulty();
        let address: Address = "mem://refused".parse().unwrap();
        let _listener = faulty.listen(&address).await.unwrap();
        control.refuse_connects(true);
        let error = faulty.connect(&address).await.unwrap_err().to_string();
        assert_eq!(error, "cannot connect to mem://refused");
        control.refuse_connects(false);
        faulty.connect(&address).await.unwrap();
    });
}

#[test]
fn a_partition_holds_up_bytes_and_connects_until_it_heals() {
    virtual_time(0, async |_| {
        let (faulty, control) = faulty();
        let (mut near, mut far) = streams_of(&faulty).await;
        control.partition(true);
        near.write_all(b"on its way").await.unwrap();
        let mut bytes = [0; 10];
        assert!(timeout(SECOND, far.read(&mut bytes)).await.is_err());
        assert!(!far.has_arrived());
        let listening: Address = "mem://streams".parse().unwrap();
        let _listener = faulty.listen(&listening).await.unwrap();
        assert!(timeout(SECOND, faulty.connect(&listening)).await.is_err());
        drop(near);

        let heals = control.clone();
        tokio::spawn(async move {
            tokio::time::sleep(SECOND).await;
            heals.partition(false);
        });
        let start = Instant::now();
        let (connected, read) = tokio::join!(faulty.connect(&listening), far.read_exact(&mut bytes));
        connected.unwrap();
        read.unwrap();
        assert_eq!((&bytes, start.elapsed()), (b"on its way", SECOND));
        assert_eq!(far.read(&mut bytes).await.unwrap(), 0);
    });
}

#[test]
fn resetting_all_streams_reaches_both_ends_of_each_and_loses_what_was_on_its_way() {
    virtual_time(0, async |_| {
        let (faulty, control) = faulty();
        let (mut near, mut far) = streams_of(&faulty).await;
        near.write_all(b"on its way").await.unwrap();
        let resets = control.clone();
        tokio::spawn(async move {
            tokio::time::sleep(SECOND).await;
            resets.reset_all();
        });
        let mut bytes = [0; 20];
        assert_eq!(near.read(&mut bytes).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(far.read(&mut bytes).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(control.open_ends(), 2);
        drop((near, far));
        assert_eq!(control.open_ends(), 0);
    });
}

#[test]
fn halves_keep_the_faults_and_say_what_the_stream_says() {
    virtual_time(0, async |_| {
        let plan = FaultPlan::new().incoming(Direction::new().delayed(SECOND));
        let (near, far, control) = streams(plan).await;
        assert!(near.is_write_vectored() && far.is_write_vectored());
        let (mut near_read, near_write) = near.into_split();
        let (_far_read, mut far_write) = far.into_split();
        assert!(near_write.is_write_vectored() && far_write.is_write_vectored());
        far_write.write_all(b"later").await.unwrap();
        let start = Instant::now();
        near_read.read_exact(&mut [0; 5]).await.unwrap();
        assert_eq!(start.elapsed(), SECOND);
        control.reset_all();
        assert!(near_read.read(&mut [0]).await.is_err() && far_write.write(&[0]).await.is_err());
    });
}

#[tokio::test]
async fn a_socket_that_has_bytes_says_so_through_the_wrapper() {
    use transport_core::tcp::TcpTransport;
    let faulty = FaultyTransport::new(TcpTransport::new());
    let mut listener = faulty.listen(&"tcp://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let mut near = faulty.connect(listener.local_address()).await.unwrap().stream;
    let Incoming::Established(far) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap() else {
        unreachable!("tcp has no handshake")
    };
    let mut far = far.stream;
    assert!(!far.has_arrived() && far.plain_socket().is_none());
    near.write_all(b"ab").await.unwrap();
    far.read_exact(&mut [0]).await.unwrap();
    assert!(far.has_arrived());
    let (mut read, _write) = far.into_split();
    assert!(read.has_arrived());
    read.read_exact(&mut [0]).await.unwrap();
    assert!(!read.has_arrived());
}

/// What happens on a few connections with drawn faults, with the times.
fn trace(seed: u64) -> Vec<String> {
    virtual_time(seed, async |mut random: Random| {
        let (faulty, control) = faulty();
        control.plan_from_seed(random.number(0..=u64::MAX), 3000, 10 * SECOND);
        let transports = Transports::new().with(faulty);
        let start = Instant::now();
        let trace = Mutex::new(Vec::new());
        let tell = |text: String| trace.lock().unwrap().push(format!("{:?} {text}", start.elapsed()));
        for round in 0..5 {
            let pair = pair_over(&transports, format!("mem://{round}"), |connect| connect, |listen| listen);
            let (near, mut far) = match pair.await {
                Ok(pair) => pair,
                Err(error) => {
                    tell(format!("{round}: {error}"));
                    continue;
                }
            };
            let (sender, _receiver) = near.split();
            let sending = async {
                for number in 0..20 {
                    let message = vec![number; random.length(0..=300)];
                    if let Err(error) = sender.send(&message).await {
                        return tell(format!("{round}: send {error}"));
                    }
                    tokio::time::sleep(random.time(Duration::ZERO..=SECOND)).await;
                }
                tell(format!("{round}: close {:?}", sender.close().await));
            };
            let receiving = async {
                loop {
                    match far.recv().await {
                        Ok(Some(message)) => tell(format!("{round}: {} bytes", message[0].len())),
                        end => return tell(format!("{round}: {end:?}")),
                    }
                }
            };
            let _late = timeout(300 * SECOND, async { tokio::join!(sending, receiving) }).await;
        }
        // What a stalled end had left to write is given up after 30 s.
        tokio::time::sleep(60 * SECOND).await;
        assert_eq!(control.open_ends(), 0);
        trace.into_inner().unwrap()
    })
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_one_another() {
    sweep(20, |seed| {
        let first = trace(seed);
        assert_eq!(first, trace(seed));
        assert_ne!(first, trace(seed + 1));
    });
}
