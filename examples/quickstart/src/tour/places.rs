//! Where the tour's servers listen: fresh addresses, and connections over them.

use tempfile::TempDir;
use transport::{Connect, Connection, Listen, Policy};

use super::certificates::{CLIENT, Certificates, SERVER};
use crate::problem::Problem;

/// The kinds of places that there are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    UnixFile,
    UnixAbstract,
    Mem,
    Tls,
    Tcp,
}

impl Kind {
    pub(super) const ALL: [Kind; 5] = [Kind::UnixFile, Kind::UnixAbstract, Kind::Mem, Kind::Tls, Kind::Tcp];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::UnixFile => "unix, a file",
            Kind::UnixAbstract => "unix, a name",
            Kind::Mem => "mem",
            Kind::Tls => "tls, loopback",
            Kind::Tcp => "tcp, loopback",
        }
    }

    /// The narrowest policy that the tour's client passes.
    pub(super) fn client(self) -> Policy {
        match self {
            Kind::UnixFile | Kind::UnixAbstract => Policy::same_user(),
            Kind::Mem => Policy::same_process(),
            Kind::Tls => Policy::san_dns(CLIENT),
            Kind::Tcp => Policy::danger_anyone(),
        }
    }

    /// The narrowest policy that the tour's server passes.
    pub(super) fn server(self) -> Policy {
        match self {
            Kind::Tls => Policy::san_dns(SERVER),
            other => other.client(),
        }
    }
}

/// Makes addresses that nobody uses yet; its directory goes when it is dropped.
pub(super) struct Places {
    directory: TempDir,
    certificates: Certificates,
    made: u32,
}

impl Places {
    pub(super) fn new() -> Result<Places, Problem> {
        let directory = tempfile::Builder::new().prefix("quickstart-").tempdir();
        let directory =
            directory.map_err(|error| format!("cannot make a directory for the sockets: {error}"))?;
        Ok(Places { directory, certificates: Certificates::new()?, made: 0 })
    }

    pub(super) fn address(&mut self, kind: Kind) -> Result<String, Problem> {
        self.made += 1;
        let (process, number) = (std::process::id(), self.made);
        Ok(match kind {
            Kind::UnixFile => {
                let directory = self.directory.path();
                let path = directory.to_str().ok_or("the directory for temporary files is not UTF-8")?;
                // The two characters that mean something else in an address.
                let path = path.replace('%', "%25").replace('?', "%3F");
                format!("unix://{path}/{number}.sock")
            }
            Kind::UnixAbstract => format!("unix:@quickstart-{process}-{number}"),
            Kind::Mem => format!("mem://quickstart-{number}"),
            Kind::Tls => format!("tls://127.0.0.1:0?name={SERVER}"),
            Kind::Tcp => "tcp://127.0.0.1:0".to_owned(),
        })
    }

    /// Who has which certificate.
    pub(super) fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Listens at a fresh address, with the server's certificate.
    pub(super) fn listen(&mut self, kind: Kind) -> Result<Listen, Problem> {
        Ok(transport::listen(self.address(kind)?).transport(self.certificates.server.clone()))
    }

    pub(super) fn close(self) -> Result<(), Problem> {
        let removed = self.directory.close();
        removed.map_err(|error| format!("cannot remove the directory for the sockets: {error}").into())
    }
}

/// The two ends of a connection.
pub(super) struct Ends {
    pub(super) address: String,
    pub(super) client: Connection,
    pub(super) server: Connection,
}

/// Listens, connects and accepts once; `prepare` has the last word on the client's settings.
pub(super) async fn ends(
    places: &Places,
    listen: Listen,
    prepare: impl FnOnce(Connect) -> Connect,
) -> Result<Ends, Problem> {
    let mut server = listen.start().await?;
    let address = server.local_address().to_string();
    let connect = prepare(transport::connect(&address).transport(places.certificates.client.clone()));
    let (server, client) = tokio::try_join!(
        async { server.accept().await.ok_or_else(|| Problem::from("the server stopped")) },
        async { connect.await.map_err(Problem::from) },
    )?;
    Ok(Ends { address, client, server })
}
