//! `certgen renew`.

use std::fs;
use std::os::unix::fs::symlink;

use crate::set_up::Folder;

#[test]
fn a_renewed_certificate_says_the_same_with_a_new_serial_and_a_new_key() {
    let folder = Folder::new();
    folder.run(&["mtls", "tls", "--days", "20"]).well();
    folder.run(&["alone.pem", "--days", "20"]).well();
    for (file, authority) in [("tls/server.pem", &["--ca", "tls/ca"][..]), ("alone.pem", &[])] {
        let before = folder.certificate(file);
        folder.run(&[&["renew", "--days", "40", file], authority].concat()).well();
        let after = folder.certificate(file);
        assert_eq!(before.names(), after.names());
        assert_eq!((before.subject(), before.usages()), (after.subject(), after.usages()));
        assert_ne!((before.serial(), before.public_key()), (after.serial(), after.public_key()));
        assert!(after.not_after() > before.not_after());
        let read = folder.pem(file);
        assert_eq!(read.keys[0].public_key(), after.public_key());
        assert_eq!(folder.mode(file), 0o600);
    }
    folder.run(&["check", "--within", "5", "tls", "alone.pem"]).well();
}

#[test]
fn a_key_is_kept_when_asked_and_in_a_file_without_one() {
    let folder = Folder::new();
    folder.run(&["ca", "ca"]).well();
    folder.run(&["leaf", "--ca", "ca", "a"]).well();
    folder.run(&["leaf", "--ca", "ca", "b", "--out", "b.pem", "--key-out", "b.key"]).well();
    let before = ["a.pem", "b.pem"].map(|file| folder.certificate(file));
    folder.run(&["renew", "--ca", "ca", "--keep-key", "a.pem"]).well();
    folder.run(&["renew", "--ca", "ca", "b.pem"]).well();
    let after = ["a.pem", "b.pem"].map(|file| folder.certificate(file));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.pin(), after.pin());
        assert_ne!(before.serial(), after.serial());
    }
    assert_eq!(folder.pem("b.pem").keys.len(), 0);
    assert_eq!(folder.mode("b.pem"), 0o644);
}

#[test]
fn what_cannot_be_renewed_stays_as_it_is() {
    let folder = Folder::new();
    folder.run(&["mtls", "tls"]).well();
    folder.run(&["ca", "other"]).well();
    folder.run(&["alone.pem"]).well();
    let before = folder.text("tls/client.pem");
    folder.run(&["renew", "tls/client.pem"]).failed_with(&["issued by CN=certgen CA", "--ca"]);
    folder.run(&["renew", "--ca", "other", "tls/client.pem"]).failed_with(&["not by CN=certgen CA"]);
    folder.run(&["renew", "--ca", "tls/ca", "tls/ca/ca.pem"]).failed_with(&["authority's"]);
    folder.run(&["renew", "--ca", "tls/ca", "tls/client.pem", "alone.pem"]).failed_with(&["alone.pem"]);
    folder.run(&["revoke", "--ca", "tls/ca", "tls/client.pem"]).well();
    folder.run(&["renew", "--ca", "tls/ca", "tls/client.pem"]).failed_with(&["revoked since"]);
    assert_eq!(folder.text("tls/client.pem"), before);

    let certificate = folder.certificate("alone.pem").pem();
    fs::write(folder.join("bare.pem"), &certificate).unwrap();
    folder.run(&["renew", "bare.pem"]).failed_with(&["certgen: cannot use bare.pem: it has no private key"]);
    assert_eq!(folder.text("bare.pem"), certificate);
}

#[test]
fn a_link_stays_one_and_what_it_leads_to_is_renewed() {
    let folder = Folder::new();
    folder.run(&["alone.pem"]).well();
    let before = folder.certificate("alone.pem");
    symlink("alone.pem", folder.join("link.pem")).unwrap();
    folder.run(&["renew", "link.pem"]).well();
    assert!(folder.join("link.pem").is_symlink());
    assert_ne!(folder.certificate("alone.pem").serial(), before.serial());
    folder.run(&["renew", "link.pem", "alone.pem"]).failed_with(&["alone.pem is named twice"]);
}

/// As in a file for stunnel, or with a second pair of another algorithm.
#[test]
fn what_is_not_renewed_stays_in_its_place() {
    const PARAMETERS: &str = "-----BEGIN DH PARAMETERS-----\nMAYCAQcCAQI=\n-----END DH PARAMETERS-----\n";
    let folder = Folder::new();
    folder.run(&["ca", "ca"]).well();
    folder.run(&["crl", "--ca", "ca"]).well();
    for (file, algorithm) in [("a.pem", "p256"), ("b.pem", "ed25519")] {
        folder.run(&["leaf", "--ca", "ca", "a", "--out", file, "--algorithm", algorithm]).well();
    }
    let pair = |file| (folder.certificate(file).pem(), folder.pem(file).keys[0].pem());
    let ((old, old_key), (second, second_key)) = (pair("a.pem"), pair("b.pem"));
    let (list, authority) = (folder.text("ca/crl.pem"), folder.text("ca/ca.pem").trim_end().to_owned());
    for keeps_key in [false, true] {
        let before = format!(
            "# the web server\r\n{old}\n{PARAMETERS}{}# its second\n{}{second}{list}{authority}",
            *old_key, *second_key
        );
        fs::write(folder.join("a.pem"), &before).unwrap();
        let keep_key: &[_] = if keeps_key { &["--keep-key"] } else { &[] };
        folder.run(&[&["renew", "--ca", "ca", "a.pem"], keep_key].concat()).well();
        let (new, new_key) = (folder.certificate("a.pem").pem(), folder.pem("a.pem").keys[0].pem());
        assert_ne!(new, old);
        assert_eq!(new_key == old_key, keeps_key);
        assert_eq!(folder.text("a.pem"), before.replace(&old, &new).replace(&*old_key, &new_key));
    }
}

#[test]
fn a_key_that_cannot_be_read_stays_beside_the_renewed_certificate() {
    let folder = Folder::new();
    folder.run(&["ca", "ca"]).well();
    folder.run(&["leaf", "--ca", "ca", "a"]).well();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let before = folder.certificate("a.pem");
    fs::write(folder.join("a.pem"), format!("{encrypted}{}", before.pem())).unwrap();
    folder.run(&["renew", "--ca", "ca", "a.pem"]).well();
    let after = folder.certificate("a.pem");
    assert_eq!((after.pin(), folder.text("a.pem")), (before.pin(), format!("{encrypted}{}", after.pem())));
}
