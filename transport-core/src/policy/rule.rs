//! The rules of a policy, and what each says of a peer.

use std::sync::Arc;

use super::Policy;
use crate::evidence::{Certificate, Proof};
use crate::glob::Glob;
use crate::identity::Identity;

/// Whom a policy allows: nobody, by default.
#[derive(Default, PartialEq, Eq)]
pub(super) enum Rule {
    #[default]
    Nobody,
    Anyone,
    SameProcess,
    Uid(u32),
    Gid(u32),
    User(String),
    Dns(Glob),
    Uri(Glob),
    Pin([u8; 32]),
    Issuer(String),
    Certified,
    CurveKey([u8; 32]),
    Other {
        kind: String,
        name: String,
    },
    Custom {
        name: String,
        check: Check,
    },
    Any(Vec<Policy>),
    All(Vec<Policy>),
}

/// A caller's function.
pub(super) struct Check(pub(super) Arc<dyn Fn(&Identity) -> bool + Send + Sync>);

impl Rule {
    /// Whether someone with this identity is allowed.
    pub(super) fn allows(&self, identity: &Identity) -> bool {
        let any = |check: &dyn Fn(&Proof) -> bool| identity.proofs().iter().any(check);
        match self {
            Rule::Nobody => false,
            Rule::Anyone => true,
            Rule::SameProcess => any(&|p| matches!(p, Proof::SameProcess)),
            Rule::Uid(uid) => any(&|p| matches!(p, Proof::Unix(c) if c.uid == *uid && *uid != OVERFLOW_ID)),
            Rule::Gid(gid) => any(&|p| matches!(p, Proof::Unix(c) if c.gid == *gid && *gid != OVERFLOW_ID)),
            Rule::User(user) => any(&|p| matches!(p, Proof::User { name, .. } if name == user)),
            Rule::CurveKey(key) => any(&|p| matches!(p, Proof::CurveKey(k) if k == key)),
            Rule::Other { kind, name } => {
                any(&|p| matches!(p, Proof::Other { kind: k, name: n } if k == kind && n == name))
            }
            Rule::Custom { check, .. } => (check.0)(identity),
            Rule::Any(policies) => policies.iter().any(|policy| policy.rule.allows(identity)),
            Rule::All(policies) => policies.iter().all(|policy| policy.rule.allows(identity)),
            rule @ (Rule::Dns(_) | Rule::Uri(_) | Rule::Pin(_) | Rule::Issuer(_) | Rule::Certified) => {
                any(&|p| matches!(p, Proof::Certificate(c) if rule.decide(Some(c)) == Some(true)))
            }
        }
    }

    /// Whether someone with this certificate, or without one, may be allowed, whatever else is still to be proven.
    pub(super) fn may_allow(&self, certificate: Option<&Certificate>) -> bool {
        match self {
            Rule::Nobody => false,
            Rule::Any(policies) => policies.iter().any(|policy| policy.rule.may_allow(certificate)),
            Rule::All(policies) => policies.iter().all(|policy| policy.rule.may_allow(certificate)),
            rule => rule.decide(certificate).unwrap_or(true),
        }
    }

    /// What a rule about certificates says of one, or of there being none; `None` for rules about something else.
    fn decide(&self, certificate: Option<&Certificate>) -> Option<bool> {
        // In a certificate of which only the pin was checked, names and issuer are what its owner wrote there.
        let vouched_for = certificate.filter(|certificate| certificate.is_vouched_for());
        let vouches = |says: &dyn Fn(&Certificate) -> bool| vouched_for.is_some_and(says);
        Some(match self {
            Rule::Dns(glob) => {
                vouches(&|c| c.dns_names.iter().any(|name| glob.matches(&name.to_ascii_lowercase())))
            }
            Rule::Uri(glob) => vouches(&|c| c.uris.iter().any(|uri| glob.matches(uri))),
            Rule::Issuer(name) => vouches(&|c| c.issuer == *name),
            Rule::Certified => vouches(&|_| true),
            Rule::Pin(pin) => certificate.is_some_and(|c| c.spki_sha256 == *pin),
            _ => return None,
        })
    }
}

/// Nothing more can be said of two functions than that they are one.
impl PartialEq for Check {
    fn eq(&self, other: &Check) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Check {}

/// What the kernel shows for a user or group that is not mapped into this namespace.
pub(super) const OVERFLOW_ID: u32 = 65534;
