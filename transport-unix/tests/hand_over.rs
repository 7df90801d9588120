//! Listeners that a process hands over to the next one of its kind.

mod common;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{NET, Process, bounded};
use transport_core::mem::MemTransport;
use transport_core::tcp::TcpTransport;
use transport_core::{Connect, Connection, Listen, Policy, Server, ServerHandle, Transports};
use transport_unix::{HandOverError, Offer, TakenOver, UnixTransport};

const HAND_OVERS: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_hand_overs_under_load_refuse_nobody_and_lose_nothing_that_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let mut current = generation(directory.path(), 0);
    let tcp = current.says("outcome: serving ");
    let unix = format!("unix://{}/app.sock", directory.path().display());
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..6)
        .map(|client| {
            let address = if client % 2 == 0 { unix.clone() } else { tcp.clone() };
            tokio::spawn(load(client, address, Arc::clone(&stop)))
        })
        .collect();
    for number in 1..=HAND_OVERS {
        until_it_has_served(directory.path(), number - 1).await;
        let mut next = generation(directory.path(), number);
        assert_eq!(next.says("outcome: serving "), tcp, "hand-over {number}");
        // Clients see who listens now, not who did at first.
        let pid = connect(&unix).await.identity().credentials().unwrap().pid;
        assert_eq!(pid, i32::try_from(next.id()).ok());
        current.says("outcome: ended");
        current = next;
    }
    until_it_has_served(directory.path(), HAND_OVERS).await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for client in clients {
        acknowledged.extend(bounded(client).await.unwrap());
    }
    drop(current.stdin());
    current.says("outcome: ended");

    let mut received = Vec::new();
    for number in 0..=HAND_OVERS {
        let journal = fs::read_to_string(journal(directory.path(), number)).unwrap();
        received.extend(journal.lines().map(str::to_owned));
    }
    received.sort();
    assert!(acknowledged.len() > 10 * HAND_OVERS, "only {} were sent", acknowledged.len());
    let lost: Vec<_> = acknowledged.iter().filter(|id| received.binary_search(id).is_err()).collect();
    assert!(lost.is_empty(), "{} of {}, as {:?}", lost.len(), acknowledged.len(), lost.first());
    for left in ["app.sock", "app.sock.lock", "upgrade.sock", "upgrade.sock.lock"] {
        assert!(!directory.path().join(left).exists(), "{left} is left");
    }
}

/// A process of the test above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "another test starts it"]
async fn a_generation() {
    let Ok(directory) = std::env::var("GENERATION_DIRECTORY") else { return };
    let number: usize = std::env::var("GENERATION_NUMBER").unwrap().parse().unwrap();
    let upgrade = format!("unix://{directory}/upgrade.sock");
    let (unix, tcp) = if number == 0 {
        let transports = transports();
        let unix = Listen::new(&transports, format!("unix://{directory}/app.sock"));
        let tcp = Listen::new(&transports, "tcp://127.0.0.1:0");
        (start(unix).await, start(tcp).await)
    } else {
        let mut taken = bounded(take_when_there(&upgrade)).await;
        let unix = start(Listen::on(taken.listener("unix").unwrap())).await;
        let tcp = start(Listen::on(taken.listener("tcp").unwrap())).await;
        taken.confirm().await.unwrap();
        (unix, tcp)
    };
    let (unix_handle, tcp_handle) = (unix.handle(), tcp.handle());
    let journal = Path::new(&directory).join(format!("journal.{number}"));
    let serving = [tokio::spawn(serve(unix, journal.clone())), tokio::spawn(serve(tcp, journal))];
    let offer = Offer::new().with("unix", &unix_handle).with("tcp", &tcp_handle);
    println!("outcome: serving {}", tcp_handle.local_address());
    tokio::select! {
        given = offer.give(&upgrade) => given.unwrap(),
        () = end_of_input() => {}
    }
    let end = async |handle: ServerHandle| {
        handle.retire().await;
        handle.shutdown(NET).await.cut
    };
    assert_eq!(tokio::join!(end(unix_handle), end(tcp_handle)), (0, 0));
    for serving in serving {
        serving.await.unwrap();
    }
    // Where it waited is free too, although nobody waits for that.
    let waiting = async {
        while Path::new(&directory).join("upgrade.sock.lock").exists() && number == HAND_OVERS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    bounded(waiting).await;
    println!("outcome: ended");
    // The thread that reads the input does not end by itself.
    std::process::exit(0);
}

#[tokio::test]
async fn a_new_process_that_gives_up_leaves_everything_to_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let address = format!("unix://{}", path.display());
    let upgrade = format!("unix://{}/upgrade.sock", directory.path().display());
    let mut old = start(Listen::new(&transports(), &address)).await;
    let offer = Offer::new().with("app", &old.handle());
    let giving = tokio::spawn({
        let upgrade = upgrade.clone();
        async move { offer.give(&upgrade).await }
    });

    let taken = bounded(take_when_there(&upgrade)).await;
    assert_eq!(taken.names().collect::<Vec<_>>(), ["app"]);
    drop(taken);
    assert!(path.exists());
    let (_client, accepted) = tokio::join!(connect(&address), old.accept());
    accepted.unwrap();

    let mut taken = bounded(take_when_there(&upgrade)).await;
    let listener = taken.listener("app").unwrap();
    assert_eq!(listener.local_address().to_string(), address);
    assert!(taken.listener("app").is_none());
    let mut new = start(Listen::on(listener)).await;
    bounded(taken.confirm()).await.unwrap();
    giving.await.unwrap().unwrap();
    old.shutdown(Duration::ZERO).await;
    assert!(path.exists(), "the old one leaves the file alone");
    let problem = Listen::new(&transports(), &address).start().await.unwrap_err();
    let problem = std::error::Error::source(&problem).unwrap().to_string();
    assert_eq!(problem, "another server holds its lock file");
    let (_client, accepted) = tokio::join!(connect(&address), new.accept());
    accepted.unwrap();
    new.shutdown(Duration::ZERO).await;
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "the new one removes its files");
}

#[tokio::test]
async fn what_cannot_be_handed_over_says_so() {
    let transports = Transports::new().with(MemTransport::new());
    let server = Listen::new(&transports, "mem://app").policy(Policy::same_process()).start().await.unwrap();
    let upgrade = format!("unix:@transport-unix-no-hand-over-{}", std::process::id());
    let error = Offer::new().with("app", &server.handle()).give(&upgrade).await.unwrap_err();
    assert!(matches!(&error, HandOverError::Ended { name } if name == "app"), "{error:?}");
    let error = TakenOver::from(&transports, &upgrade).await.unwrap_err();
    assert!(matches!(error, HandOverError::Connect(_)), "{error:?}");
}

fn generation(directory: &Path, number: usize) -> Process {
    Process::start("a_generation", |command| {
        command.env("GENERATION_DIRECTORY", directory).env("GENERATION_NUMBER", number.to_string());
    })
}

fn journal(directory: &Path, number: usize) -> std::path::PathBuf {
    directory.join(format!("journal.{number}"))
}

async fn until_it_has_served(directory: &Path, number: usize) {
    let served = async {
        while fs::metadata(journal(directory, number)).map_or(0, |metadata| metadata.len()) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    bounded(served).await;
}

/// Sends until told to stop; returns what was acknowledged.
async fn load(client: usize, address: String, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut connection = bounded(connect(&address)).await;
        for _ in 0..10 {
            number += 1;
            let id = format!("{client} {number}");
            if connection.send(&id).await.is_err() {
                break;
            }
            match bounded(connection.recv()).await {
                Ok(Some(answer)) if answer.to_text() == Some(&id) => acknowledged.push(id),
                Ok(Some(other)) => panic!("{other:?} for {id}"),
                // The server drains: the next one gets it again.
                Ok(None) | Err(_) => break,
            }
        }
        let _closed = connection.close().await;
    }
    acknowledged
}

async fn serve(mut server: Server, journal: std::path::PathBuf) {
    while let Some(mut connection) = server.accept().await {
        let mut journal = OpenOptions::new().create(true).append(true).open(&journal).expect("the journal");
        tokio::spawn(async move {
            while let Ok(Some(message)) = connection.recv().await {
                let line = format!("{}\n", message.to_text().expect("an id"));
                journal.write_all(line.as_bytes()).expect("write the journal");
                if connection.send(&message).await.is_err() {
                    break;
                }
            }
            let _closed = connection.close().await;
        });
    }
}

async fn end_of_input() {
    let end = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    let _read = end.await;
}

async fn take_when_there(upgrade: &str) -> TakenOver {
    loop {
        match TakenOver::from(&transports(), upgrade).await {
            Ok(taken) => return taken,
            Err(HandOverError::Connect(_)) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn connect(address: &str) -> Connection {
    let client = Connect::new(&transports(), address).server(Policy::danger_anyone());
    client.await.unwrap_or_else(|error| panic!("{address} refused: {error:?}"))
}

async fn start(listen: Listen) -> Server {
    listen.policy(Policy::danger_anyone()).start().await.expect("listen")
}

fn transports() -> Transports {
    Transports::new().with(UnixTransport::new()).with(TcpTransport::new())
}
