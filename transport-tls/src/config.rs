//! Settings.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use transport_core::Policy;

use crate::clock::Clock;
use crate::hello::{ClientHello, HelloChoice};
use crate::own_certificate::OwnCertificate;
use crate::trust::Trust;

/// Settings of a [`TlsTransport`](crate::TlsTransport): who this side is, and whom it trusts.
///
/// The default has no certificate and trusts nobody: it can neither connect nor listen.
///
/// | wanted | settings |
/// |---|---|
/// | a server that knows its clients (mutual TLS) | certificate, trust |
/// | a server for everyone, or for users with a password | certificate, [`ClientCertificates::NotAsked`] |
/// | a client with a certificate | certificate, trust |
/// | a client without | trust |
///
/// # Examples
///
/// ```
/// use transport_tls::{TlsConfig, Trust};
/// let config = TlsConfig::new().with_certificate("server.pem").with_trust(Trust::ca_file("ca.pem"));
/// ```
#[derive(Clone)]
#[must_use]
pub struct TlsConfig {
    pub(crate) certificate: Option<OwnCertificate>,
    pub(crate) trust: Trust,
    pub(crate) client_certificates: ClientCertificates,
    pub(crate) revocation_lists: Vec<PathBuf>,
    pub(crate) protocols: Vec<Vec<u8>>,
    pub(crate) without_protocol: Policy,
    pub(crate) on_hello: Option<Arc<OnHello>>,
    pub(crate) watch: bool,
    pub(crate) keep_open: bool,
    pub(crate) tls12: bool,
    pub(crate) key_log: Option<PathBuf>,
    pub(crate) clock: Clock,
    /// How often the keeper looks without having been told of a change.
    pub(crate) look_every: Duration,
}

pub(crate) type OnHello = dyn Fn(&ClientHello<'_>) -> HelloChoice + Send + Sync;

/// Whether a listener asks its clients for certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientCertificates {
    /// Every client must have one that is trusted.
    #[default]
    Required,
    /// A client may do without, and is anonymous then; one that is presented must be trusted. Where the listener's policy lets
    /// nobody in without, as with names alone, this is [`Required`](ClientCertificates::Required).
    Optional,
    /// They are not asked for: clients prove themselves otherwise, or not at all.
    NotAsked,
}

/// The protocol (ALPN) of connections that carry ZMTP messages.
pub const ZMTP_PROTOCOL: &str = "zmtp/3.1";

impl TlsConfig {
    /// No certificate, and nobody trusted.
    pub fn new() -> TlsConfig {
        TlsConfig {
            certificate: None,
            trust: Trust::default(),
            client_certificates: ClientCertificates::default(),
            revocation_lists: Vec::new(),
            protocols: vec![ZMTP_PROTOCOL.into()],
            without_protocol: Policy::nobody(),
            on_hello: None,
            watch: true,
            keep_open: false,
            tls12: false,
            key_log: None,
            clock: Clock::default(),
            look_every: Duration::from_secs(30),
        }
    }

    /// The certificate and key by which this side proves itself; a path is that of a combined PEM file.
    pub fn with_certificate(mut self, certificate: impl Into<OwnCertificate>) -> TlsConfig {
        self.certificate = Some(certificate.into());
        self
    }

    /// Whom this side trusts to say who the peer is. Default: nobody.
    pub fn with_trust(mut self, trust: Trust) -> TlsConfig {
        self.trust = trust;
        self
    }

    /// Whether a listener asks for client certificates. Default: [`ClientCertificates::Required`].
    pub fn with_client_certificates(mut self, wanted: ClientCertificates) -> TlsConfig {
        self.client_certificates = wanted;
        self
    }

    /// Adds a file of certificate revocation lists, PEM or DER.
    ///
    /// With at least one, every certificate of a chain must be covered by a list that has not expired. Of several lists of an
    /// authority, in one file or more, the latest counts.
    pub fn with_revocation_lists(mut self, path: impl Into<PathBuf>) -> TlsConfig {
        self.revocation_lists.push(path.into());
        self
    }

    /// The protocols (ALPN, RFC 7301) that this side speaks, the preferred one first. Default: `zmtp/3.1`.
    ///
    /// A peer that has none of them is refused, and so is one that names none: a certificate for one service must
    /// not open another.
    pub fn with_protocols<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> TlsConfig {
        self.protocols = protocols.into_iter().map(|protocol| protocol.as_ref().to_vec()).collect();
        self
    }

    /// Looks at each client's hello, before the handshake goes on, and chooses by server name or protocol.
    ///
    /// It runs in the middle of a handshake: it must not block.
    pub fn with_on_hello(
        mut self,
        choose: impl Fn(&ClientHello<'_>) -> HelloChoice + Send + Sync + 'static,
    ) -> TlsConfig {
        self.on_hello = Some(Arc::new(choose));
        self
    }

    /// Whether files are loaded again when they change. Default: yes.
    ///
    /// [`TlsTransport::reload`](crate::TlsTransport::reload) does so on request.
    pub fn with_watch(mut self, watch: bool) -> TlsConfig {
        self.watch = watch;
        self
    }

    /// Whether open connections go on whose peer would not be accepted any more, since its certificate has expired or been
    /// revoked, or its authority is no longer trusted. Default: no, they are closed.
    pub fn with_open_connections_kept(mut self, keep: bool) -> TlsConfig {
        self.keep_open = keep;
        self
    }

    /// Lets peers do without a protocol (ALPN) if this policy allows them: legacy programs that know none.
    ///
    /// Name them, as with [`Policy::spki_pin`] or [`Policy::san_dns`]. The listener's own policy counts as well.
    ///
    /// # Security
    ///
    /// Such a peer may have meant another service which has the same certificate.
    pub fn danger_without_protocol(mut self, policy: Policy) -> TlsConfig {
        self.without_protocol = policy;
        self
    }

    /// Speaks TLS 1.2 too, for legacy peers; two sides that know TLS 1.3 speak that all the same.
    ///
    /// # Security
    ///
    /// TLS 1.2 shows both certificates to whoever listens, and has no post-quantum key exchange. There is no channel binding
    /// then: SCRAM-SHA-256-PLUS cannot be used, and SCRAM-SHA-256 is not tied to the stream.
    #[cfg(feature = "tls12")]
    pub fn danger_allow_tls12(mut self) -> TlsConfig {
        self.tls12 = true;
        self
    }

    /// Appends the secrets of every connection to a file, in the format that Wireshark reads. It is made with mode 0600; one
    /// that is there and that others can read is refused.
    ///
    /// # Security
    ///
    /// Whoever has the file can read all that was sent.
    pub fn danger_key_log(mut self, path: impl Into<PathBuf>) -> TlsConfig {
        self.key_log = Some(path.into());
        self
    }
}

impl Default for TlsConfig {
    fn default() -> TlsConfig {
        TlsConfig::new()
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("certificate", &self.certificate)
            .field("trust", &self.trust)
            .field("client_certificates", &self.client_certificates)
            .field("revocation_lists", &self.revocation_lists)
            .finish_non_exhaustive()
    }
}
