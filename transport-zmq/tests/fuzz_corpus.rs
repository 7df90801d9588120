//! Replays the corpus of the fuzz targets: what was found once stays found.
#![cfg(feature = "fuzzing")]

use transport_conformance::replay_corpus;

#[test]
fn the_corpus_of_curve_passes() {
    replay_corpus("curve", transport_zmq::fuzzing::curve);
}

#[test]
fn the_corpus_of_zmq_stream_passes() {
    replay_corpus("zmq_stream", transport_zmq::fuzzing::zmq_stream);
}

#[test]
fn the_corpus_of_zmq_patterns_passes() {
    replay_corpus("zmq_patterns", transport_zmq::fuzzing::zmq_patterns);
}
