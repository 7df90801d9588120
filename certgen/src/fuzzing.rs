//! What the fuzz target checks: for `fuzz/` and the test that replays its corpus. Not part of the API.

use crate::certificate::Certificate;
use crate::pem::{PemFile, PemSection};
use crate::pem_text::PemText;
use crate::request::Request;
use crate::revocation::RevocationList;

/// No bytes panic, as PEM or as DER of any kind; what parses has PEM that parses to the same, and can be looked at; with
/// its certificates replaced by themselves a text has what it had.
pub fn files(bytes: &[u8]) {
    if let Ok(file) = PemFile::parse(bytes) {
        file.certificates.iter().for_each(certificate);
        file.requests.iter().for_each(request);
        file.revocation_lists.iter().for_each(list);
    }
    text(&PemText::from(bytes));
    let _ = Certificate::from_der(bytes).map(|parsed| certificate(&parsed));
    let _ = Request::from_der(bytes).map(|parsed| request(&parsed));
    let _ = RevocationList::from_der(bytes).map(|parsed| list(&parsed));
}

fn text(text: &PemText) {
    let Ok(file) = text.parse() else { return };
    let replaced = text.replaced(|section| match section {
        PemSection::Certificate(same) => Some(same.pem().into()),
        _ => None,
    });
    let replaced = PemText::from(&**replaced.expect("it has parsed")).parse().expect("it is PEM");
    assert!(replaced.certificates == file.certificates && replaced.requests == file.requests);
    assert!(replaced.revocation_lists == file.revocation_lists && replaced.keys.len() == file.keys.len());
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
