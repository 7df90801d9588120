//! `certgen mtls`, `ca`, `leaf` and `cables`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use crate::set_up::Folder;

#[test]
fn mtls_makes_an_authority_a_server_and_clients_that_it_signed() {
    let folder = Folder::new();
    folder
        .run(&[
            "mtls",
            "tls",
            "--server",
            "db.example.org",
            "10.0.0.5",
            "--client",
            "alice",
            "bob@example.org",
        ])
        .well();
    let mut expected = vec!["tls", "tls/alice.pem", "tls/bob@example.org.pem", "tls/ca", "tls/ca.pem"];
    expected.extend(["tls/ca/ca.key", "tls/ca/ca.pem", "tls/ca/issued", "tls/server.pem"]);
    let tree = folder.tree();
    let (records, others): (Vec<_>, Vec<_>) =
        tree.iter().partition(|path| path.starts_with("tls/ca/issued/"));
    assert_eq!(others, expected.iter().collect::<Vec<_>>());
    assert_eq!(records.len(), 3);
    for (file, mode) in [
        ("tls", 0o700),
        ("tls/ca", 0o700),
        ("tls/ca/ca.key", 0o400),
        ("tls/ca/issued", 0o700),
        ("tls/server.pem", 0o600),
        ("tls/alice.pem", 0o600),
    ] {
        assert_eq!(folder.mode(file), mode, "{file}");
    }
    let authority = folder.certificate("tls/ca.pem");
    assert!(authority.is_authority());
    for (file, usage) in [("tls/server.pem", "serverAuth"), ("tls/alice.pem", "clientAuth")] {
        let certificate = folder.certificate(file);
        certificate.is_issued_by(&authority).unwrap();
        assert_eq!(certificate.usages(), ["digitalSignature", usage]);
    }
    let names: Vec<_> =
        folder.certificate("tls/server.pem").names().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["DNS:db.example.org", "IP:10.0.0.5"]);
}

#[test]
fn mtls_leaves_a_folder_that_is_in_use_alone() {
    let folder = Folder::new();
    fs::create_dir(folder.join("tls")).unwrap();
    fs::write(folder.join("tls/precious"), "").unwrap();
    folder.run(&["mtls", "tls"]).failed_with(&["tls is not empty", "nothing was written"]);
    assert_eq!(folder.tree(), ["tls", "tls/precious"]);
    folder.run(&["mtls", "x", "--client", "server"]).failed_with(&["server.pem", "taken"]);
    folder.run(&["mtls", "x", "--client", "ca"]).failed_with(&["ca.pem", "taken"]);
    assert_eq!(folder.tree(), ["tls", "tls/precious"]);
}

#[test]
fn an_empty_folder_becomes_the_authoritys_and_is_closed_to_others() {
    let folder = Folder::new();
    fs::create_dir(folder.join("ca")).unwrap();
    fs::set_permissions(folder.join("ca"), Permissions::from_mode(0o755)).unwrap();
    folder.run(&["ca", "ca", "--name", "Example CA"]).well();
    assert_eq!((folder.mode("ca"), folder.mode("ca/ca.key")), (0o700, 0o400));
    assert_eq!(folder.certificate("ca/ca.pem").subject(), "CN=Example CA");
    let again = folder.tree();
    folder.run(&["ca", "ca"]).failed_with(&["ca is not empty"]);
    assert_eq!(folder.tree(), again);
}

#[test]
fn a_leaf_is_in_a_file_of_its_first_name_or_in_two() {
    let folder = Folder::new();
    folder.run(&["ca", "ca"]).well();
    folder.run(&["leaf", "--ca", "ca", "www.example.org", "spiffe://example.org/web"]).well();
    assert_eq!(folder.mode("www.example.org.pem"), 0o600);
    folder.run(&["leaf", "--ca", "ca", "www.example.org"]).failed_with(&["www.example.org.pem exists"]);

    folder.run(&["leaf", "--ca", "ca", "db", "--out", "db.crt", "--key-out", "db.key"]).well();
    assert_eq!((folder.mode("db.key"), folder.mode("db.crt")), (0o600, 0o644));
    let (key, certificate) = (folder.pem("db.key"), folder.pem("db.crt"));
    assert_eq!((key.certificates.len(), certificate.keys.len()), (0, 0));
    assert_eq!(key.keys[0].public_key(), certificate.certificates[0].public_key());
    // Whatever was issued is recorded, and nothing else is.
    assert_eq!(fs::read_dir(folder.join("ca/issued")).unwrap().count(), 2);
    let record = format!("ca/issued/{}.pem", certificate.certificates[0].serial());
    assert_eq!(folder.certificate(&record), certificate.certificates[0]);
}

#[test]
fn a_leaf_that_would_outlive_its_authority_is_refused_with_the_authoritys_end() {
    let folder = Folder::new();
    folder.run(&["ca", "ca", "--days", "100"]).well();
    let until = certgen::display_minute(folder.certificate("ca/ca.pem").not_after());
    folder.run(&["leaf", "--ca", "ca", "a"]).failed_with(&[&until, "at most 99 days"]);
    assert_eq!(fs::read_dir(folder.join("ca/issued")).unwrap().count(), 0);
    folder.run(&["leaf", "--ca", "ca", "a", "--days", "99"]).well();
}

#[test]
fn what_is_no_authority_is_refused_with_what_to_do() {
    let folder = Folder::new();
    let leaf = ["leaf", "--ca", "ca", "a"];
    folder.run(&leaf).failed_with(&["ca is no authority's folder", "certgen ca ca"]);
    folder.run(&["ca", "ca"]).well();
    folder.run(&["ca", "other"]).well();

    fs::set_permissions(folder.join("ca/ca.key"), Permissions::from_mode(0o440)).unwrap();
    folder.run(&leaf).failed_with(&["others can read", "chmod 400 ca/ca.key"]);
    fs::set_permissions(folder.join("ca/ca.key"), Permissions::from_mode(0o600)).unwrap();
    fs::copy(folder.join("other/ca.key"), folder.join("ca/ca.key")).unwrap();
    folder.run(&leaf).failed_with(&["not the one of the authority's certificate"]);
    fs::write(folder.join("ca/ca.key"), "garbage").unwrap();
    folder.run(&leaf).failed_with(&["ca/ca.key", "no certificate, key"]);
    assert!(!folder.join("a.pem").exists());
}

#[test]
fn many_at_once_are_issued_one_after_the_other() {
    let folder = Folder::new();
    folder.run(&["ca", "ca"]).well();
    let names: Vec<_> = (0..12).map(|number| format!("host{number}")).collect();
    let issue = |name| folder.command(&["leaf", "--ca", "ca", name]).stdout(Stdio::null()).spawn().unwrap();
    let children: Vec<_> = names.iter().map(|name| issue(name.as_str())).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(fs::read_dir(folder.join("ca/issued")).unwrap().count(), 12);
    // As many revocations at once: none is lost.
    let revoke = |name: &str| {
        let arguments = ["revoke", "--ca", "ca", &format!("{name}.pem")];
        folder.command(&arguments).stdout(Stdio::null()).spawn().unwrap()
    };
    let children: Vec<_> = names.iter().map(|name| revoke(name)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let list = &folder.pem("ca/crl.pem").revocation_lists[0];
    assert_eq!((list.revoked().len(), list.number()), (12, 12));
}

#[test]
fn an_identity_of_the_cables_network_has_the_files_of_its_peers() {
    let folder = Folder::new();
    let ran = folder.run(&["cables", "alice"]).well();
    let mut expected = vec!["alice", "alice/certs", "alice/certs/ca.pem", "alice/certs/username"];
    expected.extend([
        "alice/certs/verify.pem",
        "alice/private",
        "alice/private/root.pem",
        "alice/private/sign.pem",
    ]);
    assert_eq!(folder.tree(), expected);
    assert_eq!(folder.mode("alice/private/root.pem"), 0o600);
    let user = folder.text("alice/certs/username");
    assert_eq!((user.len(), user.ends_with('\n')), (33, true));
    assert!(ran.stdout.contains(user.trim()));
    let (authority, signer) =
        (folder.certificate("alice/certs/ca.pem"), folder.certificate("alice/certs/verify.pem"));
    signer.is_issued_by(&authority).unwrap();
    assert_eq!(signer.subject(), authority.subject());
    assert_ne!(signer.public_key(), authority.public_key());
    assert_eq!(signer.not_after(), authority.not_after());
    folder.run(&["cables", "alice"]).failed_with(&["alice is not empty"]);

    folder.run(&["cables", "bob", "--classic", "--algorithm", "rsa2048"]).well();
    let key = |name: &str| folder.pem(name).keys.remove(0).public_key();
    assert_eq!(key("bob/private/root.pem"), key("bob/private/sign.pem"));
}
