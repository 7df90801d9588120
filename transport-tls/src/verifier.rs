//! Who a chain of certificates proves: the decision, without any connection.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use sha2::{Digest as _, Sha256};
use transport_core::Certificate;
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationOptionsBuilder, VerifiedPath,
};

use crate::display;
use crate::leaf;
use crate::refusal::Refusal;
use crate::revocation_list::RevocationList;
use crate::trust::{Anchor, Trust};

/// Verifies chains against one state of trust: authorities, revocation lists and pins.
///
/// Who has passed is remembered until the first thing in its chain expires, or its revocation list does: the next
/// connection, resumed or not, is decided by looking it up. Another state of trust is another verifier, which
/// remembers nobody.
pub(crate) struct Verifier {
    id: VerifierId,
    anchors: Vec<Anchor>,
    trust_anchors: Vec<TrustAnchor<'static>>,
    lists: Vec<Arc<RevocationList>>,
    pins: Vec<[u8; 32]>,
    anyone: bool,
    algorithms: WebPkiSupportedAlgorithms,
    known: Mutex<HashMap<ChainDigest, Arc<VerifiedPeer>>>,
}

/// Who has passed.
pub(crate) struct VerifiedPeer {
    /// What the leaf says, without a protocol (ALPN).
    certificate: Certificate,
    /// The same for each protocol that has been agreed with it: all its connections share them.
    spoken: Mutex<Vec<Arc<Certificate>>>,
    /// The chain as it was presented.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) role: PeerRole,
    /// From then on it has to be looked at again.
    valid_until: SystemTime,
}

/// What the peer is: its certificate must allow that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerRole {
    Client,
    Server,
}

/// Tells one verifier from another, also from one that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VerifierId(u64);

type ChainDigest = [u8; 32];

/// So many peers are remembered; more than that at once just cost a verification.
const MOST_KNOWN: usize = 1024;

impl Verifier {
    pub(crate) fn new(
        trust: &Trust,
        anchors: Vec<Anchor>,
        lists: Vec<Arc<RevocationList>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Verifier {
        Verifier {
            id: VerifierId::next(),
            trust_anchors: anchors.iter().map(|anchor| anchor.trust_anchor.clone()).collect(),
            anchors,
            lists: RevocationList::latest(lists),
            pins: trust.pins().collect(),
            anyone: trust.is_anyone(),
            algorithms,
            known: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> VerifierId {
        self.id
    }

    pub(crate) fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.algorithms
    }

    /// The subjects of the authorities, DER-encoded: hints for a client that has several certificates.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = &[u8]> {
        self.trust_anchors.iter().map(|anchor| anchor.subject.as_ref())
    }

    /// Decides whether a peer that presents `chain`, leaf first, is who the leaf says.
    pub(crate) fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        role: PeerRole,
        now: SystemTime,
    ) -> Result<Arc<VerifiedPeer>, Refusal> {
        let digest = digest(chain, role);
        if let Some(known) = self.known().get(&digest).filter(|peer| peer.is_valid(now)) {
            return Ok(Arc::clone(known));
        }
        let peer = Arc::new(self.verify_anew(chain, role, now)?);
        let mut known = self.known();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(digest, Arc::clone(&peer));
        Ok(peer)
    }

    /// Whether a client compares the name: not where the key itself is trusted.
    pub(crate) fn verify_name(&self, peer: &VerifiedPeer, name: &ServerName<'_>) -> Result<(), Refusal> {
        if self.is_trusted_key(&peer.certificate) {
            return Ok(());
        }
        let leaf = end_entity(&peer.chain[0])?;
        leaf.verify_is_valid_for_subject_name(name).map_err(|_| Refusal::WrongName {
            expected: name.to_str().into_owned(),
            presented: names(&peer.certificate),
        })
    }

    fn is_trusted_key(&self, certificate: &Certificate) -> bool {
        self.anyone || self.pins.contains(&certificate.spki_sha256)
    }

    fn verify_anew(
        &self,
        chain: &[CertificateDer<'_>],
        role: PeerRole,
        now: SystemTime,
    ) -> Result<VerifiedPeer, Refusal> {
        let Some((leaf_der, intermediates)) = chain.split_first() else {
            return Err(Refusal::Malformed { problem: "the chain is empty".to_owned() });
        };
        let mut certificate = match leaf::read(leaf_der) {
            // Without verification, what is wrong with it is no reason either, as long as its key can be read.
            Err(_) if self.anyone => leaf::read_unchecked(leaf_der)?,
            read => read?,
        };
        let verify_chain = |expired_lists| {
            self.verify_chain(&certificate, leaf_der, intermediates, role, now, expired_lists)
        };
        let valid_until = match verify_chain(ExpirationPolicy::Enforce) {
            Ok(Path { length, valid_until }) => {
                certificate.chain_length = length;
                valid_until
            }
            Err(_) if self.anyone => now + FOR_EVER,
            // Revocation is the last word, also about a key that is trusted by itself, and in a list that is overdue.
            Err(revoked @ Refusal::Revoked { .. }) => return Err(revoked),
            Err(_) if self.is_trusted_key(&certificate) => {
                if let Err(revoked @ Refusal::Revoked { .. }) = verify_chain(ExpirationPolicy::Ignore) {
                    return Err(revoked);
                }
                check_validity(&certificate, now)?;
                certificate.not_after
            }
            Err(Refusal::UnknownIssuer { .. } | Refusal::SelfSigned { .. }) if self.anchors.is_empty() => {
                return Err(Refusal::PinMismatch { found: display::pin(&certificate.spki_sha256) });
            }
            Err(refusal) => return Err(refusal),
        };
        let chain = chain.iter().map(|der| der.clone().into_owned()).collect();
        Ok(VerifiedPeer { certificate, spoken: Mutex::default(), chain, role, valid_until })
    }

    fn verify_chain(
        &self,
        certificate: &Certificate,
        leaf_der: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        role: PeerRole,
        now: SystemTime,
        expired_lists: ExpirationPolicy,
    ) -> Result<Path, Refusal> {
        let leaf = end_entity(leaf_der)?;
        let usage = match role {
            PeerRole::Client => KeyUsage::client_auth(),
            PeerRole::Server => KeyUsage::server_auth(),
        };
        let time = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        let anchor_is_valid = |path: &VerifiedPath<'_>| {
            let not_after = self.anchor_of(path).map_or(UNIX_EPOCH, |anchor| anchor.not_after);
            if not_after >= now {
                return Ok(());
            }
            let not_after = not_after.duration_since(UNIX_EPOCH).unwrap_or_default();
            Err(webpki::Error::CertExpired { time, not_after: UnixTime::since_unix_epoch(not_after) })
        };
        let verify = |lists: &[&CertRevocationList<'_>]| {
            // All of the chain is looked up, and what no list covers is refused: webpki's defaults.
            let revocation = RevocationOptionsBuilder::new(lists).ok();
            leaf.verify_for_usage(
                self.algorithms.all,
                &self.trust_anchors,
                intermediates,
                time,
                usage,
                revocation.map(|options| options.with_expiration_policy(expired_lists).build()),
                Some(&anchor_is_valid),
            )
        };
        let mut lists: Vec<&CertRevocationList<'_>> = self.lists.iter().map(|list| &list.list).collect();
        let mut verified = verify(&lists);
        for _another_first in 1..lists.len() {
            // webpki knows an authority by its name, and stops at the first list: it may be that of a namesake, such as the
            // same authority with its former key.
            if !matches!(verified, Err(webpki::Error::InvalidCrlSignatureForPublicKey)) {
                break;
            }
            lists.rotate_left(1);
            verified = verify(&lists);
        }
        let path = verified.map_err(|error| self.reason(error, certificate, intermediates, role))?;
        self.measure(&path, certificate)
    }

    /// How long the path is, and until when all of it is valid.
    fn measure(&self, path: &VerifiedPath<'_>, certificate: &Certificate) -> Result<Path, Refusal> {
        let mut length = 1;
        let mut valid_until = certificate.not_after;
        for intermediate in path.intermediate_certificates() {
            length += 1;
            valid_until = valid_until.min(leaf::validity(&intermediate.der())?.1);
        }
        if let Some(anchor) = self.anchor_of(path) {
            // A certificate that is trusted by itself is its own authority.
            length += usize::from(anchor.certificate != path.end_entity().der());
            valid_until = valid_until.min(anchor.not_after);
        }
        let next_update = self.lists.iter().filter_map(|list| list.next_update).min().unwrap_or(valid_until);
        Ok(Path { length, valid_until: valid_until.min(next_update) })
    }

    /// An authority that was renewed with its key has several certificates: the one that is valid for longest.
    fn anchor_of(&self, path: &VerifiedPath<'_>) -> Option<&Anchor> {
        let same = self.anchors.iter().filter(|anchor| anchor.trust_anchor == *path.anchor());
        same.max_by_key(|anchor| anchor.not_after)
    }

    /// What an error of the library means for this certificate.
    fn reason(
        &self,
        error: webpki::Error,
        certificate: &Certificate,
        intermediates: &[CertificateDer<'_>],
        role: PeerRole,
    ) -> Refusal {
        use webpki::Error as E;
        let subject = || certificate.subject.clone();
        match error {
            E::CertExpired { not_after, .. } => {
                let not_after = system_time(not_after);
                let others =
                    intermediates.iter().chain(self.anchors.iter().map(|anchor| &anchor.certificate));
                let expired =
                    |der: &&CertificateDer<'_>| leaf::validity(der).is_ok_and(|(_, end)| end == not_after);
                let whose = if certificate.not_after == not_after {
                    subject()
                } else {
                    others.into_iter().find(expired).map_or_else(subject, |der| leaf::subject(der))
                };
                Refusal::Expired { subject: whose, not_after }
            }
            E::CertNotValidYet { not_before, .. } => {
                Refusal::NotYetValid { not_before: system_time(not_before) }
            }
            // An authority of the same name with another key has not issued it either.
            E::UnknownIssuer | E::InvalidSignatureForPublicKey
                if certificate.issuer == certificate.subject =>
            {
                Refusal::SelfSigned { subject: subject() }
            }
            E::UnknownIssuer | E::InvalidSignatureForPublicKey => {
                Refusal::UnknownIssuer { issuer: certificate.issuer.clone() }
            }
            E::CaUsedAsEndEntity if certificate.issuer == certificate.subject => {
                Refusal::SelfSigned { subject: subject() }
            }
            E::CaUsedAsEndEntity => Refusal::IsAuthority,
            E::RequiredEkuNotFoundContext(_) => Refusal::WrongPurpose { role: role.name() },
            E::CertRevoked => Refusal::Revoked { subject: subject() },
            E::UnknownRevocationStatus => Refusal::RevocationUnknown,
            E::CrlExpired { next_update, .. } => {
                Refusal::RevocationListExpired { next_update: system_time(next_update) }
            }
            other => Refusal::Invalid { problem: format!("{other:?}") },
        }
    }

    #[cfg(test)]
    pub(crate) fn forget_all(&self) {
        self.known().clear();
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<ChainDigest, Arc<VerifiedPeer>>> {
        // Held for single operations of the map only.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("anchors", &self.anchors.len()).finish_non_exhaustive()
    }
}

struct Path {
    length: usize,
    valid_until: SystemTime,
}

impl VerifiedPeer {
    /// What the leaf says, whatever is spoken.
    pub(crate) fn leaf(&self) -> &Certificate {
        &self.certificate
    }

    /// What the leaf says, on connections that speak this protocol.
    pub(crate) fn certificate(&self, protocol: Option<&[u8]>) -> Arc<Certificate> {
        // Held for a look and a push only. There are no more than the protocols in the settings.
        let mut spoken = self.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = spoken.iter().find(|known| known.alpn.as_deref() == protocol) {
            return Arc::clone(known);
        }
        let mut certificate = self.certificate.clone();
        certificate.alpn = protocol.map(<[u8]>::to_vec);
        let certificate = Arc::new(certificate);
        spoken.push(Arc::clone(&certificate));
        certificate
    }

    /// Whether the verifier that let it pass would do so now.
    pub(crate) fn is_valid(&self, now: SystemTime) -> bool {
        // A clock that was set back may have made it not valid yet.
        self.certificate.not_before <= now && now <= self.valid_until
    }
}

impl VerifierId {
    fn next() -> VerifierId {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        VerifierId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl PeerRole {
    fn name(self) -> &'static str {
        match self {
            PeerRole::Client => "client",
            PeerRole::Server => "server",
        }
    }
}

fn digest(chain: &[CertificateDer<'_>], role: PeerRole) -> ChainDigest {
    let mut hash = Sha256::new();
    hash.update([u8::from(role == PeerRole::Client)]);
    for der in chain {
        // The length keeps one chain from reading as another.
        hash.update((der.len() as u64).to_be_bytes());
        hash.update(der);
    }
    hash.finalize().into()
}

fn end_entity<'a>(der: &'a CertificateDer<'a>) -> Result<EndEntityCert<'a>, Refusal> {
    EndEntityCert::try_from(der).map_err(|error| Refusal::Malformed { problem: format!("{error:?}") })
}

fn check_validity(certificate: &Certificate, now: SystemTime) -> Result<(), Refusal> {
    if now > certificate.not_after {
        let subject = certificate.subject.clone();
        return Err(Refusal::Expired { subject, not_after: certificate.not_after });
    }
    if now < certificate.not_before {
        return Err(Refusal::NotYetValid { not_before: certificate.not_before });
    }
    Ok(())
}

fn names(certificate: &Certificate) -> Vec<String> {
    let addresses = certificate.ip_addresses.iter().map(ToString::to_string);
    let uris = certificate.uris.iter().cloned();
    certificate.dns_names.iter().cloned().chain(addresses).chain(uris).collect()
}

/// The library's time as the standard one.
pub(crate) fn system_time(time: UnixTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(time.as_secs())
}

/// Where nothing is verified, nothing expires.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use certgen::{AuthorityConfig, CertificateAuthority, LeafConfig, RevocationConfig, Validity};
    use rustls::crypto::aws_lc_rs;

    const DAY: Duration = Duration::from_secs(86_400);

    /// A chain of one certificate with its verifier; each is valid for so many days.
    fn valid_for(leaf: u32, authority: u32, list: u32) -> (Verifier, [CertificateDer<'static>; 1]) {
        let config = AuthorityConfig::default().with_validity(Validity::Days(authority));
        let authority = CertificateAuthority::new(&config).unwrap();
        let config = LeafConfig::new(["a"]).unwrap().with_validity(Validity::Days(leaf));
        let own = authority.issue(&config).unwrap();
        let trust = Trust::ca_pem(authority.certificate().pem());
        let config = RevocationConfig::default().with_validity(Validity::Days(list));
        let der = authority.revocation_list(&config).unwrap().der().to_vec();
        let list = Arc::new(RevocationList::from_der(&der).unwrap());
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        let anchors = trust.load_each().next().unwrap().unwrap();
        let verifier = Verifier::new(&trust, anchors, vec![list], algorithms);
        (verifier, [CertificateDer::from(own.certificate().der().to_vec())])
    }

    fn at(days: u32) -> SystemTime {
        SystemTime::now() + DAY * days
    }

    #[test]
    fn who_was_verified_is_remembered_until_the_certificate_expires() {
        let (verifier, chain) = valid_for(10, 20, 30);
        let first = verifier.verify(&chain, PeerRole::Client, at(0)).unwrap();
        let again = verifier.verify(&chain, PeerRole::Client, at(9)).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let refusal = verifier.verify(&chain, PeerRole::Client, at(11)).err();
        assert!(matches!(refusal, Some(Refusal::Expired { .. })), "{refusal:?}");
    }

    #[test]
    fn who_was_verified_is_forgotten_when_the_revocation_list_expires() {
        let (verifier, chain) = valid_for(20, 30, 10);
        verifier.verify(&chain, PeerRole::Client, at(9)).unwrap();
        let refusal = verifier.verify(&chain, PeerRole::Client, at(11)).err();
        assert!(matches!(refusal, Some(Refusal::RevocationListExpired { .. })), "{refusal:?}");
    }

    #[test]
    fn a_chain_is_as_long_as_it_is_verified_and_each_role_is_verified_by_itself() {
        let (verifier, chain) = valid_for(10, 20, 30);
        let client = verifier.verify(&chain, PeerRole::Client, at(0)).unwrap();
        let server = verifier.verify(&chain, PeerRole::Server, at(0)).unwrap();
        assert_eq!((client.certificate.chain_length, client.role), (2, PeerRole::Client));
        assert_eq!(server.role, PeerRole::Server);
        assert!(verifier.verify(&[], PeerRole::Client, at(0)).is_err());
    }

    #[test]
    fn an_authority_that_has_expired_vouches_for_nobody() {
        let (mut verifier, chain) = valid_for(10, 20, 30);
        verifier.anchors[0].not_after = at(5);
        verifier.verify(&chain, PeerRole::Client, at(4)).unwrap();
        let refusal = verifier.verify(&chain, PeerRole::Client, at(6)).err();
        assert!(matches!(refusal, Some(Refusal::Expired { .. })), "{refusal:?}");
    }

    /// As when it was renewed with its key, and both certificates are trusted.
    #[test]
    fn an_authority_with_several_certificates_vouches_until_the_last_one_expires() {
        let (mut verifier, chain) = valid_for(10, 20, 30);
        let former = Anchor { not_after: at(5), ..verifier.anchors[0].clone() };
        verifier.anchors.insert(0, former);
        verifier.verify(&chain, PeerRole::Client, at(6)).unwrap();
    }
}
