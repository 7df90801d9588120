//! Who may be on the other side.

mod rule;
mod text;

use std::fmt;
use std::sync::Arc;

use self::rule::{Check, Rule};
use crate::evidence::{Certificate, Evidence, Proof, Protection};
use crate::glob::Glob;
use crate::identity::Identity;

pub use text::PolicyError;

/// Who may be on the other side: everyone is denied who is not allowed.
///
/// A policy looks only at what was proven, never at [`Claims`](crate::Claims). Both sides have one: a server's says
/// which clients may in, a client's says which servers it will talk to.
///
/// The textual form of the single rules, as programs take them on the command line, is read with [`str::parse`]:
///
/// ```text
/// anyone | process | certified | uid:N | gid:N | user:NAME | dns:GLOB | uri:GLOB | pin:sha256:BASE64 | curve:HEX | issuer:NAME
/// ```
///
/// In a glob, `*` stands for any characters except the separator (`.` in DNS names, `/` in URIs) and `**` for any
/// characters at all.
///
/// Two policies are equal when they have the same rules in the same order; a function of one's own is equal to its clones only.
///
/// # Examples
///
/// ```
/// use transport_core::Policy;
/// let policy = Policy::uid(1000).or(Policy::user("alice")).or("dns:*.db.example".parse()?);
/// assert_eq!(policy.to_string(), "uid:1000 or user:alice or dns:*.db.example");
/// # Ok::<(), transport_core::PolicyError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Policy {
    rule: Arc<Rule>,
}

/// A peer whom the policy does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{peer} is not allowed by the policy ({policy})")]
pub struct Denied {
    peer: String,
    policy: String,
}

impl Policy {
    /// Allows nobody: the default.
    pub fn nobody() -> Policy {
        Policy::default()
    }

    /// Allows everyone, anonymous peers too.
    ///
    /// # Security
    ///
    /// Whoever reaches the address is let in. Meant for tests and for services that are public on purpose.
    pub fn danger_anyone() -> Policy {
        Policy::from_rule(Rule::Anyone)
    }

    /// Allows peers within this process (the `mem` transport).
    pub fn same_process() -> Policy {
        Policy::from_rule(Rule::SameProcess)
    }

    /// Allows processes that the kernel says run as this user.
    ///
    /// The overflow uid 65534 never matches: the kernel shows it for every user that has no name in this namespace.
    pub fn uid(uid: u32) -> Policy {
        Policy::from_rule(Rule::Uid(uid))
    }

    /// Allows processes that the kernel says run as the user of this process.
    pub fn same_user() -> Policy {
        Policy::uid(rustix::process::geteuid().as_raw())
    }

    /// Allows processes that the kernel says run as the user of this process or as root: for a server whose socket a
    /// service manager may have made, since that is then who is seen to listen.
    pub fn same_user_or_root() -> Policy {
        Policy::same_user().or(Policy::uid(0))
    }

    /// Allows processes whose primary group is this one; supplementary groups do not count.
    ///
    /// The overflow gid 65534 never matches.
    pub fn gid(gid: u32) -> Policy {
        Policy::from_rule(Rule::Gid(gid))
    }

    /// Allows this user, verified by a mechanism.
    pub fn user(name: impl Into<String>) -> Policy {
        Policy::from_rule(Rule::User(name.into()))
    }

    /// Allows verified certificates with a DNS name (SAN) that matches, without regard to case; `*` is one or
    /// several characters of one label.
    pub fn san_dns(glob: impl AsRef<str>) -> Policy {
        Policy::from_rule(Rule::Dns(Glob::new(&glob.as_ref().to_ascii_lowercase(), b'.')))
    }

    /// Allows verified certificates with a URI (SAN) that matches, such as `spiffe://example.org/db/*`.
    pub fn san_uri(glob: impl AsRef<str>) -> Policy {
        Policy::from_rule(Rule::Uri(Glob::new(glob.as_ref(), b'/')))
    }

    /// Allows the certificate whose SubjectPublicKeyInfo has this SHA-256.
    pub fn spki_pin(sha256: [u8; 32]) -> Policy {
        Policy::from_rule(Rule::Pin(sha256))
    }

    /// Allows verified certificates issued under this name, as the certificate prints it.
    pub fn issuer(name: impl Into<String>) -> Policy {
        Policy::from_rule(Rule::Issuer(name.into()))
    }

    /// Allows whoever has a certificate that a trusted authority vouches for.
    ///
    /// For a client that is enough: `tls` has compared the certificate with the name in the address. A server lets everyone
    /// in who has a certificate of its authorities.
    pub fn certified() -> Policy {
        Policy::from_rule(Rule::Certified)
    }

    /// Allows the owner of this long-term CURVE key.
    pub fn curve_key(key: [u8; 32]) -> Policy {
        Policy::from_rule(Rule::CurveKey(key))
    }

    /// Allows peers with [`Proof::Other`] of this kind and name.
    pub fn other(kind: impl Into<String>, name: impl Into<String>) -> Policy {
        Policy::from_rule(Rule::Other { kind: kind.into(), name: name.into() })
    }

    /// Allows peers for whom `check` is true; `name` stands for it in messages.
    ///
    /// `check` runs in the middle of a handshake: it must not block. It sees all that is proven about the peer, so it is asked once
    /// that is known: over TLS that is after TLS's own handshake, whose alert refuses only whom a rule about certificates refuses.
    pub fn custom(
        name: impl Into<String>,
        check: impl Fn(&Identity) -> bool + Send + Sync + 'static,
    ) -> Policy {
        Policy::from_rule(Rule::Custom { name: name.into(), check: Check(Arc::new(check)) })
    }

    /// Allows whom either allows.
    #[must_use]
    pub fn or(self, other: Policy) -> Policy {
        match &*self.rule {
            Rule::Nobody => other,
            Rule::Any(rules) => Policy::from_rule(Rule::Any(rules.iter().cloned().chain([other]).collect())),
            _ => Policy::from_rule(Rule::Any(vec![self, other])),
        }
    }

    /// Allows whom both allow.
    #[must_use]
    pub fn and(self, other: Policy) -> Policy {
        match &*self.rule {
            Rule::All(rules) => Policy::from_rule(Rule::All(rules.iter().cloned().chain([other]).collect())),
            _ => Policy::from_rule(Rule::All(vec![self, other])),
        }
    }

    /// Whether no one at all can pass: worth a warning at start.
    pub fn is_nobody(&self) -> bool {
        matches!(*self.rule, Rule::Nobody)
    }

    /// Checks a peer.
    ///
    /// # Errors
    ///
    /// [`Denied`] names the peer and the policy.
    pub fn check(&self, identity: &Identity) -> Result<(), Denied> {
        if self.rule.allows(identity) {
            return Ok(());
        }
        Err(Denied { peer: identity.to_string(), policy: self.to_string() })
    }

    /// Checks what a transport has proven, before there is a mechanism: for a transport that decides by it.
    ///
    /// # Errors
    ///
    /// [`Denied`] names the peer and the policy.
    pub fn check_evidence(&self, evidence: &Evidence) -> Result<(), Denied> {
        self.check(&Identity::new(evidence, &[]))
    }

    /// Checks the certificate that a peer presents, or that it presents none, when nothing else about it is known yet: for a
    /// transport that can refuse it in a handshake of its own.
    ///
    /// # Errors
    ///
    /// [`Denied`] names the peer and the policy, when nothing that might still be proven could help.
    pub fn check_certificate(&self, certificate: Option<&Certificate>) -> Result<(), Denied> {
        if self.rule.may_allow(certificate) {
            return Ok(());
        }
        let proof = certificate.map(|certificate| Proof::Certificate(Arc::new(certificate.clone())));
        let peer = Identity::new(&Evidence::new(Protection::Encrypted), proof.as_slice());
        Err(Denied { peer: peer.to_string(), policy: self.to_string() })
    }

    fn from_rule(rule: Rule) -> Policy {
        Policy { rule: Arc::new(rule) }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::PeerCredentials;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use std::time::SystemTime;

    fn peer(proofs: &[Proof]) -> Identity {
        Identity::new(&Evidence::new(Protection::SameHost), proofs)
    }

    fn uid(uid: u32) -> Identity {
        peer(&[Proof::Unix(PeerCredentials::new(uid, uid))])
    }

    fn tls(chain_length: usize) -> Identity {
        let mut certificate = Certificate::new([1; 32], SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH);
        certificate.dns_names.push("A.db.example".into());
        certificate.uris.push("spiffe://example/db/1".into());
        certificate.issuer = "CN=ca".into();
        certificate.chain_length = chain_length;
        peer(&[Proof::Certificate(Arc::new(certificate))])
    }

    fn allows(rule: &str, identity: &Identity) -> bool {
        rule.parse::<Policy>().unwrap().check(identity).is_ok()
    }

    #[test]
    fn nobody_is_allowed_by_default() {
        let denied = Policy::default().check(&uid(0)).unwrap_err();
        assert_eq!(denied.to_string(), "uid:0 is not allowed by the policy (nobody)");
    }

    #[test]
    fn each_rule_matches_its_own_proof_only() {
        assert!(allows("anyone", &peer(&[])));
        assert!(allows("process", &peer(&[Proof::SameProcess])) && !allows("process", &uid(1)));
        assert!(allows("uid:7", &uid(7)) && !allows("uid:7", &uid(8)) && !allows("uid:7", &peer(&[])));
        assert!(allows("gid:7", &uid(7)) && !allows("gid:7", &uid(8)));
        let alice = peer(&[Proof::User { name: "alice".into(), mechanism: "PLAIN" }]);
        assert!(allows("user:alice", &alice) && !allows("user:Alice", &alice));
        assert!(allows("dns:*.db.EXAMPLE", &tls(2)) && !allows("dns:*.example", &tls(2)));
        assert!(allows("dns:**.example", &tls(2)) && !allows("dns:*.db.example", &uid(7)));
        assert!(allows("uri:spiffe://example/db/*", &tls(2)) && !allows("uri:spiffe://example/*", &tls(2)));
        assert!(allows("issuer:CN=ca", &tls(2)));
        assert!(allows("certified", &tls(2)) && !allows("certified", &uid(1)));
        let pin = format!("pin:sha256:{}", BASE64.encode([1; 32]));
        assert!(allows(&pin, &tls(0)) && !allows(&pin, &uid(1)));
        let curve = peer(&[Proof::CurveKey([0xab; 32])]);
        assert!(allows(&format!("curve:{}", "ab".repeat(32)), &curve));
    }

    #[test]
    fn names_in_a_certificate_that_is_only_pinned_are_only_claims() {
        for rule in ["dns:*.db.example", "uri:spiffe://example/db/1", "issuer:CN=ca", "certified"] {
            assert!(allows(rule, &tls(1)) && !allows(rule, &tls(0)), "{rule}");
        }
        assert_eq!(tls(1).to_string(), "spiffe://example/db/1");
        assert!(tls(0).to_string().starts_with("pin:"));
    }

    #[test]
    fn a_certificate_is_denied_by_itself_only_where_nothing_else_could_help() {
        let identity = tls(2);
        let Proof::Certificate(certificate) = &identity.proofs()[0] else { unreachable!() };
        let check = |policy: Policy| policy.check_certificate(Some(certificate));
        let rule = |rule: &str| rule.parse::<Policy>().unwrap();
        for policy in [
            rule("dns:a.db.example"),
            rule("dns:other").or(Policy::user("alice")),
            rule("dns:*.db.example").and(Policy::uid(7)),
            Policy::danger_anyone(),
            Policy::custom("nobody, later", |_| false),
        ] {
            assert_eq!(check(policy.clone()), Ok(()), "{policy}");
        }
        for policy in [
            Policy::nobody(),
            rule("dns:other"),
            rule("dns:other").or(rule("uri:spiffe://other/**")),
            rule("dns:other").and(Policy::user("alice")),
            Policy::spki_pin([2; 32]),
        ] {
            assert!(check(policy.clone()).is_err(), "{policy}");
        }
        let denied = check(rule("dns:other")).unwrap_err();
        assert_eq!(denied, rule("dns:other").check(&identity).unwrap_err());
    }

    #[test]
    fn a_peer_without_a_certificate_is_denied_by_that_only_where_nothing_else_could_help() {
        let check = |policy: Policy| policy.check_certificate(None);
        let rule = |rule: &str| rule.parse::<Policy>().unwrap();
        for policy in
            [rule("dns:a").or(rule("uid:7")), Policy::danger_anyone(), Policy::custom("c", |_| false)]
        {
            assert_eq!(check(policy.clone()), Ok(()), "{policy}");
        }
        let pin = Policy::spki_pin([1; 32]);
        for policy in
            [rule("dns:a").or(pin), rule("uri:a").and(rule("uid:7")), rule("certified"), rule("issuer:a")]
        {
            let denied = check(policy.clone()).unwrap_err();
            assert_eq!(denied, policy.check(&peer(&[])).unwrap_err());
        }
    }

    #[test]
    fn policies_of_the_same_rules_are_equal_and_functions_only_to_themselves() {
        let policy = || Policy::uid(1).or("dns:*.a".parse().unwrap()).and(Policy::certified());
        assert_eq!(policy(), policy());
        assert_ne!(policy(), policy().or(Policy::uid(2)));
        assert_ne!(Policy::san_dns("a"), Policy::san_uri("a"));
        let custom = || Policy::custom("same name", |_| true);
        let one = custom();
        assert_eq!(one.clone().or(Policy::uid(1)), one.clone().or(Policy::uid(1)));
        assert_ne!(one, custom());
    }

    #[test]
    fn the_overflow_uid_never_matches() {
        assert!(Policy::uid(65534).check(&uid(65534)).is_err());
        assert!(Policy::gid(65534).check(&uid(65534)).is_err());
        assert!("uid:65534".parse::<Policy>().is_err());
    }

    #[test]
    fn or_and_and_combine() {
        let policy = Policy::nobody().or(Policy::uid(1)).or(Policy::uid(2)).or(Policy::uid(3));
        assert_eq!(policy.to_string(), "uid:1 or uid:2 or uid:3");
        assert!(policy.check(&uid(3)).is_ok() && policy.check(&uid(4)).is_err());
        let both = Policy::uid(1).or(Policy::uid(2)).and(Policy::custom("odd", |i| i.to_string() == "uid:1"));
        assert_eq!(both.to_string(), "(uid:1 or uid:2) and odd");
        assert!(both.check(&uid(1)).is_ok() && both.check(&uid(2)).is_err());
    }
}
