//! Replays the corpus of the fuzz target: what was found once stays found.
#![cfg(feature = "fuzzing")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::fs;
use std::path::PathBuf;

fn corpus() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/certgen_files");
    let entries = fs::read_dir(&folder).expect("the corpus is in the repository");
    let files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "{} has too few files", folder.display());
    files
}

#[test]
fn the_corpus_of_certgen_files_passes() {
    for file in corpus() {
        certgen::fuzzing::files(&fs::read(file).unwrap());
    }
}

#[test]
fn no_altered_byte_and_no_cut_makes_it_panic() {
    for file in corpus().into_iter().filter(|file| file.to_string_lossy().ends_with("-der")) {
        let mut bytes = fs::read(file).unwrap();
        for at in 0..bytes.len() {
            certgen::fuzzing::files(&bytes[..at]);
            for change in [0x01, 0x20, 0x80, 0xff] {
                bytes[at] ^= change;
                certgen::fuzzing::files(&bytes);
                bytes[at] ^= change;
            }
        }
    }
}
