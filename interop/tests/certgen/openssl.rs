//! The `openssl` command: verify, `s_server` and `s_client`, revocation lists, requests, CMS.

use certgen::{
    Algorithm, AuthorityConfig, CablesConfig, CablesIdentity, CertificateAuthority, FileSet, LeafConfig,
    PrivateKey, Profile, Request, RevocationConfig, RevocationReason, self_signed,
};
use interop::has_program;

use crate::set_up::{ALGORITHMS, FAST, Folder, Mutual, Running};

#[test]
fn every_profile_and_algorithm_verifies_strictly_for_its_purpose() {
    if !has_program("openssl") {
        return;
    }
    let folder = Folder::new();
    for algorithm in ALGORITHMS {
        let config = AuthorityConfig::default().with_algorithm(algorithm);
        let authority = CertificateAuthority::new(&config).unwrap();
        folder.write("ca.pem", &authority.certificate().pem());
        folder.run("openssl verify -x509_strict -check_ss_sig -purpose crlsign -CAfile ca.pem ca.pem");
        for (profile, purposes) in [
            (Profile::Server, &["sslserver"][..]),
            (Profile::Client, &["sslclient"]),
            (Profile::Peer, &["sslserver", "sslclient"]),
            // `smimeencrypt` knows RSA only; that P-256 decrypts is another test's.
            (Profile::Cms, if algorithm.is_rsa() { &["smimesign", "smimeencrypt"] } else { &["smimesign"] }),
            (Profile::Flumotion, &["sslserver", "nssslserver"]),
        ] {
            let config =
                LeafConfig::new(["example.org", "a@example.org", "10.0.0.1", "spiffe://a/b"]).unwrap();
            let config = config.with_profile(profile).with_algorithm(algorithm);
            // A key of the authority's algorithm, where the profile takes it.
            let Ok(issued) = authority.issue(&config) else {
                let takes_all = matches!(profile, Profile::Server | Profile::Client | Profile::Peer);
                assert!(!takes_all, "{profile} {algorithm}");
                continue;
            };
            folder.write("leaf.pem", &issued.combined_pem());
            for purpose in purposes {
                folder
                    .run(&format!("openssl verify -x509_strict -purpose {purpose} -CAfile ca.pem leaf.pem"));
            }
            let for_other = if profile == Profile::Client { "sslserver" } else { "timestampsign" };
            let verify = format!("openssl verify -x509_strict -purpose {for_other} -CAfile ca.pem leaf.pem");
            let (went_well, said) = folder.try_run(&verify);
            assert!(!went_well && said.contains("purpose"), "{profile}: {said}");
        }
    }
}

#[test]
fn a_self_signed_certificate_verifies_strictly_against_itself() {
    if !has_program("openssl") {
        return;
    }
    let folder = Folder::new();
    for algorithm in ALGORITHMS {
        let made = self_signed(&LeafConfig::default().with_algorithm(algorithm)).unwrap();
        folder.write("server.pem", &made.combined_pem());
        for purpose in ["sslserver", "sslclient"] {
            folder.run(&format!(
                "openssl verify -x509_strict -purpose {purpose} -CAfile server.pem server.pem"
            ));
        }
        folder.run("openssl pkey -in server.pem -check -noout");
    }
}

#[test]
fn s_server_and_s_client_meet_with_certificates_on_both_sides() {
    if !has_program("openssl") {
        return;
    }
    for algorithm in FAST {
        let folder = Folder::new();
        Mutual::new(algorithm).write(&folder);
        let listen = "openssl s_server -accept 127.0.0.1:0 -cert server.pem -CAfile ca.pem -Verify 1 -verify_return_error -tls1_3";
        let (_server, line) = Running::start(folder.command(listen), "ACCEPT");
        let address = line.trim_start_matches("ACCEPT ").to_owned();
        let connect = format!(
            "openssl s_client -connect {address} -CAfile ca.pem -verify_return_error -verify_hostname localhost -tls1_3"
        );
        let said = folder.run(&format!("{connect} -cert client.pem"));
        assert!(said.contains("Verify return code: 0 (ok)"), "{algorithm}: {said}");
    }
}

#[test]
fn a_revoked_certificate_is_refused_and_another_one_is_not() {
    if !has_program("openssl") {
        return;
    }
    for algorithm in FAST {
        let folder = Folder::new();
        let mutual = Mutual::new(algorithm);
        mutual.write(&folder);
        let config = RevocationConfig::default()
            .with_revoked(mutual.client.certificate().serial(), RevocationReason::KeyCompromise);
        folder.write("crl.pem", &mutual.authority.revocation_list(&config).unwrap().pem());
        assert!(folder.run("openssl crl -in crl.pem -CAfile ca.pem -noout").contains("verify OK"));
        let verify = "openssl verify -x509_strict -crl_check -CRLfile crl.pem -CAfile ca.pem";
        folder.run(&format!("{verify} server.pem"));
        let (went_well, said) = folder.try_run(&format!("{verify} client.pem"));
        assert!(!went_well && said.contains("certificate revoked"), "{algorithm}: {said}");
    }
}

#[test]
fn requests_go_both_ways() {
    if !has_program("openssl") {
        return;
    }
    let folder = Folder::new();
    let key = PrivateKey::generate(Algorithm::P256).unwrap();
    let request = Request::new(&LeafConfig::new(["example.org"]).unwrap(), &key).unwrap();
    folder.write("ours.csr", &request.pem());
    let said = folder.run("openssl req -in ours.csr -verify -noout -text");
    assert!(said.contains("verify OK") && said.contains("DNS:example.org"), "{said}");

    for kind in ["ec -pkeyopt ec_paramgen_curve:P-256", "ed25519", "rsa:2048"] {
        folder.run(&format!(
            "openssl req -newkey {kind} -nodes -keyout k.pem -out theirs.csr -subj /CN=x -addext subjectAltName=DNS:example.org,IP:10.0.0.1"
        ));
        let request = Request::read(folder.path("theirs.csr")).unwrap();
        assert_eq!(request.names().len(), 2);
        let authority = CertificateAuthority::new(&AuthorityConfig::default()).unwrap();
        folder.write("ca.pem", &authority.certificate().pem());
        let signed = authority.sign(request.public_key(), &request.config().unwrap()).unwrap();
        folder.write("leaf.pem", &signed.pem());
        folder.run("openssl verify -x509_strict -purpose sslserver -CAfile ca.pem leaf.pem");
    }
}

#[test]
fn an_authority_and_keys_that_openssl_made_are_used() {
    if !has_program("openssl") {
        return;
    }
    let folder = Folder::new();
    folder.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out ca.pem -days 900 -subj /C=DE/O=Example/OU=x/CN=Root -addext keyUsage=critical,keyCertSign,cRLSign",
    );
    let read = |name: &str| certgen::PemFile::read(folder.path(name)).unwrap();
    let (certificate, key) = (read("ca.pem").certificates.remove(0), read("k.pem").keys.remove(0));
    let authority = CertificateAuthority::from_parts(certificate, key).unwrap();
    for (make, name) in [
        ("openssl ecparam -name prime256v1 -genkey -noout -out key.pem", "SEC1"),
        ("openssl genrsa -traditional -out key.pem 2048", "PKCS#1"),
        ("openssl genpkey -algorithm ed25519 -out key.pem", "PKCS#8"),
    ] {
        folder.run(make);
        let key = read("key.pem").keys.remove(0);
        let issued = authority.issue_for(&LeafConfig::default(), key).unwrap();
        folder.write("leaf.pem", &issued.combined_pem());
        folder.run("openssl verify -x509_strict -purpose sslserver -CAfile ca.pem leaf.pem");
        let (ours, theirs) =
            (folder.run("openssl pkey -in leaf.pem -pubout"), folder.run("openssl pkey -in key.pem -pubout"));
        assert_eq!(ours, theirs, "{name}");
    }
    let list = authority.revocation_list(&RevocationConfig::default()).unwrap();
    folder.write("crl.pem", &list.pem());
    assert!(folder.run("openssl crl -in crl.pem -CAfile ca.pem -noout").contains("verify OK"));
}

#[test]
fn a_cms_certificate_signs_and_decrypts() {
    if !has_program("openssl") {
        return;
    }
    for algorithm in [Algorithm::P256, Algorithm::Rsa2048] {
        let folder = Folder::new();
        let authority = CertificateAuthority::new(&AuthorityConfig::default()).unwrap();
        let config = LeafConfig::new(["alice@example.org"]).unwrap().with_profile(Profile::Cms);
        let alice = authority.issue(&config.with_algorithm(algorithm)).unwrap();
        folder.write("ca.pem", &authority.certificate().pem());
        folder.write("alice.pem", &alice.combined_pem());
        folder.write("text", "hello");
        folder.run("openssl cms -sign -binary -nodetach -in text -signer alice.pem -outform PEM -out signed");
        folder.run("openssl cms -verify -x509_strict -purpose smimesign -inform PEM -in signed -CAfile ca.pem -out got");
        folder.run("openssl cms -encrypt -binary -aes256 -in text -outform PEM -out sealed alice.pem");
        folder.run("openssl cms -decrypt -inform PEM -in sealed -recip alice.pem -out opened");
        for name in ["got", "opened"] {
            assert_eq!(std::fs::read_to_string(folder.path(name)).unwrap(), "hello", "{algorithm} {name}");
        }
    }
}

#[test]
fn identities_of_the_cables_network_pass_the_checks_of_its_peers() {
    if !has_program("openssl") {
        return;
    }
    let classic = |algorithm| CablesConfig { algorithm, is_classic: true };
    let plain = |algorithm| CablesConfig { algorithm, is_classic: false };
    let configs = [
        plain(Algorithm::P256),
        plain(Algorithm::P384),
        plain(Algorithm::Rsa3072),
        classic(Algorithm::Rsa4096),
        CablesConfig::classic(),
    ];
    for config in configs {
        let folder = Folder::new();
        let identity = CablesIdentity::new(&config).unwrap();
        let mut files = FileSet::new();
        identity.add_to(&mut files, folder.path("id")).unwrap();
        files.commit().unwrap();
        let alone = "-no-CApath -no-CAstore -CAfile id/certs/ca.pem";
        let verify = "openssl verify -x509_strict -policy_check";
        folder.run(&format!("{verify} -check_ss_sig -purpose crlsign {alone} id/certs/ca.pem"));
        folder.run(&format!("{verify} -purpose smimesign {alone} id/certs/verify.pem"));
        folder.write("text", "hello");
        folder.run(
            "openssl cms -sign -noattr -binary -md sha512 -nodetach -nocerts -outform pem -in text -out signed -signer id/certs/verify.pem -inkey id/private/sign.pem",
        );
        folder.run(&format!(
            "openssl cms -verify -x509_strict -policy_check -purpose smimesign -check_ss_sig -inform pem -in signed -certfile id/certs/verify.pem {alone} -out got"
        ));
        let user = std::fs::read_to_string(folder.path("id/certs/username")).unwrap();
        folder.run("openssl x509 -in id/certs/ca.pem -outform der -out ca.der");
        let hash = folder.run("openssl dgst -sha1 -r ca.der");
        let bytes: Vec<_> =
            (0..20).map(|at| u8::from_str_radix(&hash[at * 2..at * 2 + 2], 16).unwrap()).collect();
        assert_eq!(user, base32(&bytes) + "\n");
    }
}

/// RFC 4648, in small letters.
fn base32(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let letters = b"abcdefghijklmnopqrstuvwxyz234567";
    let digits = bits.as_bytes().chunks(5).map(|five| {
        let five = std::str::from_utf8(five).unwrap();
        char::from(letters[usize::from_str_radix(five, 2).unwrap()])
    });
    digits.collect()
}
