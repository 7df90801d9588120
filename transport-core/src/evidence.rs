//! What was proven about a peer, and by whom.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use smallvec::SmallVec;

use crate::peer_process::PeerProcess;

/// What the transport itself proved about the peer, before any message was exchanged.
///
/// A transport is the verifier of what it puts here: plain data, which anyone can build, but which only becomes an
/// [`Identity`](crate::Identity) when core has checked it against the [`Policy`](crate::Policy). What a peer merely
/// says of itself belongs into [`Claims`](crate::Claims).
///
/// # Examples
///
/// ```
/// use transport_core::{Evidence, PeerCredentials, Proof, Protection};
/// let evidence = Evidence::new(Protection::SameHost).with_proof(Proof::Unix(PeerCredentials::new(1000, 1000)));
/// assert_eq!(evidence.proofs().len(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct Evidence {
    protection: Protection,
    proofs: SmallVec<[Proof; 1]>,
    channel_binding: Option<Arc<ChannelBinding>>,
    process: Option<PeerProcess>,
}

impl Evidence {
    /// Evidence without any proof, over a stream with the given protection.
    pub fn new(protection: Protection) -> Evidence {
        Evidence { protection, proofs: SmallVec::new(), channel_binding: None, process: None }
    }

    /// Adds something that the transport proved.
    #[must_use]
    pub fn with_proof(mut self, proof: Proof) -> Evidence {
        self.proofs.push(proof);
        self
    }

    /// Sets the value that ties an authentication to this very stream.
    #[must_use]
    pub fn with_channel_binding(mut self, binding: ChannelBinding) -> Evidence {
        self.channel_binding = Some(Arc::new(binding));
        self
    }

    /// Sets the process at the other end.
    #[must_use]
    pub fn with_process(mut self, process: PeerProcess) -> Evidence {
        self.process = Some(process);
        self
    }

    /// How well the stream hides and guards its bytes.
    pub fn protection(&self) -> Protection {
        self.protection
    }

    /// What was proven.
    pub fn proofs(&self) -> &[Proof] {
        &self.proofs
    }

    /// The value that ties an authentication to this very stream, if the transport has one.
    pub fn channel_binding(&self) -> Option<&ChannelBinding> {
        self.channel_binding.as_deref()
    }

    /// The process at the other end, if the kernel told.
    pub fn process(&self) -> Option<&PeerProcess> {
        self.process.as_ref()
    }
}

/// How well a stream hides and guards its bytes against others than its two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Protection {
    /// Anyone on the way can read and change them: TCP across a network.
    None,
    /// They stay on this host, but whoever takes the port first could be the other end: TCP over loopback.
    Loopback,
    /// They stay in this host's kernel, between ends whose credentials the kernel knows: Unix sockets, memory.
    SameHost,
    /// They are encrypted and authenticated: TLS.
    Encrypted,
}

/// One fact about a peer that a transport or a mechanism has verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Proof {
    /// The peer lives in this very process.
    SameProcess,
    /// The kernel says which user and process is at the other end.
    Unix(PeerCredentials),
    /// The peer owns the private key of a certificate that was verified.
    Certificate(Arc<Certificate>),
    /// The peer knows the secret of this user.
    User {
        /// The user's name.
        name: String,
        /// The mechanism that verified it, such as `PLAIN`.
        mechanism: &'static str,
    },
    /// The peer owns this long-term CURVE key (RFC 26/CurveZMQ).
    CurveKey([u8; 32]),
    /// The peer signed with the key of this CMS certificate; its SHA-256 fingerprint.
    CmsKey([u8; 32]),
    /// Something that a transport or mechanism made elsewhere has verified.
    Other {
        /// What kind of proof, such as `kerberos`.
        kind: String,
        /// Who was proven.
        name: String,
    },
}

/// What the kernel says of the process at the other end of a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PeerCredentials {
    /// The effective user id when the peer connected or listened.
    pub uid: u32,
    /// The effective (primary) group id at that moment.
    pub gid: u32,
    /// The process id at that moment. A pid can be used again by another process: never decide by it. What stays
    /// with the process is [`PeerProcess`].
    pub pid: Option<i32>,
}

impl PeerCredentials {
    /// Credentials without a process id.
    pub fn new(uid: u32, gid: u32) -> PeerCredentials {
        PeerCredentials { uid, gid, pid: None }
    }

    /// Sets the process id.
    #[must_use]
    pub fn with_pid(mut self, pid: Option<i32>) -> PeerCredentials {
        self.pid = pid;
        self
    }
}

/// What a verified certificate says, as plain data.
///
/// The common name of the subject is only for people to read: it is never an identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Certificate {
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub spki_sha256: [u8; 32],
    /// DNS names (SAN).
    pub dns_names: Vec<String>,
    /// URIs (SAN), SPIFFE ids among them.
    pub uris: Vec<String>,
    /// IP addresses (SAN).
    pub ip_addresses: Vec<std::net::IpAddr>,
    /// Email addresses (SAN).
    pub emails: Vec<String>,
    /// The subject, printed.
    pub subject: String,
    /// The issuer, printed.
    pub issuer: String,
    /// Start of validity.
    pub not_before: SystemTime,
    /// End of validity.
    pub not_after: SystemTime,
    /// Length of the verified chain, the leaf included; 0 when a pin alone was checked.
    pub chain_length: usize,
    /// The application protocol that was agreed (ALPN).
    pub alpn: Option<Vec<u8>>,
}

impl Certificate {
    /// Whether a chain was verified, so that somebody trusted vouches for the names; otherwise only the key is known.
    pub fn is_vouched_for(&self) -> bool {
        self.chain_length > 0
    }

    /// A certificate with the given key and validity, and no names.
    pub fn new(spki_sha256: [u8; 32], not_before: SystemTime, not_after: SystemTime) -> Certificate {
        Certificate {
            spki_sha256,
            dns_names: Vec::new(),
            uris: Vec::new(),
            ip_addresses: Vec::new(),
            emails: Vec::new(),
            subject: String::new(),
            issuer: String::new(),
            not_before,
            not_after,
            chain_length: 0,
            alpn: None,
        }
    }
}

/// A value that both ends of one encrypted stream can compute and nobody else (RFC 5056).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ChannelBinding {
    /// The registered type, such as `tls-exporter` (RFC 9266).
    pub kind: &'static str,
    /// The value.
    pub value: Vec<u8>,
}

impl fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelBinding").field("kind", &self.kind).finish_non_exhaustive()
    }
}
