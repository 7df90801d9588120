//! See `transport_core::fuzzing::calls`, which an ordinary test replays the corpus through.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| transport_core::fuzzing::calls(bytes));
