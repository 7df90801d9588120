//! Revocation lists (RFC 5280, section 5).

use std::sync::Arc;
use std::time::SystemTime;

use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_cert::certificate::Rfc5280;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::Uint;
use x509_cert::der::oid::AssociatedOid as _;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlNumber};

pub(crate) struct RevocationList {
    pub(crate) list: CertRevocationList<'static>,
    /// When it is due to be replaced.
    pub(crate) next_update: Option<SystemTime>,
    /// When it was made, and its number.
    made: (SystemTime, Option<Uint>),
    /// What says with which of its authority's keys it is signed.
    key: Option<Vec<u8>>,
}

impl RevocationList {
    /// Reads a list; the error says what is wrong with it.
    pub(crate) fn from_der(der: &[u8]) -> Result<RevocationList, String> {
        let list = OwnedCertRevocationList::from_der(der).map_err(|error| format!("{error:?}"))?;
        let parsed = CertificateList::<Rfc5280>::from_der(der).map_err(|error| error.to_string())?;
        let parsed = parsed.tbs_cert_list;
        let extension = |oid| {
            let mut all = parsed.crl_extensions.iter().flatten();
            all.find(|extension| extension.extn_id == oid).map(|extension| extension.extn_value.as_bytes())
        };
        let number = extension(CrlNumber::OID).map(Uint::from_der).transpose();
        let number = number.map_err(|error| error.to_string())?;
        Ok(RevocationList {
            list: list.into(),
            next_update: parsed.next_update.map(|time| time.to_system_time()),
            made: (parsed.this_update.to_system_time(), number),
            key: extension(AuthorityKeyIdentifier::OID).map(<[u8]>::to_vec),
        })
    }

    /// Of the lists of an authority's key for the same certificates only the latest one, and the latest of all first: who asks
    /// whether a certificate is revoked stops at the first list that covers it.
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
        let (a, b) = (&self.list, &other.list);
        self.key == other.key
            && a.issuer() == b.issuer()
            && a.issuing_distribution_point() == b.issuing_distribution_point()
    }
}
