//! stunnel, as a server that demands certificates.

use std::net::{Ipv4Addr, TcpListener};

use certgen::Algorithm;
use interop::has_program;

use crate::set_up::{Folder, Mutual, Running};

#[test]
fn stunnel_serves_with_our_certificate_and_lets_our_client_in() {
    if !has_program("stunnel4") || !has_program("openssl") {
        return;
    }
    for algorithm in [Algorithm::P256, Algorithm::Ed25519, Algorithm::Rsa2048] {
        let folder = Folder::new();
        let mutual = Mutual::new(algorithm);
        mutual.write(&folder);
        let stranger = Mutual::new(algorithm);
        folder.write("stranger.pem", &stranger.client.combined_pem());
        // stunnel takes no port 0. At an address of this process's own nobody else takes the one that is free now.
        let [.., high, low] = std::process::id().to_be_bytes();
        let free = TcpListener::bind((Ipv4Addr::new(127, 85, high, low), 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let config = format!(
            "foreground = yes\nsyslog = no\npid =\ndebug = notice\n\
             [echo]\naccept = {address}\nexec = /bin/cat\nexecArgs = cat\n\
             cert = {server}\nCAfile = {ca}\nverifyChain = yes\nsslVersionMin = TLSv1.2\n",
            server = folder.path("server.pem").display(),
            ca = folder.path("ca.pem").display(),
        );
        folder.write("stunnel.conf", &config);
        let (_stunnel, _) =
            Running::start(folder.command("stunnel4 stunnel.conf"), "Configuration successful");
        let connect = format!(
            "openssl s_client -connect {address} -CAfile ca.pem -verify_return_error -verify_hostname localhost -tls1_2"
        );
        // TLS 1.2: there the client knows within the handshake whether it was let in.
        let said = folder.run(&format!("{connect} -cert client.pem"));
        assert!(said.contains("Verify return code: 0 (ok)"), "{algorithm}: {said}");
        for refused in ["", " -cert stranger.pem"] {
            let (went_well, said) = folder.try_run(&format!("{connect}{refused}"));
            assert!(!went_well, "{algorithm}{refused}: {said}");
        }
    }
}
