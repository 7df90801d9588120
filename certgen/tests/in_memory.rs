//! Certificates and authorities without a file.

use std::time::{Duration, SystemTime};

use certgen::{
    Algorithm, AuthorityConfig, Certificate, CertificateAuthority, Error, LeafConfig, PemFile, Profile,
    RevocationConfig, RevocationReason, Validity, self_signed,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn authority() -> CertificateAuthority {
    CertificateAuthority::new(&AuthorityConfig::default()).expect("an authority can be made")
}

/// The fast algorithms: making large RSA keys takes seconds without optimization.
const FAST: [Algorithm; 4] = [Algorithm::P256, Algorithm::P384, Algorithm::Ed25519, Algorithm::Rsa2048];

#[test]
fn a_certificate_says_what_was_asked_for_and_is_signed_by_its_authority() {
    let authority = authority();
    let names = ["example.org", "10.0.0.1", "alice@example.org", "spiffe://example.org/web"];
    let issued = authority.issue(&LeafConfig::new(names).unwrap()).unwrap();
    let certificate = issued.certificate();
    let printed: Vec<_> = certificate.names().iter().map(ToString::to_string).collect();
    let kinds = ["DNS:example.org", "IP:10.0.0.1", "email:alice@example.org", "URI:spiffe://example.org/web"];
    assert_eq!(printed, kinds);
    assert_eq!(certificate.subject(), "CN=example.org");
    assert_eq!(certificate.public_key(), issued.key().public_key());
    assert!(!certificate.is_authority());
    certificate.is_issued_by(authority.certificate()).unwrap();
    assert!(certificate.is_issued_by(&self::authority().certificate().clone()).is_err());
}

#[test]
fn nothing_of_the_libraries_defaults_is_left() {
    let now = SystemTime::now();
    let authority = authority();
    let leaf = authority.issue(&LeafConfig::default()).unwrap();
    for (certificate, days) in [(leaf.certificate(), 397), (authority.certificate(), 3653)] {
        let age = now.duration_since(certificate.not_before()).unwrap().as_secs();
        assert!((3590..3660).contains(&age), "begins {age} s ago");
        let left = certificate.not_after().duration_since(now).unwrap();
        assert!(left.abs_diff(DAY * days) < Duration::from_secs(60));
        assert!(!certificate.usages().is_empty());
        assert!(!certificate.subject().contains("rcgen"));
    }
}

#[test]
fn serials_are_of_128_random_bits() {
    let authority = authority();
    let config = LeafConfig::default();
    let mut serials: Vec<_> =
        (0..64).map(|_| authority.issue(&config).unwrap().certificate().serial().to_string()).collect();
    assert!(serials.iter().all(|serial| serial.len() == 32), "{serials:?}");
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), 64);
}

#[test]
fn each_profile_has_its_usages() {
    let authority = authority();
    for (profile, algorithm, usages) in [
        (Profile::Server, Algorithm::P256, "digitalSignature serverAuth"),
        (Profile::Client, Algorithm::P256, "digitalSignature clientAuth"),
        (Profile::Peer, Algorithm::Rsa2048, "digitalSignature serverAuth clientAuth"),
        (Profile::Cms, Algorithm::P256, "digitalSignature keyAgreement emailProtection"),
        (Profile::Cms, Algorithm::Rsa2048, "digitalSignature keyEncipherment emailProtection"),
        (Profile::Flumotion, Algorithm::Rsa2048, "digitalSignature keyEncipherment serverAuth"),
    ] {
        let config = LeafConfig::new(["a"]).unwrap().with_profile(profile).with_algorithm(algorithm);
        let issued = authority.issue(&config).unwrap();
        assert_eq!(issued.certificate().usages().join(" "), usages, "{profile}");
    }
    assert_eq!(authority.certificate().usages().join(" "), "keyCertSign cRLSign");
}

#[test]
fn a_profile_refuses_an_algorithm_that_it_cannot_work_with() {
    for (profile, algorithm) in [
        (Profile::Cms, Algorithm::Ed25519),
        (Profile::Cables, Algorithm::Ed25519),
        (Profile::Flumotion, Algorithm::P256),
    ] {
        let config = LeafConfig::new(["a"]).unwrap().with_profile(profile).with_algorithm(algorithm);
        let Err(error) = authority().issue(&config) else { panic!("{profile} takes {algorithm}") };
        assert!(error.to_string().contains(algorithm.name()), "{error}");
    }
}

#[test]
fn a_certificate_that_would_outlive_its_authority_is_refused_with_the_authoritys_end() {
    let config = AuthorityConfig::default().with_validity(Validity::Days(100));
    let authority = CertificateAuthority::new(&config).unwrap();
    let Err(error) = authority.issue(&LeafConfig::default()) else { panic!("it was issued") };
    let until = certgen::display_minute(authority.certificate().not_after());
    assert!(error.to_string().contains(&until), "{error}");
    assert!(matches!(error, Error::OutlivesAuthority { days: 99, .. }), "{error}");
    authority.issue(&LeafConfig::default().with_validity(Validity::Days(99))).unwrap();
}

#[test]
fn every_algorithm_signs_itself_and_others_and_its_key_is_read_back() {
    for algorithm in FAST {
        let config = AuthorityConfig::default().with_algorithm(algorithm);
        let authority = CertificateAuthority::new(&config).unwrap();
        let issued = authority.issue(&LeafConfig::default().with_algorithm(algorithm)).unwrap();
        issued.certificate().is_issued_by(authority.certificate()).unwrap();
        let alone = self_signed(&LeafConfig::default().with_algorithm(algorithm)).unwrap();
        alone.certificate().is_issued_by(alone.certificate()).unwrap();

        let read = PemFile::parse(issued.combined_pem().as_bytes()).unwrap();
        assert_eq!(read.keys[0].algorithm(), algorithm);
        assert_eq!(read.keys[0].public_key(), issued.certificate().public_key());
        assert_eq!(read.certificates, [issued.certificate().clone()]);
    }
}

#[test]
fn an_authority_is_put_together_again_from_its_parts_and_not_from_others() {
    let first = authority();
    let key = PemFile::parse(first.key().pem().as_bytes()).unwrap().keys.remove(0);
    let again = CertificateAuthority::from_parts(first.certificate().clone(), key).unwrap();
    let issued = again.issue(&LeafConfig::default()).unwrap();
    issued.certificate().is_issued_by(first.certificate()).unwrap();

    let (key, _) = self_signed(&LeafConfig::default()).unwrap().into_parts();
    assert!(CertificateAuthority::from_parts(first.certificate().clone(), key).is_err());
    let (key, certificate) = self_signed(&LeafConfig::default()).unwrap().into_parts();
    let Err(error) = CertificateAuthority::from_parts(certificate, key) else {
        panic!("a leaf is no authority")
    };
    assert!(error.to_string().contains("may not sign others"), "{error}");
}

#[test]
fn a_revocation_list_has_what_was_revoked_and_the_next_one_too() {
    let authority = authority();
    let [first, second] = ["a", "b"].map(|name| authority.issue(&LeafConfig::new([name]).unwrap()).unwrap());
    let config = RevocationConfig::default()
        .with_revoked(first.certificate().serial(), RevocationReason::KeyCompromise);
    let list = authority.revocation_list(&config).unwrap();
    assert_eq!(list.number(), 1);
    assert_eq!(list.find(first.certificate().serial()).unwrap().reason, RevocationReason::KeyCompromise);
    assert!(list.find(second.certificate().serial()).is_none());

    let config = RevocationConfig::after(&list)
        .with_revoked(second.certificate().serial(), RevocationReason::Unspecified)
        .with_revoked(first.certificate().serial(), RevocationReason::Superseded);
    let next = authority.revocation_list(&config).unwrap();
    assert_eq!((next.number(), next.revoked().len()), (2, 2));
    assert_eq!(next.revoked()[0], list.revoked()[0], "what was revoked stays as it was");
    next.is_issued_by(authority.certificate()).unwrap();
    assert!(next.is_issued_by(self::authority().certificate()).is_err());
}

#[test]
fn what_a_test_needs_can_be_made_too() {
    let authority = authority();
    let now = SystemTime::now();
    let past = Validity::Between { not_before: now - DAY * 2, not_after: now - DAY };
    let expired = authority.issue(&LeafConfig::default().with_validity(past)).unwrap();
    assert!(expired.certificate().not_after() < now);
    let future = Validity::Between { not_before: now + DAY, not_after: now + DAY * 2 };
    let early = authority.issue(&LeafConfig::default().with_validity(future)).unwrap();
    assert!(early.certificate().not_before() > now);
    let list = authority.revocation_list(&RevocationConfig::default().with_validity(past)).unwrap();
    assert!(list.next_update() < now);
}

#[test]
fn damaged_certificates_and_keys_are_refused() {
    let made = self_signed(&LeafConfig::default()).unwrap();
    let der = made.certificate().der();
    for length in 0..der.len() {
        assert!(Certificate::from_der(&der[..length]).is_err(), "{length}");
    }
    assert!(Certificate::from_der(&[der, &[0]].concat()).is_err());
}
