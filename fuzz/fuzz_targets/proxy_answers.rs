//! See `transport_core::fuzzing::proxy_answers`, which an ordinary test replays the corpus through.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| transport_core::fuzzing::proxy_answers(bytes));
