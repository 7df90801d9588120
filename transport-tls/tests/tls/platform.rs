//! The authorities that the operating system trusts. The environment can name others in their place, so each case is this
//! program once more with an environment of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use transport_tls::{ClientCertificates, TlsConfig, TlsTransport, Trust};

use crate::common::{Authority, write_new};
use crate::meet::{bounded, chain, client, serve};

/// Where the certificate of the server is.
const SERVER: &str = "PLATFORM_TRUST_SERVER";

/// How a client that trusts the platform meets a server with this certificate.
fn outcome(server: &Path, variable: &str, authorities: &Path) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["platform::a_client_that_trusts_the_platform", "--exact", "--ignored", "--nocapture"])
        .env_remove("SSL_CERT_FILE")
        .env_remove("SSL_CERT_DIR")
        .env(variable, authorities)
        .env(SERVER, server)
        .output();
    let said = String::from_utf8(output.unwrap().stdout).unwrap();
    let line = said.lines().find_map(|line| line.split_once("outcome: "));
    line.unwrap_or_else(|| panic!("no outcome in {said}")).1.to_owned()
}

#[test]
fn the_authorities_of_the_platform_are_trusted_and_no_others() {
    let (trusted, other) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| write_new(folder.path(), name, text);
    let known = file("known.pem", &trusted.leaf("db.example").combined_pem());
    let unknown = file("unknown.pem", &other.leaf("db.example").combined_pem());
    let authorities = file("authorities.pem", &trusted.pem());
    let directory = folder.path().join("authorities");
    fs::create_dir(&directory).unwrap();
    // What is no certificate does not keep the others from being trusted.
    write_new(&directory, "README", "nothing");
    write_new(&directory, "0123abcd.0", &trusted.pem());
    for (variable, place) in [("SSL_CERT_FILE", &authorities), ("SSL_CERT_DIR", &directory)] {
        assert_eq!(outcome(&known, variable, place), "dns:db.example");
        let refused = outcome(&unknown, variable, place);
        assert!(refused.contains("no trusted authority has issued the certificate"), "{refused}");
    }
    let nothing = outcome(&known, "SSL_CERT_FILE", &file("empty.pem", ""));
    assert_eq!(nothing, "there is no certificate of an authority in the platform's store");
}

#[tokio::test]
#[ignore = "run by the other, with an environment of its own"]
async fn a_client_that_trusts_the_platform() {
    let own = PathBuf::from(std::env::var_os(SERVER).expect("it is run by the other test"));
    let config =
        TlsConfig::new().with_certificate(own).with_client_certificates(ClientCertificates::NotAsked);
    let (server, _events) = serve(&TlsTransport::with_config(config).unwrap()).await;
    let outcome = match TlsTransport::with_config(TlsConfig::new().with_trust(Trust::platform())) {
        Err(error) => error.to_string(),
        Ok(tls) => match bounded(client(&tls, &server, "db.example")).await {
            Ok(near) => near.identity().to_string(),
            Err(error) => chain(&error),
        },
    };
    println!("outcome: {outcome}");
}
