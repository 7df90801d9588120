//! The corpus of the fuzz targets, for ordinary tests.

use std::fs;
use std::path::Path;

/// Runs what a fuzz target checks over each file of its corpus, in `fuzz/corpus/TARGET`: what was found once stays found.
///
/// # Panics
///
/// When the check does, or there are fewer than three files, so that a folder that was moved is noticed.
pub fn replay_corpus(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files: Vec<_> = fs::read_dir(&folder).expect("the corpus is in the repository").collect();
    assert!(files.len() >= 3, "{} has too few files", folder.display());
    for file in files {
        let path = file.expect("the corpus can be read").path();
        check(&fs::read(path).expect("the corpus can be read"));
    }
}
