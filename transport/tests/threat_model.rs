//! The threat model names tests and files that there are.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const THREAT_MODEL: &str = include_str!("../../docs/threat-model.md");

#[test]
fn every_file_and_every_test_that_the_threat_model_names_is_there() {
    let mut there = There::default();
    there.read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), "");
    let names = THREAT_MODEL.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let names: Vec<_> = names.filter(|name| name.ends_with(".rs") || is_a_sentence(name)).collect();
    assert!(names.len() > 300, "only {} were found", names.len());
    let missing: Vec<_> = names.into_iter().filter(|name| !there.has(name)).collect();
    assert!(missing.is_empty(), "there is no {missing:?}");
}

/// Whether it is the name of a test: five words at least.
fn is_a_sentence(name: &str) -> bool {
    name.matches('_').count() >= 4
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[derive(Default)]
struct There {
    /// Each file, and each folder that it is in, from there on.
    files: BTreeSet<String>,
    /// Functions, and what stands in a line of its own, as the names of tests that a macro makes do.
    names: BTreeSet<String>,
}

impl There {
    fn has(&self, name: &str) -> bool {
        if name.ends_with(".rs") { self.files.contains(name) } else { self.names.contains(name) }
    }

    fn read(&mut self, folder: &Path, place: &str) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let place = format!("{place}/{name}");
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                self.read(&path, &place);
            } else if name.ends_with(".rs") {
                self.files.extend(place.match_indices('/').map(|(at, _)| place[at + 1..].to_owned()));
                for line in fs::read_to_string(&path).unwrap().lines() {
                    let line = line.trim().trim_end_matches([',', ';']);
                    let name = line.split_once("fn ").and_then(|(_, rest)| rest.split('(').next());
                    self.names.insert(name.unwrap_or(line).to_owned());
                }
            }
        }
    }
}
