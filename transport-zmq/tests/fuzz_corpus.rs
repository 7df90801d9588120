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
fn the_corpus_of_curve_passes() {
    replay("curve", transport_zmq::fuzzing::curve);
}

#[test]
fn the_corpus_of_zmq_stream_passes() {
    replay("zmq_stream", transport_zmq::fuzzing::zmq_stream);
}
