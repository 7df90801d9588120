//! What can go wrong.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, OtherError};
use transport_core::secret_file::SecretFileError;

use crate::refusal::Refusal;

/// Why certificates, keys, authorities or revocation lists could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file with the private key is not read: others can reach it, or it cannot be opened.
    #[error(transparent)]
    KeyFile(#[from] SecretFileError),
    /// A file or directory cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Everyone can change a file that says whom to trust.
    #[error("every user can change {0}; run: chmod o-w {0}", .path.display())]
    Writable {
        /// Which one.
        path: PathBuf,
    },
    /// A file is not PEM.
    #[error("{} cannot be read as PEM: {problem}", .path.display())]
    Pem {
        /// Which one.
        path: PathBuf,
        /// Where reading it failed.
        problem: String,
    },
    /// There is no certificate where one should be.
    #[error("there is no certificate in {}", .path.display())]
    NoCertificate {
        /// Where.
        path: PathBuf,
    },
    /// There is no private key where one should be.
    #[error("there is no private key in {}", .path.display())]
    NoKey {
        /// Where.
        path: PathBuf,
    },
    /// There are several private keys where one should be.
    #[error("there is more than one private key in {}", .path.display())]
    SeveralKeys {
        /// Where.
        path: PathBuf,
    },
    /// The private key is encrypted.
    #[error("the private key in {0} is encrypted; decrypt it with: openssl pkey -in {0} -out NEW", .path.display())]
    EncryptedKey {
        /// Where.
        path: PathBuf,
    },
    /// The private key cannot be used.
    #[error("the private key in {} cannot be used: {problem}", .path.display())]
    Key {
        /// Where.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// Certificate and private key do not belong together.
    #[error("the private key in {} does not belong to the certificate in {}", .key.display(), .certificate.display())]
    KeyMismatch {
        /// Where the certificate is.
        certificate: PathBuf,
        /// Where the key is.
        key: PathBuf,
    },
    /// A certificate cannot be used as that of an authority.
    #[error("a certificate in {} cannot be trusted as an authority: {problem}", .path.display())]
    Authority {
        /// Where.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// There is no authority where one should be.
    #[error("there is no certificate of an authority in {}", .path.display())]
    NoAuthority {
        /// Where.
        path: PathBuf,
    },
    /// A revocation list cannot be used.
    #[error("the revocation list {} cannot be used: {problem}", .path.display())]
    RevocationList {
        /// Where.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// A text is no pin.
    #[error("{text:?} is not a pin: write sha256: and the base64 of the 32 bytes")]
    Pin {
        /// The text.
        text: String,
    },
    /// The settings cannot work together.
    #[error("{0}")]
    Settings(String),
}

/// Why there is no TLS stream with a peer, or no longer one.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// This transport has not been given what it needs.
    #[error("{0}")]
    NotSetUp(NotSetUp),
    /// The address has no name that could be compared with a certificate.
    #[error("the name to look for in the server's certificate is missing: add ?name=NAME to the address")]
    NoName,
    /// The name of the address can be in no certificate.
    #[error(
        "{name:?} is no name that a certificate can have; one with letters beyond a-z is written as xn--..."
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// The peer's certificate is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The peer has no certificate, and must.
    #[error("the peer presented no certificate")]
    NoCertificate,
    /// The peer has no protocol (ALPN) in common with this side.
    #[error("the peer speaks {}, this side wants {}", Protocols(.offered), Protocols(.wanted))]
    Protocol {
        /// What the peer offered.
        offered: Vec<Vec<u8>>,
        /// What this side has.
        wanted: Vec<Vec<u8>>,
    },
    /// The function that looks at a client's hello does not want it.
    #[error("the client's hello is not wanted here: {reason}")]
    HelloRefused {
        /// The function's reason.
        reason: String,
    },
    /// The peer refused this side.
    #[error("the peer refused this side{}", explain(.alert))]
    RefusedByPeer {
        /// The name of the alert that it sent.
        alert: String,
    },
    /// The peer speaks older versions of TLS only.
    #[error(
        "the peer speaks no version of TLS that is wanted here, which is 1.3, and 1.2 too where \
         TlsConfig::danger_allow_tls12 allows it"
    )]
    OldVersion,
    /// The two sides have no algorithm in common, or the peer broke the protocol.
    #[error("the peer does not speak the TLS that is wanted here: {problem}")]
    Incompatible {
        /// What is wrong.
        problem: String,
    },
    /// The peer closed the stream in the middle of the handshake.
    #[error("the peer closed the stream during the TLS handshake")]
    Closed,
    /// The stream below failed.
    #[error("the stream below TLS failed")]
    Stream(#[source] Arc<io::Error>),
}

/// What a transport is missing that was asked to connect or to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotSetUp {
    /// Nobody is trusted to say who the server is.
    Trust,
    /// A listener needs a certificate.
    Certificate,
    /// A listener must say whose clients' certificates it trusts, or that it wants none.
    ClientTrust,
}

impl fmt::Display for NotSetUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotSetUp::Trust => {
                "nothing says whom to trust: make a TlsTransport::with_config(TlsConfig::new().with_trust(...)) and give it \
                 to connect(...).transport(...)"
            }
            NotSetUp::Certificate => {
                "a listener needs a certificate: make a TlsTransport::with_config(TlsConfig::new().with_certificate(...)) and \
                 give it to listen(...).transport(...)"
            }
            NotSetUp::ClientTrust => {
                "nothing says whose client certificates to trust: add TlsConfig::with_trust(...), or \
                 TlsConfig::with_client_certificates(ClientCertificates::NotAsked)"
            }
        })
    }
}

impl TlsError {
    /// What an error of the TLS layer means.
    pub(crate) fn of_io(error: io::Error) -> TlsError {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => TlsError::of_rustls(error),
            None if is_end(error.kind()) => TlsError::Closed,
            None => TlsError::Stream(Arc::new(error)),
        }
    }

    pub(crate) fn of_rustls(error: &rustls::Error) -> TlsError {
        use rustls::{Error as E, PeerIncompatible as I};
        match error {
            E::InvalidCertificate(CertificateError::Other(OtherError(reason))) => {
                match reason.downcast_ref::<Refusal>() {
                    Some(refusal) => TlsError::Refused(refusal.clone()),
                    None => TlsError::Incompatible { problem: error.to_string() },
                }
            }
            E::NoCertificatesPresented => TlsError::NoCertificate,
            E::AlertReceived(alert) => TlsError::RefusedByPeer { alert: name_of(*alert) },
            // A hello without signature algorithms is one of TLS 1.1, or of a TLS 1.2 that knows nothing but SHA-1.
            E::PeerIncompatible(
                I::SignatureAlgorithmsExtensionRequired
                | I::Tls12NotOffered
                | I::Tls12NotOfferedOrEnabled
                | I::SupportedVersionsExtensionRequired
                | I::ServerDoesNotSupportTls12Or13
                | I::ServerTlsVersionIsDisabledByOurConfig,
            ) => TlsError::OldVersion,
            E::NoApplicationProtocol => TlsError::Protocol { offered: Vec::new(), wanted: Vec::new() },
            other => TlsError::Incompatible { problem: other.to_string() },
        }
    }
}

/// As the verifier hands it to rustls: all refusals become the same alert, and the reason travels beside it.
impl From<Refusal> for rustls::Error {
    fn from(refusal: Refusal) -> rustls::Error {
        CertificateError::Other(OtherError(Arc::new(refusal))).into()
    }
}

fn is_end(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(kind, BrokenPipe | ConnectionReset | NotConnected | UnexpectedEof)
}

fn name_of(alert: AlertDescription) -> String {
    alert.as_str().map_or_else(|| format!("{alert:?}"), str::to_owned)
}

/// What the peer may mean, for the alerts that tell.
fn explain(alert: &str) -> String {
    let meaning = match alert {
        "CertificateUnknown"
        | "BadCertificate"
        | "UnsupportedCertificate"
        | "CertificateExpired"
        | "CertificateRevoked"
        | "UnknownCa"
        | "UnknownCA"
        | "AccessDenied" => "it does not accept this side's certificate; its own log says why",
        "CertificateRequired" => "it wants a certificate, and this side has presented none",
        "NoApplicationProtocol" => "it does not speak this side's protocol",
        "ProtocolVersion" => {
            "it does not speak this side's version of TLS: 1.3, and 1.2 too where TlsConfig::danger_allow_tls12 allows it"
        }
        "HandshakeFailure" => {
            "it may speak none of this side's versions or algorithms, or want a certificate"
        }
        _ => return format!(" (alert {alert})"),
    };
    format!(": {meaning} (alert {alert})")
}

struct Protocols<'a>(&'a [Vec<u8>]);

impl fmt::Display for Protocols<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        if self.0.is_empty() {
            return f.write_str("no protocol (ALPN)");
        }
        for (i, protocol) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, protocol.escape_ascii())?;
        }
        Ok(())
    }
}
