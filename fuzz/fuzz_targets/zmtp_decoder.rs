//! See `transport_core::fuzzing::zmtp_decoder`, which an ordinary test replays the corpus through.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| transport_core::fuzzing::zmtp_decoder(bytes));
