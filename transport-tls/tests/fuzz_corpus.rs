//! Replays the corpus of the fuzz target: what was found once stays found.
#![cfg(feature = "fuzzing")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

#[test]
fn the_corpus_of_tls_certificate_passes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/tls_certificate");
    let files: Vec<_> = std::fs::read_dir(folder).expect("the corpus is in the repository").collect();
    assert!(files.len() >= 3, "{folder} has too few files");
    for file in files {
        transport_tls::fuzzing::certificate(&std::fs::read(file.unwrap().path()).unwrap());
    }
}
