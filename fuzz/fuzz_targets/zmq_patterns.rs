//! See `transport_zmq::fuzzing::zmq_patterns`, which an ordinary test replays the corpus through.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| transport_zmq::fuzzing::zmq_patterns(bytes));
