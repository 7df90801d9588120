//! stunnel, which knows no protocols (ALPN): a legacy peer that has to be named. It runs in its inetd mode, one process for
//! one connection, so that it needs no port of its own.

use std::os::fd::OwnedFd;
use std::process::Stdio;

use interop::{LinePeer, bounded, has_program};
use tokio::net::TcpListener;
use tokio::process::Command;
use transport::Policy;
use transport::tls::{TlsConfig, TlsTransport};

use crate::set_up::{Folder, ask, chain, connect, echo_server, next};

fn folder() -> Option<Folder> {
    if !has_program("stunnel4") {
        return None;
    }
    let folder = Folder::new()?;
    let foreign = Folder::new()?.issue(&certgen::LeafConfig::new(["db.example", "alice"]).unwrap());
    folder.write("foreign.pem", &foreign.combined_pem());
    Some(folder)
}

/// A stunnel that trusts the authority of the folder and proves itself with one of the certificates.
pub(crate) fn stunnel(folder: &Folder, own: &str, more: &str) -> Command {
    let at = |name: &str| folder.path(name).display().to_string();
    let settings = format!(
        "foreground = yes\nsyslog = no\ndebug = notice\npid =\ncert = {}\nCAfile = {}\nverifyChain = yes\n{more}",
        at(own),
        at("ca.pem")
    );
    folder.write("stunnel.conf", &settings);
    let mut command = Command::new("stunnel4");
    command.arg(at("stunnel.conf")).kill_on_drop(true);
    command
}

/// A stunnel that carries what it is told to a server of ours.
fn client(folder: &Folder, own: &str, port: u16) -> LinePeer {
    let more =
        format!("client = yes\nconnect = 127.0.0.1:{port}\nsni = db.example\ncheckHost = db.example\n");
    LinePeer::start(stunnel(folder, own, &more))
}

/// A stunnel that serves one connection, and sends back what comes; and its port, and what it has logged in the end.
async fn server(folder: &Folder, own: &str) -> (u16, tokio::task::JoinHandle<String>) {
    let mut command = stunnel(folder, own, "exec = /bin/cat\nexecArgs = cat\n");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (accepted, _) = listener.accept().await.unwrap();
        let accepted = accepted.into_std().unwrap();
        accepted.set_nonblocking(false).unwrap();
        let socket = OwnedFd::from(accepted);
        command.stdin(socket.try_clone().unwrap()).stdout(socket).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        // The command has copies of the socket, which would keep it open.
        drop(command);
        let output = child.wait_with_output().await.unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    });
    (port, served)
}

/// Settings under which a peer of this name may do without a protocol.
pub(crate) fn legacy(folder: &Folder, own: &str, peer: &str) -> TlsConfig {
    folder.config(own).danger_without_protocol(Policy::san_dns(peer))
}

#[tokio::test]
async fn stunnel_as_a_client_is_let_in_where_it_is_named_and_known_by_its_certificate() {
    let Some(folder) = folder() else { return };
    bounded(async {
        let tls = TlsTransport::with_config(legacy(&folder, "db.example.pem", "alice")).unwrap();
        let (port, mut events) = echo_server(&tls, Policy::san_dns("alice")).await;
        let mut stunnel = client(&folder, "alice.pem", port);
        stunnel.say("hello there").await;
        stunnel.hear("hello there").await;
        assert_eq!(next(&mut events).await, Ok("dns:alice".to_owned()));
        let said = stunnel.end().await;
        assert!(
            said.contains("Connection closed: 12 byte(s) sent to TLS, 12 byte(s) sent to socket"),
            "{said}"
        );
    })
    .await;
}

#[tokio::test]
async fn stunnel_as_a_client_is_refused_with_a_reason_of_its_own() {
    let Some(folder) = folder() else { return };
    bounded(async {
        let lenient = TlsTransport::with_config(legacy(&folder, "db.example.pem", "alice")).unwrap();
        let strict = folder.tls("db.example.pem");
        let unknown = "alert certificate unknown";
        for (tls, own, reason, alert) in [
            (&lenient, "foreign.pem", "no trusted authority has issued the certificate", unknown),
            (&strict, "alice.pem", "the peer speaks no protocol (ALPN)", "alert no application protocol"),
        ] {
            let (port, mut events) = echo_server(tls, Policy::danger_anyone()).await;
            let mut stunnel = client(&folder, own, port);
            stunnel.say("hello there").await;
            let logged = next(&mut events).await.unwrap_err();
            assert!(logged.contains(reason), "{logged:?} instead of {reason:?}");
            let said = stunnel.said().await;
            assert!(said.contains(alert), "{own}: {said}");
        }
    })
    .await;
}

#[tokio::test]
async fn stunnel_as_a_server_is_met_where_it_is_named_and_known_by_its_certificate() {
    let Some(folder) = folder() else { return };
    bounded(async {
        let tls = TlsTransport::with_config(legacy(&folder, "alice.pem", "db.example")).unwrap();
        let (port, served) = server(&folder, "db.example.pem").await;
        let mut stream = connect(&tls, port).await.unwrap();
        assert_eq!(ask(&mut stream, "hello there").await, "hello there");
        assert_eq!(stream.evidence.channel_binding().unwrap().value.len(), 32);
        drop(stream);
        // It has verified us, and the stream ended with a goodbye.
        let said = served.await.unwrap();
        assert!(said.contains("Certificate accepted at depth=0: CN=alice"), "{said}");
        assert!(said.contains("Connection closed"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn stunnel_as_a_server_is_refused_with_a_reason_of_its_own() {
    let Some(folder) = folder() else { return };
    bounded(async {
        let lenient = TlsTransport::with_config(legacy(&folder, "alice.pem", "db.example")).unwrap();
        let strict = folder.tls("alice.pem");
        for (tls, own, reason) in [
            (&lenient, "foreign.pem", "no trusted authority has issued the certificate"),
            (&lenient, "alice.pem", "the certificate is for alice, not for db.example"),
            (&strict, "db.example.pem", "the peer speaks no protocol (ALPN), this side wants zmtp/3.1"),
        ] {
            let (port, served) = server(&folder, own).await;
            let logged = chain(&connect(tls, port).await.map(|_| ()).unwrap_err());
            assert!(logged.contains(reason), "{logged:?} instead of {reason:?}");
            let said = served.await.unwrap();
            let told = said.contains("alert certificate unknown");
            assert_eq!(told, reason.contains("certificate"), "{own}: {said}");
        }
    })
    .await;
}

#[tokio::test]
async fn stunnel_refuses_us_and_we_say_that_it_did() {
    let Some(folder) = folder() else { return };
    bounded(async {
        let trust = folder.config("foreign.pem").danger_without_protocol(Policy::danger_anyone());
        let (port, served) = server(&folder, "db.example.pem").await;
        // TLS 1.3: the client learns it with the first bytes that it reads.
        let mut stream = connect(&TlsTransport::with_config(trust).unwrap(), port).await.unwrap();
        let mut answer = [0];
        let error = tokio::io::AsyncReadExt::read(&mut stream.stream, &mut answer).await.unwrap_err();
        assert!(error.to_string().contains("it does not accept this side's certificate"), "{error}");
        assert!(served.await.unwrap().contains("CERT: Pre-verification error"));
    })
    .await;
}
