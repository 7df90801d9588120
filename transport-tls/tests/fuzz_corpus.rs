//! Replays the corpus of the fuzz target: what was found once stays found.
#![cfg(feature = "fuzzing")]

use transport_conformance::replay_corpus;

#[test]
fn the_corpus_of_tls_certificate_passes() {
    replay_corpus("tls_certificate", transport_tls::fuzzing::certificate);
}
