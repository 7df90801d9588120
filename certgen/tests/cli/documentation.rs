//! `--help`, `man`, `completions` and `show`.

use serde_json::Value;

use crate::set_up::Folder;

#[test]
fn help_has_examples_and_names_every_command() {
    let folder = Folder::new();
    let help = folder.run(&["--help"]).well().stdout;
    for command in [
        "mtls",
        "ca",
        "leaf",
        "csr",
        "sign",
        "renew",
        "revoke",
        "crl",
        "show",
        "check",
        "cables",
        "man",
        "completions",
    ] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{command} "))), "{command}");
        let own = folder.run(&[command, "--help"]).well().stdout;
        assert!(
            own.contains("Usage: certgen") && own.contains(&format!("Examples:\n  certgen {command} ")),
            "{own}"
        );
    }
    assert!(help.contains("Examples:\n  certgen server.pem"), "{help}");
    assert!(folder.run(&["check", "--help"]).stdout.contains("Exit codes"));
}

#[test]
fn there_is_a_man_page_for_each_command_and_a_completion_for_each_shell() {
    let folder = Folder::new();
    let page = folder.run(&["man"]).well().stdout;
    assert!(page.contains(".TH certgen 1"), "{page}");
    folder.run(&["man", "--dir", "."]).well();
    let pages = folder.tree();
    for page in ["certgen.1", "certgen-mtls.1", "certgen-check.1"] {
        assert!(pages.iter().any(|found| found == page), "{pages:?}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(folder.run(&["completions", shell]).well().stdout.contains("certgen"));
    }
}

#[test]
fn show_prints_what_people_and_programs_need() {
    let folder = Folder::new();
    folder.run(&["server.pem", "-n", "example.org"]).well();
    let certificate = folder.certificate("server.pem");
    let text = folder.run(&["show", "server.pem"]).well().stdout;
    for expected in
        [&certificate.pin(), &certificate.fingerprint(), "DNS:example.org", "in 396 days", "p256 (not shown)"]
    {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
    let json: Value =
        serde_json::from_str(&folder.run(&["show", "--json", "server.pem"]).well().stdout).unwrap();
    let shown = &json[0]["certificates"][0];
    assert_eq!(shown["pin"], certificate.pin());
    assert_eq!(shown["names"][0], "DNS:example.org");
    assert_eq!((&shown["expired"], &shown["key_matches"]), (&Value::Bool(false), &Value::Bool(true)));
    assert!(!text.contains("BEGIN") && !json.to_string().contains("BEGIN"));

    folder.run(&["csr", "a"]).well();
    assert!(folder.run(&["show", "a.csr"]).well().stdout.contains("asks for"));
    folder.run(&["show", "missing.pem"]).failed_with(&["cannot read missing.pem"]);
}
