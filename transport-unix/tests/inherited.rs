//! Listening sockets that a service manager made. The manager is this program, with a shell that puts the descriptors
//! where they belong.

mod common;

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::process::Command;

use common::{Process, bounded};
use transport_core::tcp::TcpTransport;
use transport_core::{Connect, Listen, Policy, Transports};
use transport_unix::{Inherited, UnixTransport};

#[tokio::test]
async fn sockets_of_a_service_manager_are_found_by_name_and_served() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let unix = UnixListener::bind(&path).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp_address = format!("tcp://{}", tcp.local_addr().unwrap());
    let unix_address = format!("unix://{}", path.display());
    let mut service = service("$$", unix.into(), tcp.into());
    assert_eq!(
        service.says("outcome: "),
        format!("serving {unix_address} {tcp_address} left [] passed on false")
    );

    for address in [&unix_address, &tcp_address] {
        let client = Connect::new(&transports(), address).server(Policy::danger_anyone());
        let mut connection = bounded(client.into_future()).await.unwrap();
        connection.send("hello").await.unwrap();
        assert_eq!(bounded(connection.recv()).await.unwrap().unwrap().to_text(), Some("hello"));
        if let Some(credentials) = connection.identity().credentials() {
            // Who listens is the manager; of a system's manager that is root.
            assert_eq!(credentials.pid, i32::try_from(std::process::id()).ok());
        }
    }
    let client = Connect::new(&transports(), &unix_address).server(Policy::same_user_or_root());
    bounded(client.into_future()).await.unwrap().send("end").await.unwrap();
    service.says("outcome: ended");
    assert!(path.exists(), "the file is the manager's");
    assert!(!directory.path().join("app.sock.lock").exists());
}

#[tokio::test]
async fn sockets_of_another_process_are_left_alone() {
    let [unix, tcp] = [listening(), listening()];
    let mut service = service("1", unix, tcp);
    assert_eq!(service.says("outcome: "), "nothing was inherited");
}

#[tokio::test]
async fn what_does_not_listen_is_refused() {
    let (connected, _other) = UnixStream::pair().unwrap();
    let mut service = service("$$", connected.into(), listening());
    assert_eq!(
        service.says("outcome: "),
        "cannot go on with a listening socket: it is no Unix stream socket that listens"
    );
}

#[tokio::test]
async fn what_is_no_stream_socket_is_refused() {
    let (datagrams, _other) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let mut service = service("$$", datagrams.into(), listening());
    let problem = "the inherited socket \"api\" is neither a unix nor a tcp socket for streams";
    assert_eq!(service.says("outcome: "), problem);
}

#[tokio::test]
async fn an_adopted_socket_must_be_one_that_listens() {
    let not_listening = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    assert!(TcpTransport::new().adopt(not_listening.into()).is_err());
    assert!(TcpTransport::new().adopt(listening()).is_err(), "another family");
    assert!(UnixTransport::new().adopt(TcpListener::bind("127.0.0.1:0").unwrap().into()).is_err());
    let file = tempfile::tempfile().unwrap();
    assert!(UnixTransport::new().adopt(file.into()).is_err());
    let adopted = UnixTransport::new().adopt(listening()).unwrap();
    assert!(adopted.local_address().to_string().starts_with("unix:@"));
}

/// The service of the tests above.
#[test]
#[ignore = "other tests start it"]
fn the_service() {
    if std::env::var("LISTEN_FDS").is_err() {
        return;
    }
    // Before there is a runtime, as the docs say.
    match Inherited::take() {
        Ok(inherited) if inherited.names().next().is_none() => println!("outcome: nothing was inherited"),
        Ok(inherited) => tokio::runtime::Runtime::new().unwrap().block_on(serve(inherited)),
        Err(error) => println!("outcome: {error}"),
    }
}

async fn serve(mut inherited: Inherited) {
    assert!(std::env::var("LISTEN_FDS").is_err() && std::env::var("LISTEN_PID").is_err());
    assert_eq!(inherited.names().collect::<Vec<_>>(), ["api", ""]);
    assert!(inherited.listener("other").is_none());
    let mut addresses = Vec::new();
    let mut servers = Vec::new();
    let (told, mut end) = tokio::sync::mpsc::channel(1);
    for name in ["api", ""] {
        let listener = match inherited.listener(name).expect("the test is set up") {
            Ok(listener) => listener,
            Err(error) => {
                let cause = std::error::Error::source(&error).expect("a cause");
                return println!("outcome: {error}: {cause}");
            }
        };
        addresses.push(listener.local_address().to_string());
        let mut server =
            Listen::on(listener).policy(Policy::danger_anyone()).start().await.expect("the test is set up");
        servers.push(server.handle());
        let told = told.clone();
        tokio::spawn(async move {
            while let Some(mut connection) = server.accept().await {
                while let Ok(Some(message)) = connection.recv().await {
                    if message.to_text() == Some("end") {
                        told.send(()).await.expect("the test is set up");
                    } else {
                        connection.send(&message).await.expect("the test is set up");
                    }
                }
            }
        });
    }
    // Programs that this one starts do not have them.
    let inherits = "[ -e /proc/$$/fd/3 ] || [ -e /proc/$$/fd/4 ]";
    let passed_on = Command::new("sh").args(["-c", inherits]).status().expect("the test is set up").success();
    let left: Vec<_> = inherited.names().collect();
    println!("outcome: serving {} left {left:?} passed on {passed_on}", addresses.join(" "));
    end.recv().await.expect("the test is set up");
    for server in servers {
        server.shutdown(std::time::Duration::ZERO).await;
    }
    println!("outcome: ended");
}

/// Starts [`the_service`] with the sockets as descriptors 3 and 4; `pid` is what LISTEN_PID says, in a shell's words.
fn service(pid: &str, third: OwnedFd, fourth: OwnedFd) -> Process {
    let script = format!(
        "exec 3<&2 4<&0 </dev/null 2>/dev/null
        export LISTEN_FDS=2 LISTEN_FDNAMES=api LISTEN_PID={pid}
        exec \"$0\" the_service --exact --ignored --nocapture"
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &script])
        .arg(std::env::current_exe().expect("the test is set up"))
        .stderr(third)
        .stdin(fourth);
    Process::of(command)
}

fn listening() -> OwnedFd {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("transport-unix-inherited-{}-{number}", std::process::id());
    let address = SocketAddr::from_abstract_name(name).expect("the test is set up");
    UnixListener::bind_addr(&address).expect("the test is set up").into()
}

fn transports() -> Transports {
    Transports::new().with(UnixTransport::new()).with(TcpTransport::new())
}
