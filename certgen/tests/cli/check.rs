//! `certgen check`, whose exit code a monitoring system acts on.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use certgen::{AuthorityConfig, CertificateAuthority, LeafConfig, RevocationConfig, Validity};

use crate::set_up::Folder;

/// A folder for mutual TLS in good order, in `tls`.
fn tls() -> Folder {
    let folder = Folder::new();
    folder.run(&["mtls", "tls"]).well();
    folder
}

fn check(folder: &Folder, arguments: &[&str], code: i32, hints: &[&str]) {
    let ran = folder.run(&[&["check"], arguments].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(code), ""), "{}", ran.stdout);
    let word = ["OK", "WARNING", "CRITICAL", "UNKNOWN"][usize::try_from(code).unwrap()];
    assert!(ran.stdout.starts_with(&format!("{word}: ")), "{}", ran.stdout);
    for hint in hints {
        assert!(ran.stdout.contains(hint), "{hint:?} is not in {}", ran.stdout);
    }
}

#[test]
fn what_is_in_order_is_0() {
    check(&tls(), &["tls"], 0, &["5 files are well", "in 396 days"]);
}

#[test]
fn what_expires_soon_is_1_and_what_is_expired_or_not_yet_valid_is_2() {
    let folder = tls();
    check(&folder, &["--within", "397", "tls"], 1, &["warning: tls/server.pem", "expires in 396 days"]);
    let authority = CertificateAuthority::new(&AuthorityConfig::default()).unwrap();
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    let now = std::time::SystemTime::now();
    for (from, until, hint) in
        [(now - day * 9, now - day * 3, "expired 3 days ago"), (now + day, now + day * 2, "not valid before")]
    {
        let validity = Validity::Between { not_before: from, not_after: until };
        let made = authority.issue(&LeafConfig::default().with_validity(validity)).unwrap();
        fs::write(folder.join("old.crt"), made.certificate().pem()).unwrap();
        check(&folder, &["old.crt"], 2, &["critical: old.crt", hint]);
    }
}

#[test]
fn a_key_that_is_not_its_certificates_is_2() {
    let folder = tls();
    folder.run(&["a.pem", "b.pem"]).well();
    let key = folder.pem("a.pem").keys[0].pem().to_string();
    let mixed = key.clone() + &folder.certificate("b.pem").pem();
    fs::write(folder.join("a.pem"), mixed).unwrap();
    check(&folder, &["a.pem"], 2, &["a.pem: its private key is not its certificate's"]);
    // In two files of one name too.
    fs::create_dir(folder.join("two")).unwrap();
    fs::write(folder.join("two/c.key"), key).unwrap();
    fs::set_permissions(folder.join("two/c.key"), Permissions::from_mode(0o600)).unwrap();
    fs::write(folder.join("two/c.crt"), folder.certificate("b.pem").pem()).unwrap();
    check(&folder, &["two"], 2, &["two/c.key: its private key is not its certificate's"]);
    // But a certificate that has its key beside it in its file has nothing to do with another file.
    fs::rename(folder.join("b.pem"), folder.join("two/c.crt")).unwrap();
    check(&folder, &["two"], 0, &["2 files are well"]);
}

#[test]
fn a_broken_chain_is_2() {
    let folder = tls();
    folder.run(&["ca", "other"]).well();
    check(&folder, &["--ca", "other/ca.pem", "tls/server.pem"], 2, &["not by --ca"]);
    check(&folder, &["--ca", "tls/ca.pem", "tls/server.pem"], 0, &[]);
    // An authority of the same name with another key.
    folder.run(&["ca", "same", "--name", "X"]).well();
    folder.run(&["ca", "again", "--name", "X"]).well();
    folder.run(&["leaf", "--ca", "same", "a"]).well();
    check(&folder, &["a.pem", "again/ca.pem"], 2, &["a.pem", "a broken chain"]);
    check(&folder, &["a.pem", "same/ca.pem"], 0, &[]);
}

#[test]
fn modes_that_let_others_read_a_key_are_2_with_the_command_that_mends_them() {
    for (path, mode, mend) in [
        ("tls/server.pem", 0o640, "chmod 600 tls/server.pem"),
        ("tls/ca/ca.key", 0o444, "chmod 600 tls/ca/ca.key"),
        ("tls/ca", 0o755, "chmod 700 tls/ca"),
    ] {
        let folder = tls();
        fs::set_permissions(folder.join(path), Permissions::from_mode(mode)).unwrap();
        check(&folder, &["tls"], 2, &[mend]);
        let command: Vec<_> = mend.split(' ').collect();
        std::process::Command::new(command[0])
            .args(&command[1..])
            .current_dir(folder.path())
            .status()
            .unwrap();
        check(&folder, &["tls"], 0, &[]);
    }
}

#[test]
fn what_is_revoked_and_a_list_that_is_overdue_or_anothers_is_2() {
    let folder = tls();
    folder.run(&["revoke", "--ca", "tls/ca", "tls/client.pem"]).well();
    check(&folder, &["tls"], 2, &["critical: tls/client.pem", "is revoked since"]);
    fs::remove_file(folder.join("tls/client.pem")).unwrap();
    check(&folder, &["tls"], 0, &[]);

    let authority = CertificateAuthority::new(&AuthorityConfig::default().with_name("X")).unwrap();
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    let now = std::time::SystemTime::now();
    let past = Validity::Between { not_before: now - day * 9, not_after: now - day };
    let list = authority.revocation_list(&RevocationConfig::default().with_validity(past)).unwrap();
    fs::write(folder.join("x.crl"), list.pem()).unwrap();
    check(&folder, &["x.crl"], 2, &["the revocation list of CN=X expired 1 day ago"]);
    let list = authority.revocation_list(&RevocationConfig::default()).unwrap();
    fs::write(folder.join("x.crl"), list.pem()).unwrap();
    folder.run(&["ca", "again", "--name", "X"]).well();
    check(&folder, &["x.crl", "again/ca.pem"], 2, &["not signed with the key"]);
}

#[test]
fn a_damaged_file_is_2_and_nothing_to_check_is_3() {
    let folder = tls();
    fs::write(folder.join("tls/server.pem"), &folder.text("tls/server.pem")[..300]).unwrap();
    check(&folder, &["tls"], 2, &["critical: tls/server.pem"]);
    check(&folder, &["missing"], 3, &["missing", "No such file"]);
    fs::create_dir(folder.join("empty")).unwrap();
    check(&folder, &["empty"], 3, &["nothing to check"]);
    let ran = folder.run(&["check", "--no-such-option"]);
    assert_eq!(ran.code, Some(3), "2 would mean critical");
}
