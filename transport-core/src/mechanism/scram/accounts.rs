//! Where a server finds its users: an account store of one's own, or a few users in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::keys::{DEFAULT_ITERATIONS, Verifier, VerifierError, hmac};
use crate::transport::BoxFuture;

/// An account store: finds what is kept of a user's password. What ZAP is to libzmq.
///
/// # Security
///
/// Whether a user exists must not show: an unknown one is answered with a made-up salt, and fails in the end like a wrong
/// password. For that, `iterations` and `secret` must be those of the known users, and stay the same.
pub trait AccountStore: Send + Sync {
    /// What is kept of this user's password. Must not block: what takes time goes into [`Lookup::Later`].
    fn lookup(&self, user: &str) -> Lookup;

    /// The iterations that a made-up answer shows: those that most users have.
    fn iterations(&self) -> u32 {
        DEFAULT_ITERATIONS
    }

    /// A secret from which made-up salts are derived; at least 16 random bytes that outlive restarts.
    fn secret(&self) -> &[u8];
}

/// The answer of an [`AccountStore`].
pub enum Lookup {
    /// What is kept, if the user is known.
    Now(Option<Verifier>),
    /// The same once the future is ready, or what went wrong in the store. The handshake's deadline goes on.
    Later(BoxFuture<'static, Result<Option<Verifier>, String>>),
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lookup::Now(Some(_)) => "Now(known)",
            Lookup::Now(None) => "Now(unknown)",
            Lookup::Later(_) => "Later",
        })
    }
}

impl<S: AccountStore + ?Sized> AccountStore for Arc<S> {
    fn lookup(&self, user: &str) -> Lookup {
        (**self).lookup(user)
    }

    fn iterations(&self) -> u32 {
        (**self).iterations()
    }

    fn secret(&self) -> &[u8] {
        (**self).secret()
    }
}

/// The salt that an unknown user seems to have: always the same for the same name.
pub(super) fn made_up_salt(store: &dyn AccountStore, user: &str) -> Vec<u8> {
    hmac(store.secret(), user.as_bytes()).0[..16].to_vec()
}

/// A few users in memory.
pub struct Accounts {
    verifiers: HashMap<String, Verifier>,
    iterations: u32,
    secret: [u8; 32],
}

impl Accounts {
    /// No users, and a secret of this process.
    ///
    /// # Errors
    ///
    /// When the system has no random bytes.
    pub fn new() -> Result<Accounts, VerifierError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|_| VerifierError("the system has no random bytes"))?;
        Ok(Accounts { verifiers: HashMap::new(), iterations: DEFAULT_ITERATIONS, secret })
    }

    /// Adds a user; made-up answers then show as many iterations as this one has.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>, verifier: Verifier) -> Accounts {
        self.iterations = verifier.iterations;
        self.verifiers.insert(user.into(), verifier);
        self
    }
}

impl AccountStore for Accounts {
    fn lookup(&self, user: &str) -> Lookup {
        Lookup::Now(self.verifiers.get(user).cloned())
    }

    fn iterations(&self) -> u32 {
        self.iterations
    }

    fn secret(&self) -> &[u8] {
        &self.secret
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Accounts({} users)", self.verifiers.len())
    }
}
