//! Who a peer has proven to be.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::evidence::{Evidence, PeerCredentials, Proof};
use crate::peer_process::PeerProcess;

/// Who the peer has proven to be: a principal and the proofs for it.
///
/// Only core makes one, after the transport's evidence and the mechanism's proofs have passed the
/// [`Policy`](crate::Policy). Cloning is cheap.
///
/// Identities compare by principal, and two anonymous peers are never equal: that nobody proved anything on two
/// connections does not make them the same peer.
///
/// # Examples
///
/// ```no_run
/// # fn show(connection: transport_core::Connection) {
/// println!("{}", connection.identity()); // user:alice, spiffe://..., dns:..., pin:sha256:..., uid:1000, anonymous
/// # }
/// ```
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

struct Inner {
    principal: Principal,
    proofs: Vec<Proof>,
    process: Option<PeerProcess>,
}

impl Identity {
    /// Gathers what the transport and the mechanism proved; it is a candidate until the policy has passed.
    pub(crate) fn new(evidence: &Evidence, proofs: &[Proof]) -> Identity {
        let proofs: Vec<Proof> = proofs.iter().chain(evidence.proofs()).cloned().collect();
        let principal = Principal::of(&proofs);
        let process = evidence.process().cloned();
        Identity { inner: Arc::new(Inner { principal, proofs, process }) }
    }

    /// The one name that stands for this peer.
    pub fn principal(&self) -> &Principal {
        &self.inner.principal
    }

    /// Everything that was proven: the mechanism's proofs first, then the transport's.
    pub fn proofs(&self) -> &[Proof] {
        &self.inner.proofs
    }

    /// The kernel's credentials of the peer, on transports that have them.
    pub fn credentials(&self) -> Option<PeerCredentials> {
        self.inner.proofs.iter().find_map(|proof| match proof {
            Proof::Unix(credentials) => Some(*credentials),
            _ => None,
        })
    }

    /// The process at the other end, on transports and kernels that tell (`unix` since Linux 6.5). Two identities are
    /// equal without regard to it.
    pub fn process(&self) -> Option<&PeerProcess> {
        self.inner.process.as_ref()
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Identity) -> bool {
        self.inner.principal == other.inner.principal
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.principal.fmt(f)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("principal", &self.inner.principal)
            .field("proofs", &self.inner.proofs)
            .finish()
    }
}

/// The one name that stands for a peer: the strongest of its proofs.
///
/// Order: a mechanism's user (or key), URI SAN, DNS SAN, key pin, uid, same process, anonymous.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Principal {
    /// A user whom a mechanism verified: `user:alice`.
    User(String),
    /// The long-term CURVE key: `curve:` and 64 hex digits.
    CurveKey([u8; 32]),
    /// The fingerprint of a CMS certificate: `cms:sha256:` and 64 hex digits.
    CmsKey([u8; 32]),
    /// Proven by a mechanism or transport made elsewhere: `kind:name`.
    Other {
        /// The kind of proof.
        kind: String,
        /// Who was proven.
        name: String,
    },
    /// A URI of the certificate: printed as it is, such as `spiffe://example.org/db`.
    Uri(String),
    /// A DNS name of the certificate: `dns:db.example.org`.
    Dns(String),
    /// The SHA-256 of the certificate's public key: `pin:sha256:` and base64, as in RFC 7469.
    Pin([u8; 32]),
    /// A local user: `uid:1000`.
    Uid(u32),
    /// This very process: `process`.
    Process,
    /// Nobody proved anything: `anonymous`.
    Anonymous,
}

impl Principal {
    fn of(proofs: &[Proof]) -> Principal {
        let candidates = proofs.iter().map(|proof| match proof {
            Proof::User { name, .. } => Principal::User(name.clone()),
            Proof::CurveKey(key) => Principal::CurveKey(*key),
            Proof::CmsKey(key) => Principal::CmsKey(*key),
            Proof::Other { kind, name } => Principal::Other { kind: kind.clone(), name: name.clone() },
            Proof::Certificate(certificate) => {
                match (certificate.uris.first(), certificate.dns_names.first()) {
                    (Some(uri), _) if certificate.is_vouched_for() => Principal::Uri(uri.clone()),
                    (None, Some(name)) if certificate.is_vouched_for() => Principal::Dns(name.clone()),
                    _ => Principal::Pin(certificate.spki_sha256),
                }
            }
            Proof::Unix(credentials) => Principal::Uid(credentials.uid),
            Proof::SameProcess => Principal::Process,
        });
        // `min_by_key` keeps the first of equals, so a mechanism's proof goes before a transport's of the same rank.
        candidates.min_by_key(Principal::rank).unwrap_or(Principal::Anonymous)
    }

    fn rank(&self) -> u8 {
        match self {
            Principal::User(_) => 0,
            Principal::CurveKey(_) | Principal::CmsKey(_) | Principal::Other { .. } => 1,
            Principal::Uri(_) => 2,
            Principal::Dns(_) => 3,
            Principal::Pin(_) => 4,
            Principal::Uid(_) => 5,
            Principal::Process => 6,
            Principal::Anonymous => 7,
        }
    }
}

impl PartialEq for Principal {
    fn eq(&self, other: &Principal) -> bool {
        use Principal::*;
        match (self, other) {
            (User(a), User(b)) | (Uri(a), Uri(b)) | (Dns(a), Dns(b)) => a == b,
            (CurveKey(a), CurveKey(b)) | (CmsKey(a), CmsKey(b)) | (Pin(a), Pin(b)) => a == b,
            (Other { kind: a, name: x }, Other { kind: b, name: y }) => a == b && x == y,
            (Uid(a), Uid(b)) => a == b,
            (Process, Process) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::User(name) => write!(f, "user:{}", Printable(name)),
            Principal::CurveKey(key) => write!(f, "curve:{}", Hex(key)),
            Principal::CmsKey(key) => write!(f, "cms:sha256:{}", Hex(key)),
            Principal::Other { kind, name } => write!(f, "{}:{}", Printable(kind), Printable(name)),
            Principal::Uri(uri) => Printable(uri).fmt(f),
            Principal::Dns(name) => write!(f, "dns:{}", Printable(name)),
            Principal::Pin(key) => write!(f, "pin:sha256:{}", BASE64.encode(key)),
            Principal::Uid(uid) => write!(f, "uid:{uid}"),
            Principal::Process => f.write_str("process"),
            Principal::Anonymous => f.write_str("anonymous"),
        }
    }
}

/// Prints bytes as lower-case hex digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Prints a name that came from a peer without its control characters: a line break must not forge a log line.
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if c.is_control() { write!(f, "{}", c.escape_default()) } else { write!(f, "{c}") }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Certificate, Protection};
    use std::time::SystemTime;

    fn identity(transport: &[Proof], mechanism: &[Proof]) -> Identity {
        let evidence =
            transport.iter().cloned().fold(Evidence::new(Protection::SameHost), Evidence::with_proof);
        Identity::new(&evidence, mechanism)
    }

    fn user(name: &str) -> Proof {
        Proof::User { name: name.into(), mechanism: "PLAIN" }
    }

    #[test]
    fn the_principal_is_the_strongest_proof() {
        let uid = Proof::Unix(PeerCredentials::new(1000, 1000));
        let mut certificate = Certificate::new([7; 32], SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH);
        let pin = Proof::Certificate(Arc::new(certificate.clone()));
        certificate.dns_names.push("db.example".into());
        certificate.chain_length = 2;
        let dns = Proof::Certificate(Arc::new(certificate.clone()));
        certificate.uris.push("spiffe://example/db".into());
        let uri = Proof::Certificate(Arc::new(certificate));

        assert_eq!(identity(&[], &[]).to_string(), "anonymous");
        assert_eq!(identity(&[Proof::SameProcess], &[]).to_string(), "process");
        assert_eq!(identity(&[Proof::SameProcess, uid.clone()], &[]).to_string(), "uid:1000");
        assert_eq!(
            identity(&[uid.clone(), pin], &[]).to_string(),
            "pin:sha256:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="
        );
        assert_eq!(identity(&[uid.clone(), dns], &[]).to_string(), "dns:db.example");
        assert_eq!(identity(&[uid.clone(), uri.clone()], &[]).to_string(), "spiffe://example/db");
        assert_eq!(identity(&[uid, uri], &[user("alice")]).to_string(), "user:alice");
    }

    #[test]
    fn two_anonymous_peers_are_never_equal() {
        let (a, b) = (identity(&[], &[]), identity(&[], &[]));
        assert_ne!(a, b);
        assert_ne!(a, a.clone());
        assert_eq!(identity(&[], &[user("alice")]), identity(&[Proof::SameProcess], &[user("alice")]));
        assert_ne!(identity(&[], &[user("alice")]), identity(&[], &[user("bob")]));
    }

    #[test]
    fn a_name_with_a_line_break_cannot_forge_a_log_line() {
        assert_eq!(identity(&[], &[user("a\nuser:root")]).to_string(), "user:a\\nuser:root");
    }
}
