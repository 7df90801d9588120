//! The table of libzmq's options, against the names in its header.
#![allow(clippy::unwrap_used, reason = "a test may; clippy knows only functions that are marked as one")]

const TABLE: &str = include_str!("../../docs/libzmq-options.md");
/// Of sockets and contexts, as `zmq.h` 4.3.4 defines them.
const OPTIONS: &str = include_str!("vectors/libzmq-4.3.4-options.txt");

/// The names in the first column of a row whose second column says something.
fn told() -> Vec<&'static str> {
    let rows = TABLE.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let said = rows.filter(|(_, here)| !here.trim_start_matches(['|', ' ']).is_empty());
    said.flat_map(|(names, _)| names.split(", ")).map(|name| name.trim_matches('`')).collect()
}

#[test]
fn each_option_of_libzmq_is_there_under_another_name_or_with_the_reason_why_not() {
    let told = told();
    let is_told = |option: &str| {
        told.iter().any(|name| match name.strip_suffix('*') {
            Some(beginning) => option.starts_with(beginning),
            None => *name == option,
        })
    };
    let missing: Vec<&str> = OPTIONS.lines().filter(|option| !is_told(option)).collect();
    assert_eq!(OPTIONS.lines().count(), 90);
    assert!(missing.is_empty(), "add to docs/libzmq-options.md: {missing:?}");
}
