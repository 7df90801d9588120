//! See `transport_tls::fuzzing::certificate`, which an ordinary test replays the corpus through.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| transport_tls::fuzzing::certificate(bytes));
