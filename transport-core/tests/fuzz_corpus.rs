//! Replays the corpus of the fuzz targets: what was found once stays found.
#![cfg(feature = "fuzzing")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::path::Path;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files: Vec<_> = std::fs::read_dir(&folder).expect("the corpus is in the repository").collect();
    assert!(files.len() >= 3, "{} has too few files", folder.display());
    for file in files {
        run(&std::fs::read(file.unwrap().path()).unwrap());
    }
}

#[test]
fn the_corpus_of_address_passes() {
    replay("address", transport_core::fuzzing::address);
}

#[test]
fn the_corpus_of_zmtp_handshake_passes() {
    replay("zmtp_handshake", transport_core::fuzzing::zmtp_handshake);
}

#[test]
fn the_corpus_of_zmtp_decoder_passes() {
    replay("zmtp_decoder", transport_core::fuzzing::zmtp_decoder);
}

#[test]
fn the_corpus_of_scram_passes() {
    replay("scram", transport_core::fuzzing::scram);
}

#[test]
fn the_corpus_of_proxy_answers_passes() {
    replay("proxy_answers", transport_core::fuzzing::proxy_answers);
}

#[test]
fn the_corpus_of_calls_passes() {
    replay("calls", transport_core::fuzzing::calls);
}
