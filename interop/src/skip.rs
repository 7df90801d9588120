//! Tests that cannot run here say so.

use std::io::Write as _;

/// Says in plain sight that the current test does not run, and why.
///
/// The test harness shows what a test prints only when the test fails; the real standard error gets it in any case.
pub fn skip(why: &str) {
    let thread = std::thread::current();
    let line = format!("skipped: {}: {why}", thread.name().unwrap_or("a test"));
    println!("{line}");
    // If even that cannot be written there is nobody to tell.
    let _unheard = writeln!(std::io::stderr(), "{line}");
}

/// As [`skip`], for what an installation should have: a failure where `INTEROP=required` is set.
///
/// # Panics
///
/// When `INTEROP=required` is set.
pub(crate) fn skip_unless_required(why: &str) {
    let required = std::env::var_os("INTEROP").is_some_and(|value| value == "required");
    assert!(!required, "INTEROP=required, but {why}");
    skip(why);
}
