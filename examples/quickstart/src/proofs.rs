//! By which means a peer was proven to be who it is.

use serde::Serialize;
use transport::{Identity, Proof};

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
            // Certificates and keys come with transports and mechanisms that this build may not have.
            _ => (identity.to_string(), "the transport or the mechanism"),
        };
        Proven { name, by }
    }
}
