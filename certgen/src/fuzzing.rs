//! What the fuzz target checks: for `fuzz/` and the test that replays its corpus. Not part of the API.

use crate::certificate::Certificate;
use crate::pem::PemFile;
use crate::request::Request;
use crate::revocation::RevocationList;

/// No bytes panic, as PEM or as DER of any kind; what parses has PEM that parses to the same, and can be looked at.
pub fn files(bytes: &[u8]) {
    if let Ok(file) = PemFile::parse(bytes) {
        file.certificates.iter().for_each(certificate);
        file.requests.iter().for_each(request);
        file.revocation_lists.iter().for_each(list);
    }
    let _ = Certificate::from_der(bytes).map(|parsed| certificate(&parsed));
    let _ = Request::from_der(bytes).map(|parsed| request(&parsed));
    let _ = RevocationList::from_der(bytes).map(|parsed| list(&parsed));
}

fn certificate(certificate: &Certificate) {
    let read = PemFile::parse(certificate.pem().as_bytes()).map(|file| file.certificates);
    assert!(read.is_ok_and(|read| read == [certificate.clone()]));
    let _ = certificate.is_issued_by(certificate);
    let _ = crate::LeafConfig::like(certificate);
    let shown = format!("{} {} {}", certificate.subject(), certificate.issuer(), certificate.key_kind());
    assert!(!shown.contains(char::is_control), "{shown:?}");
    assert!(certificate.names().iter().all(|name| !name.to_string().contains(char::is_control)));
}

fn request(request: &Request) {
    let read = PemFile::parse(request.pem().as_bytes()).map(|file| file.requests);
    assert!(read.is_ok_and(|read| read == [request.clone()]));
    let _ = request.config();
}

fn list(list: &RevocationList) {
    let read = PemFile::parse(list.pem().as_bytes()).map(|file| file.revocation_lists);
    assert!(read.is_ok_and(|read| read == [list.clone()]));
    let _ = crate::RevocationConfig::after(list);
}
