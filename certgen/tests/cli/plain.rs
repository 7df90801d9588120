//! `certgen FILE...`, the drop-in for `make-dummy-cert`.

use std::fs;

use crate::set_up::Folder;

#[test]
fn a_file_has_key_empty_line_and_certificate_and_is_its_owners_alone() {
    let folder = Folder::new();
    let ran = folder.run(&["server.pem"]).well();
    assert_eq!(folder.tree(), ["server.pem"]);
    assert_eq!(folder.mode("server.pem"), 0o600);

    let text = folder.text("server.pem");
    let (key, certificate) = text.split_once("\n\n").unwrap();
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----\n") && key.ends_with("-----END PRIVATE KEY-----"));
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----\n"));
    assert!(certificate.ends_with("-----END CERTIFICATE-----\n"));

    let read = folder.pem("server.pem");
    assert_eq!(read.keys[0].public_key(), read.certificates[0].public_key());
    let names: Vec<_> = read.certificates[0].names().iter().map(ToString::to_string).collect();
    assert_eq!(names[..3], ["DNS:localhost", "IP:127.0.0.1", "IP:::1"]);
    assert!(ran.stdout.contains(&read.certificates[0].pin()), "{}", ran.stdout);
    assert!(!ran.stdout.contains("PRIVATE"), "{}", ran.stdout);
}

#[test]
fn each_of_several_files_has_a_key_of_its_own() {
    let folder = Folder::new();
    folder.run(&["a.pem", "b.pem", "c.pem"]).well();
    let mut pins: Vec<_> = ["a.pem", "b.pem", "c.pem"].map(|file| folder.certificate(file).pin()).to_vec();
    pins.sort();
    pins.dedup();
    assert_eq!(pins.len(), 3);
}

#[test]
fn the_mode_does_not_depend_on_the_umask() {
    let folder = Folder::new();
    let script = format!("umask 000; exec {} server.pem", env!("CARGO_BIN_EXE_certgen"));
    let status = std::process::Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output();
    assert!(status.unwrap().status.success());
    assert_eq!(folder.mode("server.pem"), 0o600);
}

#[test]
fn a_file_that_exists_is_refused_and_then_nothing_is_written() {
    let folder = Folder::new();
    fs::write(folder.join("b.pem"), "precious").unwrap();
    folder.run(&["a.pem", "b.pem"]).failed_with(&["b.pem exists", "nothing was written", "--force"]);
    assert_eq!(folder.tree(), ["b.pem"]);
    assert_eq!(folder.text("b.pem"), "precious");

    folder.run(&["--force", "a.pem", "b.pem"]).well();
    assert_eq!(folder.mode("b.pem"), 0o600);
    assert_eq!(folder.pem("b.pem").keys.len(), 1);
}

#[test]
fn a_link_is_refused_even_if_it_leads_nowhere() {
    let folder = Folder::new();
    std::os::unix::fs::symlink(folder.join("elsewhere"), folder.join("server.pem")).unwrap();
    folder.run(&["server.pem"]).failed_with(&["server.pem exists"]);
    assert_eq!(folder.tree(), ["server.pem"]);
}

#[test]
fn the_same_file_twice_is_refused() {
    let folder = Folder::new();
    folder.run(&["a.pem", "a.pem"]).failed_with(&["named twice"]);
    assert_eq!(folder.tree(), [""; 0]);
}

#[test]
fn names_profile_algorithm_and_days_are_as_asked_for() {
    let folder = Folder::new();
    let arguments =
        ["s.pem", "-n", "example.org", "-n", "10.0.0.1", "-p", "server", "-a", "ed25519", "--days", "9"];
    folder.run(&arguments).well();
    let certificate = folder.certificate("s.pem");
    let names: Vec<_> = certificate.names().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["DNS:example.org", "IP:10.0.0.1"]);
    assert_eq!(certificate.usages(), ["digitalSignature", "serverAuth"]);
    assert_eq!(certificate.key_kind(), "Ed25519");
    let life = certificate.not_after().duration_since(certificate.not_before()).unwrap().as_secs();
    assert_eq!(life, 9 * 24 * 60 * 60 + 60 * 60);
}

#[test]
fn a_flumotion_certificate_is_rsa_with_what_key_transport_needs() {
    let folder = Folder::new();
    folder.run(&["--profile", "flumotion", "default.pem"]).well();
    let certificate = folder.certificate("default.pem");
    assert_eq!(certificate.key_kind(), "RSA 2048");
    assert_eq!(certificate.usages(), ["digitalSignature", "keyEncipherment", "serverAuth"]);
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    let folder = Folder::new();
    let refused = |arguments: &[&str], hints: &[&str]| {
        folder.run(arguments).failed_with(hints);
    };
    refused(&["s.pem", "-n", "a b"], &["\"a b\"", "letters, digits"]);
    refused(&["s.pem", "-p", "client"], &["client needs a name"]);
    refused(&["s.pem", "-p", "cables"], &["certgen cables"]);
    refused(&["s.pem", "-p", "cms", "-n", "a", "-a", "ed25519"], &["cms takes p256 or RSA"]);
    refused(&["s.pem", "--days", "0"], &["1 day or more"]);
    refused(&["s.pem", "--days", "4294967295"], &["fewer days"]);
    refused(&["missing/s.pem"], &["missing/s.pem", "mkdir -p missing"]);
    refused(&["."], &["is a folder"]);
    assert_eq!(folder.tree(), [""; 0]);
    let ran = folder.run(&["s.pem", "-a", "rsa1024"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("p256, p384, ed25519"), "{}", ran.stderr);
}

#[test]
fn a_misspelled_command_is_no_file_name() {
    let folder = Folder::new();
    for (arguments, meant) in [
        (&["chek", "tls"][..], "certgen check"),
        (&["mlts"], "certgen mtls"),
        (&["mlts", "tls", "--client", "alice"], "certgen mtls"),
        (&["reovke", "--ca", "tls/ca", "alice.pem"], "certgen revoke"),
        (&["serve"], "certgen revoke"),
        (&["--force", "a.pem", "shwo"], "certgen show"),
        (&["help"], "certgen --help"),
    ] {
        let ran = folder.run(arguments);
        let word = arguments.iter().find(|word| !word.starts_with('-') && !word.contains('.')).unwrap();
        let told = format!("did you mean `{meant}`? (for a file of that name: certgen ./{word})");
        assert!(ran.stderr.contains(&told), "{arguments:?}: {}", ran.stderr);
        // To monitoring, a check that could not be made is not a critical finding.
        assert_eq!(ran.code, Some(if meant == "certgen check" { 3 } else { 2 }), "{arguments:?}");
    }
    assert_eq!(folder.tree(), [""; 0]);
    folder.run(&["./chek", "server"]).well();
    assert_eq!(folder.tree(), ["chek", "server"]);
    let ran = folder.run(&["leaf", "--no-such-option"]);
    assert!(
        ran.stderr.contains("'--no-such-option'") && !ran.stderr.contains("did you mean"),
        "{}",
        ran.stderr
    );
}
