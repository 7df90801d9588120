//! Benchmarks of the library, and the program `compare` which sets it beside its peers.
