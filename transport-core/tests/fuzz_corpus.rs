//! Replays the corpus of the fuzz targets: what was found once stays found.
#![cfg(feature = "fuzzing")]

use transport_conformance::replay_corpus;

#[test]
fn the_corpus_of_address_passes() {
    replay_corpus("address", transport_core::fuzzing::address);
}

#[test]
fn the_corpus_of_zmtp_handshake_passes() {
    replay_corpus("zmtp_handshake", transport_core::fuzzing::zmtp_handshake);
}

#[test]
fn the_corpus_of_zmtp_decoder_passes() {
    replay_corpus("zmtp_decoder", transport_core::fuzzing::zmtp_decoder);
}

#[test]
fn the_corpus_of_scram_passes() {
    replay_corpus("scram", transport_core::fuzzing::scram);
}

#[test]
fn the_corpus_of_proxy_answers_passes() {
    replay_corpus("proxy_answers", transport_core::fuzzing::proxy_answers);
}

#[test]
fn the_corpus_of_calls_passes() {
    replay_corpus("calls", transport_core::fuzzing::calls);
}
