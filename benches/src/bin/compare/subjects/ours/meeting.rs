//! Where the two sides of a measurement meet.

use std::path::Path;

use serde::{Deserialize, Serialize};
use transport::tls::{OwnCertificate, TlsConfig, TlsTransport, Trust};
use transport::{Connect, Listen, Policy};

use crate::job::{Result, Wire};
use crate::subjects::certificates::{Certificates, NAME, certificates};

/// An address, and what both sides need to meet there.
#[derive(Clone)]
pub(super) struct Meeting {
    address: String,
    tls: Option<Tls>,
}

#[derive(Clone)]
struct Tls {
    server: TlsTransport,
    client: TlsTransport,
}

/// The same, for another process.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Invitation {
    address: String,
    certificates: Option<Certificates>,
}

impl Meeting {
    /// With nothing between the connections and the socket.
    pub(super) fn plain(wire: Wire, folder: &Path) -> Result<Meeting> {
        Meeting::invited(Invitation::plain(wire, folder))
    }

    /// With TLS over TCP, and certificates on both sides.
    pub(super) fn tls() -> Result<Meeting> {
        Meeting::invited(Invitation::tls()?)
    }

    pub(super) fn invited(invitation: Invitation) -> Result<Meeting> {
        let tls = invitation.certificates.as_ref().map(Tls::new).transpose()?;
        Ok(Meeting { address: invitation.address, tls })
    }

    pub(super) fn listen(&self) -> Listen {
        let listen = transport::listen(&*self.address).policy(Policy::danger_anyone());
        match &self.tls {
            Some(tls) => listen.transport(tls.server.clone()),
            None => listen,
        }
    }

    /// Connects to where the server says that it listens.
    pub(super) fn connect(&self, address: &str) -> Connect {
        self.connect_as(address, NAME)
    }

    /// As `connect`, with the name that the server's certificate must have.
    pub(super) fn connect_as(&self, address: &str, name: &str) -> Connect {
        let connect = match &self.tls {
            Some(tls) => transport::connect(format!("{address}?name={name}")).transport(tls.client.clone()),
            None => transport::connect(address),
        };
        connect.server(Policy::danger_anyone())
    }
}

impl Invitation {
    pub(super) fn plain(wire: Wire, folder: &Path) -> Invitation {
        let address = match wire {
            Wire::Tcp => "tcp://127.0.0.1:0".into(),
            Wire::Unix => format!("unix://{}", folder.join("socket").display()),
        };
        Invitation { address, certificates: None }
    }

    pub(super) fn tls() -> Result<Invitation> {
        Ok(Invitation { address: "tls://127.0.0.1:0".into(), certificates: Some(certificates()?.clone()) })
    }

    /// The same at the address where the server says that it listens.
    pub(super) fn at(self, address: String) -> Invitation {
        Invitation { address, ..self }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

impl Tls {
    fn new(certificates: &Certificates) -> Result<Tls> {
        let Certificates { authority, server, client } = certificates;
        let side = |own: &str| {
            let config = TlsConfig::new().with_certificate(OwnCertificate::from_pem(own));
            TlsTransport::with_config(config.with_trust(Trust::ca_pem(authority.as_str())).with_watch(false))
        };
        Ok(Tls { server: side(server)?, client: side(client)? })
    }
}
