//! What a finished handshake has proven.

use std::sync::Arc;

use tokio_rustls::TlsStream as Rustls;
use transport_core::{BoxStream, Claims, Established, Evidence, Proof, Protection, Source};

use crate::error::TlsError;
use crate::generation::Generation;
use crate::open_connections::Membership;
use crate::state::State;
use crate::stream::TlsStream;
use crate::verifier::PeerRole;

/// Makes the evidence of a stream whose handshake is done.
///
/// A resumed session brings the peer's chain without verifying it again, so it is looked up here whichever way the peer came:
/// a chain that has been verified is remembered for as long as all of it is valid.
pub(crate) fn establish(
    state: &Arc<State>,
    generation: &Generation,
    role: PeerRole,
    rustls: Rustls<BoxStream>,
    (below, claims, source): (Evidence, Claims, Source),
) -> Result<Established, TlsError> {
    let mut stream = TlsStream::new(rustls);
    let mut evidence = Evidence::new(protection(state, role, &below));
    if let Some(binding) = stream.channel_binding() {
        evidence = evidence.with_channel_binding(binding);
    }
    if let Some(chain) = stream.peer_chain() {
        let now = state.config.clock.now();
        let peer = generation.verifier.verify(chain, role, now)?;
        evidence = evidence.with_proof(Proof::Certificate(peer.certificate(stream.protocol())));
        stream = stream.with_membership(Membership::new(state, peer, source.clone()));
        // What was loaded while this handshake was under way counts: a reload closes those who joined before it, and who
        // joins after it is looked at here.
        let current = state.generation();
        if !std::ptr::eq(&*current, generation)
            && let Some(chain) = stream.peer_chain()
        {
            current.verifier.verify(chain, role, now)?;
        }
    }
    if let Some(process) = below.process() {
        evidence = evidence.with_process(process.clone());
    }
    let evidence = below.proofs().iter().cloned().fold(evidence, Evidence::with_proof);
    // rustls has refused a protocol that is not wanted; that none was named is left to be checked here.
    if stream.protocol().is_none() && state.config.without_protocol.check_evidence(&evidence).is_err() {
        return Err(TlsError::Protocol { offered: Vec::new(), wanted: state.config.protocols.clone() });
    }
    Ok(Established { stream: Box::new(stream), evidence, claims, source })
}

/// A client that has not verified its server may be talking to anyone on the way.
fn protection(state: &State, role: PeerRole, below: &Evidence) -> Protection {
    match role {
        PeerRole::Server if state.config.trust.is_anyone() => below.protection(),
        _ => Protection::Encrypted,
    }
}
