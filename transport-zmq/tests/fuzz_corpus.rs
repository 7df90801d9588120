//! Replays the corpus of the fuzz targets: what was found once stays found.
#![cfg(feature = "fuzzing")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::path::Path;

#[test]
fn the_corpus_of_zmq_stream_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/zmq_stream");
    let files: Vec<_> = std::fs::read_dir(&folder).expect("the corpus is in the repository").collect();
    assert!(files.len() >= 3, "{} has too few files", folder.display());
    for file in files {
        transport_zmq::fuzzing::zmq_stream(&std::fs::read(file.unwrap().path()).unwrap());
    }
}
