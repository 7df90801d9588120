//! Files that certgen reads: PEM, certificates, requests, revocation lists.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| certgen::fuzzing::files(bytes));
