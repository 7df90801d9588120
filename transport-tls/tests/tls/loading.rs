//! Where certificates, keys and authorities come from.

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use transport_tls::{LoadError, OwnCertificate, TlsConfig, TlsTransport, Trust};

use crate::common::{Authority, write_new};
use crate::meet::{NET, meet, serve};

fn load(certificate: OwnCertificate, trust: Trust) -> Result<TlsTransport, LoadError> {
    TlsTransport::with_config(TlsConfig::new().with_certificate(certificate).with_trust(trust))
}

fn problem(certificate: OwnCertificate) -> String {
    load(certificate, Trust::default()).map(|_| ()).unwrap_err().to_string()
}

#[tokio::test]
async fn certificate_and_key_are_in_one_file_in_either_order_or_in_two() {
    let authority = Authority::new();
    let own = authority.leaf("db.example");
    let (certificate, key) = (own.certificate().pem(), own.key().pem());
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| write_new(directory.path(), name, text);
    let trust = Trust::ca_file(file("ca.pem", &authority.pem()));
    for own in [
        OwnCertificate::combined(file("key-first.pem", &format!("{}\n{certificate}", *key))),
        OwnCertificate::combined(file("key-last.pem", &format!("{certificate}{}", *key))),
        OwnCertificate::files(file("certificate.pem", &certificate), file("key.pem", &key)),
    ] {
        let tls = load(own, trust.clone()).unwrap();
        let (mut server, _events) = serve(&tls).await;
        meet(&tls, &mut server, "db.example").await;
    }
}

#[tokio::test]
async fn authorities_come_from_a_directory_too() {
    let (one, two) = (Authority::new(), Authority::new());
    let directory = tempfile::tempdir().unwrap();
    write_new(directory.path(), "one.pem", &one.pem());
    write_new(directory.path(), "0123abcd.0", &two.pem());
    write_new(directory.path(), "README", "no certificate");
    let trust = Trust::ca_directory(directory.path());
    let server_tls = load(crate::common::own(&one.leaf("db.example")), trust.clone()).unwrap();
    let (mut server, _events) = serve(&server_tls).await;
    let client = load(crate::common::own(&two.leaf("alice")), trust).unwrap();
    meet(&client, &mut server, "db.example").await;

    let empty = tempfile::tempdir().unwrap();
    let error = Trust::ca_directory(empty.path());
    let error = TlsTransport::with_config(TlsConfig::new().with_trust(error)).map(|_| ()).unwrap_err();
    assert!(matches!(error, LoadError::NoAuthority { .. }), "{error:?}");
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_without_waiting_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let pin = format!("sha256:{}=", "A".repeat(43)).parse().unwrap();
    for config in [
        TlsConfig::new().with_trust(Trust::ca_file(&pipe)),
        TlsConfig::new().with_trust(Trust::pin(pin)).with_revocation_lists(&pipe),
    ] {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || tell.send(TlsTransport::with_config(config).map(|_| ())));
        let error = told.recv_timeout(NET).expect("it hangs").unwrap_err();
        assert!(error.source().unwrap().to_string().contains("not a regular file"), "{error:?}");
    }
}

#[test]
fn a_key_log_that_others_can_read_is_refused_and_a_new_one_is_private() {
    let own = Authority::new().leaf("a");
    let directory = tempfile::tempdir().unwrap();
    let load = |log: &Path| {
        let config = TlsConfig::new().with_certificate(crate::common::own(&own)).danger_key_log(log);
        TlsTransport::with_config(config).map(|_| ())
    };
    let mode = |log: &Path| fs::metadata(log).unwrap().permissions().mode() & 0o777;
    let (new, old) = (directory.path().join("new"), directory.path().join("old"));
    load(&new).unwrap();
    assert_eq!(mode(&new), 0o600);
    fs::write(&old, "").unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o644)).unwrap();
    let reason = load(&old).unwrap_err().source().unwrap().to_string();
    assert!(reason.contains("other users can reach it") && reason.contains("chmod 600"), "{reason}");
    fs::set_permissions(&old, fs::Permissions::from_mode(0o600)).unwrap();
    load(&old).unwrap();
}

#[test]
fn a_key_file_that_others_can_read_is_refused_with_the_command_that_mends_it() {
    let own = Authority::new().leaf("a");
    let directory = tempfile::tempdir().unwrap();
    let path = write_new(directory.path(), "server.pem", &own.combined_pem());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = problem(OwnCertificate::combined(&path));
    assert!(error.ends_with(&format!("run: chmod 600 {}", path.display())), "{error}");
}

#[test]
fn a_file_of_authorities_that_everyone_can_change_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = write_new(directory.path(), "ca.pem", &Authority::new().pem());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let config = TlsConfig::new().with_trust(Trust::ca_file(&path));
    let error = TlsTransport::with_config(config).map(|_| ()).unwrap_err().to_string();
    assert!(error.ends_with(&format!("run: chmod o-w {}", path.display())), "{error}");
}

#[test]
fn what_is_wrong_with_a_certificate_or_key_is_named() {
    let authority = Authority::new();
    let (one, two) = (authority.leaf("a"), authority.leaf("a"));
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| write_new(directory.path(), name, text);
    let key = one.key().pem();
    let (certificate, other) = (one.certificate().pem(), two.certificate().pem());
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    for (text, expected) in [
        (format!("{other}{}", *key), "does not belong to the certificate"),
        (certificate.clone(), "there is no private key in"),
        (key.to_string(), "there is no certificate in"),
        (format!("{certificate}{}{}", *key, *key), "there is more than one private key in"),
        (format!("{certificate}{encrypted}"), "is encrypted; decrypt it with: openssl pkey -in "),
        (format!("{certificate}{}", key.replace("MI", "XX")), "cannot be"),
        (certificate.replace("-----END", "----END") + &key, "cannot be read as PEM"),
    ] {
        let error = problem(OwnCertificate::combined(file("own.pem", &text)));
        assert!(error.contains(expected), "{error:?} instead of {expected:?}");
    }
    let error = problem(OwnCertificate::combined(directory.path().join("missing.pem")));
    assert!(error.contains("missing.pem"), "{error}");
}
