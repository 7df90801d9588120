# The commands of this project: `just` lists them. CI runs `just ci` (see .ci/run).

default:
    @just --list

# What CI runs, in its order; with INTEROP=required, so that the interop tests among the ordinary ones must run
ci: fmt lint doc test tour fuzz-build

# Formatting
fmt:
    cargo fmt --all --check

# Lints, warnings denied
lint:
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy -p transport --no-default-features --all-targets -- -D warnings
    cargo clippy -p transport --all-features --all-targets -- -D warnings
    cargo clippy -p benches --features peers --all-targets -- -D warnings

# Documentation, warnings denied
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# The ordinary tests: the README's command, and the facade without its features and with those that are off
test:
    cargo test --workspace
    cargo test -p transport --no-default-features
    cargo test -p transport --all-features --test http --test zmq
    cargo test -p transport --all-features --doc
    cargo test -p transport-tls --all-features

# The tour: the README's other command
tour:
    cargo run --release -p quickstart

# The certificate of a server is replaced 50 times, 10 of them by a broken one, while 10,000 connections are made
reload-under-load:
    RELOAD_LONG=1 cargo test -p transport-tls --release --test reload_under_load -- --nocapture

# Tests against programs that others wrote; skipping is failing
interop:
    INTEROP=required cargo test -p interop

# Each pair of sockets of ours and of libzmq's is idle for a minute, and heartbeats keep it connected
idle:
    INTEROP=required cargo test -p interop --test zmq -- --ignored

# The crates as a stranger uses them: by path, each feature alone
outside:
    INTEROP=required cargo test -p interop --test outside

# The fuzz targets build
fuzz-build:
    cargo check --manifest-path fuzz/Cargo.toml

# Criterion benches, no peers needed
bench:
    cargo bench

# Side by side with other libraries: needs a C++ compiler
compare *ARGS:
    cargo build --release -p certgen
    cargo run --release -p benches --features peers --bin compare -- {{ARGS}}

# certgen with all libraries in it, which starts a quarter of a millisecond sooner: target/HOST/release/certgen
certgen-static:
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --release -p certgen --target "$(rustc -vV | sed -n 's/^host: //p')"

# Each fuzz target for so many seconds; new inputs land in fuzz/generated
fuzz SECONDS="600":
    #!/usr/bin/env bash
    set -euo pipefail
    for target in $(cargo fuzz list); do
        mkdir -p "fuzz/generated/$target"
        cargo fuzz run --sanitizer none "$target" "fuzz/generated/$target" "fuzz/corpus/$target" -- -max_total_time={{SECONDS}}
    done

# Licences and advisories of dependencies (needs cargo-deny)
deny:
    cargo deny check

# Everything, the long things too
full: ci idle bench (compare "--quick") (fuzz "600")
