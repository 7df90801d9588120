//! The crates as a stranger uses them: see `outside/Cargo.toml`.
#![allow(clippy::unwrap_used, reason = "a test may; clippy knows only functions that are marked as one")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const OUTSIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/outside");

#[test]
fn each_crate_and_each_feature_of_the_facade_can_be_used_alone_from_outside() {
    let features = features(&package(OUTSIDE, "outside"));
    check(&["--no-default-features"]);
    for feature in &features {
        check(&["--no-default-features", "--features", feature]);
    }
    check(&["--all-features"]);
}

#[test]
fn no_crate_and_no_feature_of_the_facade_is_forgotten_outside() {
    let outside = package(OUTSIDE, "outside");
    let used: BTreeSet<&str> =
        list(&outside["dependencies"]).filter_map(|dependency| dependency["name"].as_str()).collect();
    let workspace = packages(env!("CARGO_MANIFEST_DIR"));
    // What may not be published has `publish = []`.
    let libraries = list(&workspace).filter(|package| package["publish"].is_null());
    let missing: Vec<&str> = libraries
        .filter(|package| has_library(package))
        .filter_map(|package| package["name"].as_str())
        .filter(|name| !used.contains(name))
        .collect();
    assert!(missing.is_empty(), "add to outside/Cargo.toml and use a little: {missing:?}");

    let enabled: BTreeSet<&str> = outside["features"]
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(_, enables)| list(enables))
        .filter_map(Value::as_str)
        .collect();
    let facade = package(env!("CARGO_MANIFEST_DIR"), "transport");
    let missing: Vec<String> = features(&facade)
        .into_iter()
        .map(|feature| format!("transport/{feature}"))
        .filter(|feature| !enabled.contains(&**feature))
        .collect();
    assert!(missing.is_empty(), "add to outside/Cargo.toml, each under a feature of its own: {missing:?}");
}

fn check(arguments: &[&str]) {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside");
    let mut cargo = cargo(OUTSIDE, "check");
    cargo.args(["--quiet", "--target-dir"]).arg(target).args(arguments);
    let output = cargo.output().unwrap();
    assert!(
        output.status.success(),
        "cargo check {}:\n{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn packages(folder: &str) -> Value {
    let mut cargo = cargo(folder, "metadata");
    cargo.args(["--no-deps", "--format-version", "1"]);
    let output = cargo.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata in {folder}:\n{said}");
    let mut metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].take()
}

fn package(folder: &str, name: &str) -> Value {
    let packages = packages(folder);
    list(&packages).find(|package| package["name"] == name).unwrap().clone()
}

fn has_library(package: &Value) -> bool {
    list(&package["targets"]).flat_map(|target| list(&target["kind"])).any(|kind| kind == "lib")
}

/// All but `default`, which is none of its own.
fn features(package: &Value) -> Vec<String> {
    let features = package["features"].as_object().unwrap();
    let names = features.keys().filter(|name| *name != "default");
    names.cloned().collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn cargo(folder: &str, command: &str) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.arg(command).current_dir(folder);
    cargo
}
