//! Certificates in a folder, servers of ours, and servers of openssl.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use certgen::{AuthorityConfig, CertificateAuthority, Credentials, LeafConfig, RevocationConfig, Validity};
use interop::{LinePeer, Openssl};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use transport::core::{Established, Listen, Transport as _, TransportError};
use transport::tls::{ClientCertificates, TlsConfig, TlsTransport, Trust};
use transport::{Policy, RawServer, ServerEvent, ServerEvents};

/// A folder with `ca.pem`, `db.example.pem`, `alice.pem`, `ca.key`, and the program.
pub(crate) struct Folder {
    pub(crate) openssl: Openssl,
    pub(crate) authority: CertificateAuthority,
    directory: tempfile::TempDir,
}

impl Folder {
    /// Nothing where there is no openssl.
    pub(crate) fn new() -> Option<Folder> {
        let openssl = Openssl::installed()?;
        let authority = CertificateAuthority::new(&AuthorityConfig::default()).unwrap();
        let folder = Folder { openssl, authority, directory: tempfile::tempdir().unwrap() };
        folder.write("ca.pem", &folder.authority.certificate().pem());
        folder.write("ca.key", &folder.authority.key().pem());
        for name in ["db.example", "alice"] {
            let credentials = folder.issue(&LeafConfig::new([name]).unwrap());
            folder.write(&format!("{name}.pem"), &credentials.combined_pem());
        }
        Some(folder)
    }

    pub(crate) fn issue(&self, config: &LeafConfig) -> Credentials {
        self.authority.issue(config).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn at(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let beside = self.path("beside");
        fs::write(&beside, text).unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(beside, self.path(name)).unwrap();
    }

    /// Settings with one of the certificates, and trust in the authority.
    pub(crate) fn config(&self, own: &str) -> TlsConfig {
        TlsConfig::new().with_certificate(self.path(own)).with_trust(Trust::ca_file(self.path("ca.pem")))
    }

    pub(crate) fn tls(&self, own: &str) -> TlsTransport {
        TlsTransport::with_config(self.config(own)).unwrap()
    }

    /// `openssl s_client` with this certificate, or none.
    pub(crate) fn client(&self, port: u16, own: Option<&str>, more: &str) -> LinePeer {
        let own = own.map(|own| format!("-cert {own} -key {own}")).unwrap_or_default();
        let arguments = format!(
            "s_client -connect 127.0.0.1:{port} -servername db.example -verify_hostname db.example -verify_return_error \
             -CAfile ca.pem -alpn zmtp/3.1 -cipher DEFAULT@SECLEVEL=0 {own} {more}"
        );
        self.openssl.start(self.at(), &arguments)
    }

    /// `openssl s_server` with this certificate; and its port. It does as `more` says: `-rev` sends each line back from its
    /// end to its start, `-www` shows the state of the connection.
    pub(crate) async fn server(&self, own: &str, more: &str) -> (LinePeer, u16) {
        let arguments = format!(
            "s_server -accept 127.0.0.1:0 -cert {own} -key {own} -CAfile ca.pem -alpn zmtp/3.1 -cipher DEFAULT@SECLEVEL=0 {more}"
        );
        let mut server = self.openssl.start(self.at(), &arguments);
        let accept = server.hear("ACCEPT").await;
        let port = accept.rsplit(':').next().and_then(|port| port.trim().parse().ok());
        let port = port.unwrap_or_else(|| panic!("no port in {accept:?}"));
        (server, port)
    }
}

/// A server of ours that sends all back that it receives.
pub(crate) async fn echo_server(tls: &TlsTransport, policy: Policy) -> (u16, ServerEvents) {
    let listen = Listen::new(&transport::transports(), "tls://127.0.0.1:0").transport(tls.clone());
    let mut server = listen.policy(policy).start_raw().await.unwrap();
    let events = server.events();
    let (_, port) = server.local_address().host_port().unwrap();
    tokio::spawn(echo(server));
    (port, events)
}

async fn echo(mut server: RawServer) {
    while let Some(connection) = server.accept().await {
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(connection.into_stream());
            let _ended = tokio::io::copy(&mut read, &mut write).await;
            let _closed = write.shutdown().await;
        });
    }
}

/// A stream of ours to a server of openssl.
pub(crate) async fn connect(tls: &TlsTransport, port: u16) -> Result<Established, TransportError> {
    tls.connect(&format!("tls://127.0.0.1:{port}?name=db.example").parse().unwrap()).await
}

/// Sends a line and returns the answer.
pub(crate) async fn ask(stream: &mut Established, line: &str) -> String {
    stream.stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    stream.stream.flush().await.unwrap();
    let mut answer = vec![0; line.len() + 1];
    stream.stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap().trim_end().to_owned()
}

/// Sends a line and returns all that comes until the end.
pub(crate) async fn ask_all(stream: &mut Established, line: &str) -> String {
    stream.stream.write_all(line.as_bytes()).await.unwrap();
    stream.stream.flush().await.unwrap();
    let mut answer = String::new();
    stream.stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Who came last, or why it was refused.
pub(crate) async fn next(events: &mut ServerEvents) -> Result<String, String> {
    loop {
        match events.recv().await.expect("the server goes on") {
            ServerEvent::Accepted { identity, .. } => return Ok(identity.to_string()),
            ServerEvent::Refused { reason, .. } => return Err(chain(&*reason)),
            _ => {}
        }
    }
}

/// An error with all of its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

pub(crate) fn not_asked(config: TlsConfig) -> TlsTransport {
    TlsTransport::with_config(config.with_client_certificates(ClientCertificates::NotAsked)).unwrap()
}

/// A list of the folder's authority, for a day.
pub(crate) fn revocation_list(folder: &Folder, config: RevocationConfig) -> String {
    let config = config.with_validity(Validity::Days(1));
    folder.authority.revocation_list(&config).unwrap().pem()
}

/// What a client says of its session, once something came back to it.
pub(crate) async fn talk(mut client: LinePeer) -> String {
    client.say("hello there").await;
    client.hear("hello there").await;
    client.end().await
}
