//! By which means a peer was proven to be who it is.

use serde::Serialize;
use transport::core::Certificate;
use transport::{Identity, Policy, Proof};

/// What an identity says to a person: the name that stands for the peer, and everything that was proven.
#[derive(Serialize)]
pub(crate) struct Seen {
    pub(crate) identity: String,
    /// The strongest first.
    pub(crate) proofs: Vec<Proven>,
}

#[derive(Serialize)]
pub(crate) struct Proven {
    pub(crate) name: String,
    pub(crate) by: &'static str,
}

impl Seen {
    pub(crate) fn of(identity: &Identity) -> Seen {
        Seen {
            identity: identity.to_string(),
            proofs: identity.proofs().iter().map(|proof| Proven::of(proof, identity)).collect(),
        }
    }
}

impl Proven {
    fn of(proof: &Proof, identity: &Identity) -> Proven {
        let (name, by) = match proof {
            Proof::SameProcess => ("process".to_owned(), "the transport, within this process"),
            Proof::Unix(peer) => (format!("uid:{}", peer.uid), "the kernel (SO_PEERCRED)"),
            Proof::User { name, mechanism } => (format!("user:{}", name.escape_debug()), *mechanism),
            Proof::Certificate(certificate) => (name_of(certificate), "a certificate (TLS)"),
            // Others come with transports and mechanisms that this build may not have.
            _ => (identity.to_string(), "the transport or the mechanism"),
        };
        Proven { name, by }
    }
}

/// The name that a certificate stands for, written as a rule for it would be.
fn name_of(certificate: &Certificate) -> String {
    match (certificate.uris.first(), certificate.dns_names.first()) {
        (Some(uri), _) if certificate.is_vouched_for() => uri.escape_debug().to_string(),
        (None, Some(name)) if certificate.is_vouched_for() => format!("dns:{}", name.escape_debug()),
        _ => Policy::spki_pin(certificate.spki_sha256).to_string(),
    }
}
