//! Revocation lists (RFC 5280, section 5).

use std::sync::Arc;
use std::time::SystemTime;

use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_cert::certificate::Rfc5280;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::Uint;
use x509_cert::der::oid::AssociatedOid as _;
use x509_cert::ext::pkix::CrlNumber;

pub(crate) struct RevocationList {
    pub(crate) list: CertRevocationList<'static>,
    /// When it is due to be replaced.
    pub(crate) next_update: Option<SystemTime>,
    /// When it was made, and its number.
    made: (SystemTime, Option<Uint>),
}

impl RevocationList {
    /// Reads a list; the error says what is wrong with it.
    pub(crate) fn from_der(der: &[u8]) -> Result<RevocationList, String> {
        let list = OwnedCertRevocationList::from_der(der).map_err(|error| format!("{error:?}"))?;
        let parsed = CertificateList::<Rfc5280>::from_der(der).map_err(|error| error.to_string())?;
        let parsed = parsed.tbs_cert_list;
        let mut extensions = parsed.crl_extensions.iter().flatten();
        let number = extensions.find(|extension| extension.extn_id == CrlNumber::OID);
        let number = number.map(|number| Uint::from_der(number.extn_value.as_bytes()));
        Ok(RevocationList {
            list: list.into(),
            next_update: parsed.next_update.map(|time| time.to_system_time()),
            made: (
                parsed.this_update.to_system_time(),
                number.transpose().map_err(|error| error.to_string())?,
            ),
        })
    }

    /// Of the lists of an authority for the same certificates only the latest one, and the latest of all first: who asks whether
    /// a certificate is revoked stops at the first list that covers it.
    pub(crate) fn latest(mut lists: Vec<Arc<RevocationList>>) -> Vec<Arc<RevocationList>> {
        lists.sort_by(|one, other| other.made.cmp(&one.made));
        let mut latest: Vec<Arc<RevocationList>> = Vec::new();
        for list in lists {
            if !latest.iter().any(|later| later.covers_the_same_as(&list)) {
                latest.push(list);
            }
        }
        latest
    }

    fn covers_the_same_as(&self, other: &RevocationList) -> bool {
        let (one, other) = (&self.list, &other.list);
        one.issuer() == other.issuer()
            && one.issuing_distribution_point() == other.issuing_distribution_point()
    }
}
