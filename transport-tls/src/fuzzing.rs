//! What the fuzz target checks: for `fuzz/` and the test that replays its corpus. Not part of the API.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;

use crate::trust::{Pin, Trust};
use crate::verifier::{PeerRole, Verifier};
use crate::{files, leaf, spiffe};

/// No bytes panic, whether a peer presents them as its certificate or a file has them; and nobody is taken in whom
/// nobody vouches for. The first byte chooses.
pub fn certificate(bytes: &[u8]) {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    match choice % 3 {
        0 => present(bytes),
        1 => {
            let origin = Path::new("fuzz");
            let _ = files::certificates(bytes, origin);
            let _ = files::revocation_lists(bytes, origin);
        }
        _ => {
            if let Ok(text) = std::str::from_utf8(bytes) {
                let uris: Vec<String> = text.split(' ').map(str::to_owned).collect();
                let is_valid = spiffe::check(&uris).is_ok();
                let spiffe = uris.iter().filter(|uri| uri.starts_with("spiffe:")).count();
                assert!(!is_valid || spiffe == 0 || uris.len() == 1, "{text:?}");
                let _ = text.parse::<Pin>();
            }
        }
    }
}

fn present(bytes: &[u8]) {
    let leaf = CertificateDer::from(bytes);
    if let Ok(certificate) = leaf::read(&leaf) {
        assert!(!certificate.is_vouched_for());
        let names = certificate.dns_names.iter().chain(&certificate.uris).chain(&certificate.emails);
        names.for_each(|name| assert!(!name.chars().any(char::is_control)));
    }
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    let verifier = Verifier::new(&Trust::pin(Pin::from([7; 32])), Vec::new(), Vec::new(), algorithms);
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    for role in [PeerRole::Client, PeerRole::Server] {
        assert!(verifier.verify(std::slice::from_ref(&leaf), role, now).is_err());
    }
}
