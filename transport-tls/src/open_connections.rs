//! The open connections, to close those whose peers would not be accepted any more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Context;
use std::time::SystemTime;

use atomic_waker::AtomicWaker;
use transport_core::Source;

use crate::refusal::Refusal;
use crate::state::State;
use crate::verifier::{VerifiedPeer, Verifier, VerifierId};

#[derive(Default)]
pub(crate) struct OpenConnections {
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    next: u64,
    by_id: HashMap<u64, Arc<OpenConnection>>,
}

/// What both a stream and the registry know of a connection.
pub(crate) struct OpenConnection {
    verdict: Mutex<Verdict>,
    source: Source,
    /// Set once, when it must close.
    refused: OnceLock<Refusal>,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

/// The last time that the peer has passed.
struct Verdict {
    peer: Arc<VerifiedPeer>,
    /// Which verifier was asked, if it was not the handshake that did.
    by: Option<VerifierId>,
}

/// A stream's place in the registry, given up with it.
pub(crate) struct Membership {
    id: u64,
    open: Arc<OpenConnection>,
    /// Not the registry alone: with the state goes the keeper, who finds out that this connection must close.
    state: Arc<State>,
}

impl OpenConnections {
    /// Closes those whose peers do not pass any more, and says which and why. Whom this verifier has let pass before is asked
    /// about again when something in its chain has expired: thousands of connections cost a comparison each.
    pub(crate) fn close_refused(&self, verifier: &Verifier, now: SystemTime) -> Vec<(Source, Refusal)> {
        // Verified without the lock: a connection that joins meanwhile has just been.
        let open: Vec<_> = self.lock().by_id.values().cloned().collect();
        let mut closed = Vec::new();
        for connection in open {
            if let Err(refusal) = connection.judge(verifier, now)
                && connection.refused.set(refusal.clone()).is_ok()
            {
                connection.reader.wake();
                connection.writer.wake();
                closed.push((connection.source.clone(), refusal));
            }
        }
        closed
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        // Held for single operations of the map only.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenConnection {
    fn judge(&self, verifier: &Verifier, now: SystemTime) -> Result<(), Refusal> {
        // Sweeps are the only ones who look at it.
        let mut verdict = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        if verdict.by != Some(verifier.id()) || !verdict.peer.is_valid(now) {
            let VerifiedPeer { chain, role, .. } = &*verdict.peer;
            *verdict = Verdict { peer: verifier.verify(chain, *role, now)?, by: Some(verifier.id()) };
        }
        Ok(())
    }
}

impl Membership {
    pub(crate) fn new(state: &Arc<State>, peer: Arc<VerifiedPeer>, source: Source) -> Membership {
        let open = Arc::new(OpenConnection {
            verdict: Mutex::new(Verdict { peer, by: None }),
            source,
            refused: OnceLock::new(),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        });
        let mut members = state.open.lock();
        let id = members.next;
        members.next += 1;
        members.by_id.insert(id, Arc::clone(&open));
        Membership { id, open, state: Arc::clone(state) }
    }

    /// Why the connection must close, if it must.
    pub(crate) fn refused(&self) -> Option<&Refusal> {
        self.open.refused.get()
    }

    /// As [`refused`](Membership::refused); otherwise the reading task is woken when it must.
    pub(crate) fn poll_refused_for_read(&self, cx: &mut Context<'_>) -> Option<&Refusal> {
        self.open.reader.register(cx.waker());
        self.refused()
    }

    /// As [`refused`](Membership::refused); otherwise the writing task is woken when it must.
    pub(crate) fn poll_refused_for_write(&self, cx: &mut Context<'_>) -> Option<&Refusal> {
        self.open.writer.register(cx.waker());
        self.refused()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.state.open.lock().by_id.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TlsConfig;
    use crate::trust::Trust;
    use crate::verifier::PeerRole;
    use certgen::{AuthorityConfig, CertificateAuthority, LeafConfig};
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::CertificateDer;

    fn verifier(authority: &CertificateAuthority) -> Verifier {
        let trust = Trust::ca_pem(authority.certificate().pem());
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        let anchors = trust.load_each().next().unwrap().unwrap();
        Verifier::new(&trust, anchors, Vec::new(), algorithms)
    }

    #[test]
    fn a_peer_is_verified_again_for_another_verifier_and_not_at_every_sweep() {
        let authority = CertificateAuthority::new(&AuthorityConfig::default()).unwrap();
        let (first, second) = (verifier(&authority), verifier(&authority));
        let own = authority.issue(&LeafConfig::new(["a"]).unwrap()).unwrap();
        let chain = [CertificateDer::from(own.certificate().der().to_vec())];
        let now = SystemTime::now();
        let state = State::load(TlsConfig::new()).unwrap();
        let peer = first.verify(&chain, PeerRole::Client, now).unwrap();
        let member = Membership::new(&state, peer, Source::SameProcess);
        let sweep = |verifier: &Verifier| {
            verifier.forget_all();
            assert!(state.open.close_refused(verifier, now).is_empty());
            Arc::clone(&member.open.verdict.lock().unwrap().peer)
        };
        let at_first = sweep(&first);
        assert!(Arc::ptr_eq(&at_first, &sweep(&first)));
        let at_second = sweep(&second);
        assert!(!Arc::ptr_eq(&at_first, &at_second));
        assert!(Arc::ptr_eq(&at_second, &sweep(&second)));
        let stranger = verifier(&CertificateAuthority::new(&AuthorityConfig::default()).unwrap());
        assert_eq!(state.open.close_refused(&stranger, now).len(), 1);
    }
}
