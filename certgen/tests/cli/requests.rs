//! `certgen csr` and `sign`.

use std::fs;

use crate::set_up::Folder;

#[test]
fn a_request_is_signed_and_the_certificate_has_its_key_and_names() {
    let folder = Folder::new();
    folder.run(&["ca", "ca"]).well();
    folder.run(&["csr", "www.example.org", "10.0.0.1", "--profile", "server"]).well();
    assert_eq!((folder.mode("www.example.org.key"), folder.mode("www.example.org.csr")), (0o600, 0o644));
    folder.run(&["sign", "--ca", "ca", "www.example.org.csr"]).well();
    let certificate = folder.certificate("www.example.org.pem");
    assert_eq!(certificate.public_key(), folder.pem("www.example.org.key").keys[0].public_key());
    let names: Vec<_> = certificate.names().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["DNS:www.example.org", "IP:10.0.0.1"]);
    assert_eq!(certificate.usages(), ["digitalSignature", "serverAuth"]);
    certificate.is_issued_by(&folder.certificate("ca/ca.pem")).unwrap();
    assert!(folder.join(&format!("ca/issued/{}.pem", certificate.serial())).exists());
}

#[test]
fn who_signs_decides_on_names_and_profile() {
    let folder = Folder::new();
    folder.run(&["ca", "ca"]).well();
    folder.run(&["csr", "root.example.org", "--out", "r.csr"]).well();
    assert!(folder.join("r.key").exists());
    folder.run(&["sign", "--ca", "ca", "r.csr", "--name", "alice", "--profile", "client"]).well();
    let certificate = folder.certificate("r.pem");
    assert_eq!((certificate.subject(), certificate.names().len()), ("CN=alice", 1));
    assert_eq!(certificate.usages(), ["digitalSignature", "clientAuth"]);
}

#[test]
fn a_key_that_exists_is_used_and_stays() {
    let folder = Folder::new();
    folder.run(&["server.pem"]).well();
    let before = folder.text("server.pem");
    folder.run(&["csr", "a", "--key", "server.pem"]).well();
    assert_eq!(folder.tree(), ["a.csr", "server.pem"]);
    assert_eq!(folder.text("server.pem"), before);
    assert_eq!(folder.pem("a.csr").requests[0].public_key(), folder.pem("server.pem").keys[0].public_key());
}

#[test]
fn what_is_no_request_or_was_altered_is_refused() {
    let folder = Folder::new();
    folder.run(&["ca", "ca"]).well();
    folder.run(&["csr", "a"]).well();
    folder
        .run(&["sign", "--ca", "ca", "ca/ca.pem"])
        .failed_with(&["cannot use ca/ca.pem: it has no signing request"]);

    // A letter of the name that is asked for, inside the signed part.
    let mut der = folder.pem("a.csr").requests[0].der().to_vec();
    let at = der.windows(3).rposition(|window| window == b"\x82\x01a").unwrap() + 2;
    der[at] = b'b';
    let base64 = data_encoding::BASE64.encode(&der);
    let pem = format!("-----BEGIN CERTIFICATE REQUEST-----\n{base64}\n-----END CERTIFICATE REQUEST-----\n");
    fs::write(folder.join("altered.csr"), pem).unwrap();
    folder
        .run(&["sign", "--ca", "ca", "altered.csr"])
        .failed_with(&["altered.csr", "not signed by the key in it"]);
    assert!(!folder.join("altered.pem").exists());
}
