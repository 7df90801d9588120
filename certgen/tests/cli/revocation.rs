//! `certgen revoke` and `crl`.

use std::fs;
use std::os::unix::fs::symlink;

use crate::set_up::Folder;

#[test]
fn a_revoked_certificate_is_in_the_list_with_its_reason_and_stays_there() {
    let folder = Folder::new();
    folder.run(&["mtls", "tls", "--client", "alice", "bob"]).well();
    let ran = folder.run(&["revoke", "--ca", "tls/ca", "tls/alice.pem", "--reason", "keyCompromise"]).well();
    assert!(ran.stdout.contains("next update is due by"), "{}", ran.stdout);
    assert_eq!(folder.mode("tls/ca/crl.pem"), 0o644);
    // By its number, when the file is lost.
    let bob = folder.certificate("tls/bob.pem").serial().clone();
    fs::remove_file(folder.join("tls/bob.pem")).unwrap();
    folder.run(&["revoke", "--ca", "tls/ca", "--serial", &bob.to_string()]).well();
    folder.run(&["revoke", "--ca", "tls/ca", "tls/alice.pem"]).well();
    folder.run(&["crl", "--ca", "tls/ca", "--days", "3"]).well();

    let list = &folder.pem("tls/ca/crl.pem").revocation_lists[0];
    list.is_issued_by(&folder.certificate("tls/ca.pem")).unwrap();
    assert_eq!((list.number(), list.revoked().len()), (4, 2));
    let alice = list.find(folder.certificate("tls/alice.pem").serial()).unwrap();
    assert_eq!(alice.reason.name(), "keyCompromise");
    let life = list.next_update().duration_since(list.this_update()).unwrap().as_secs();
    assert_eq!(life, 3 * 24 * 60 * 60 + 60 * 60);
}

#[test]
fn an_authority_without_revocations_has_an_empty_list_if_asked() {
    let folder = Folder::new();
    folder.run(&["ca", "ca"]).well();
    assert!(!folder.join("ca/crl.pem").exists());
    folder.run(&["crl", "--ca", "ca"]).well();
    assert_eq!(folder.pem("ca/crl.pem").revocation_lists[0].revoked(), []);
}

#[test]
fn what_the_authority_did_not_issue_cannot_be_revoked_by_it() {
    let folder = Folder::new();
    folder.run(&["ca", "ca"]).well();
    folder.run(&["server.pem"]).well();
    folder
        .run(&["revoke", "--ca", "ca", "server.pem"])
        .failed_with(&["server.pem", "was issued by CN=localhost"]);
    folder
        .run(&["revoke", "--ca", "ca", "--serial", "00FF"])
        .failed_with(&["no certificate with the serial number FF"]);
    assert!(!folder.join("ca/crl.pem").exists());
}

#[test]
fn a_list_that_was_damaged_or_is_anothers_is_not_begun_anew() {
    let folder = Folder::new();
    folder.run(&["mtls", "tls"]).well();
    folder.run(&["ca", "other"]).well();
    folder.run(&["crl", "--ca", "other"]).well();
    fs::copy(folder.join("other/crl.pem"), folder.join("tls/ca/crl.pem")).unwrap();
    let revoke = ["revoke", "--ca", "tls/ca", "tls/client.pem"];
    folder.run(&revoke).failed_with(&["tls/ca/crl.pem", "not by CN=certgen CA"]);
    fs::write(folder.join("tls/ca/crl.pem"), "").unwrap();
    folder.run(&revoke).failed_with(&["tls/ca/crl.pem"]);
    assert_eq!(folder.text("tls/ca/crl.pem"), "");
}

/// As the list is that a web server publishes.
#[test]
fn a_list_that_is_a_link_stays_one_and_what_it_leads_to_is_replaced() {
    let folder = Folder::new();
    folder.run(&["mtls", "tls"]).well();
    folder.run(&["crl", "--ca", "tls/ca"]).well();
    fs::create_dir(folder.join("public")).unwrap();
    fs::rename(folder.join("tls/ca/crl.pem"), folder.join("public/list.pem")).unwrap();
    symlink("../../public/list.pem", folder.join("tls/ca/crl.pem")).unwrap();
    folder.run(&["revoke", "--ca", "tls/ca", "tls/client.pem"]).well();
    assert!(folder.join("tls/ca/crl.pem").is_symlink());
    assert!(!folder.join("public/list.pem").is_symlink());
    let list = &folder.pem("public/list.pem").revocation_lists[0];
    assert!(list.find(folder.certificate("tls/client.pem").serial()).is_some());
}

/// Its folder may not be mounted at this moment.
#[test]
fn a_list_whose_link_leads_nowhere_is_not_taken_for_none() {
    let folder = Folder::new();
    folder.run(&["mtls", "tls"]).well();
    folder.run(&["revoke", "--ca", "tls/ca", "tls/client.pem"]).well();
    fs::rename(folder.join("tls/ca/crl.pem"), folder.join("list.pem")).unwrap();
    symlink("nowhere", folder.join("tls/ca/crl.pem")).unwrap();
    let missing = ["cannot read tls/ca/crl.pem"];
    folder.run(&["renew", "--ca", "tls/ca", "tls/client.pem"]).failed_with(&missing);
    folder.run(&["revoke", "--ca", "tls/ca", "tls/server.pem"]).failed_with(&missing);
}

/// The other one would be lost with what it revokes.
#[test]
fn a_file_with_several_lists_is_not_replaced_by_one() {
    let folder = Folder::new();
    folder.run(&["mtls", "tls"]).well();
    folder.run(&["crl", "--ca", "tls/ca"]).well();
    let old = folder.text("tls/ca/crl.pem");
    folder.run(&["revoke", "--ca", "tls/ca", "tls/client.pem"]).well();
    let both = old + &folder.text("tls/ca/crl.pem");
    fs::write(folder.join("tls/ca/crl.pem"), &both).unwrap();
    let problem = ["tls/ca/crl.pem", "it has 2 revocation lists, not one"];
    folder.run(&["revoke", "--ca", "tls/ca", "tls/server.pem"]).failed_with(&problem);
    folder.run(&["renew", "--ca", "tls/ca", "tls/client.pem"]).failed_with(&problem);
    assert_eq!(folder.text("tls/ca/crl.pem"), both);
}
