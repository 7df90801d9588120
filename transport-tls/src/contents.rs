//! What the files have: own certificate, authorities and revocation lists, each by itself.
//!
//! One that cannot be used any more stays as it was, and keeps no other from being used: a client that is revoked must not stay
//! because a renewal went wrong.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::sign::SingleCertAndKey;
use sha2::{Digest as _, Sha256};

use crate::config::TlsConfig;
use crate::error::LoadError;
use crate::own_certificate::OwnCertificate;
use crate::revocation_list::RevocationList;
use crate::trust::Anchor;
use crate::{files, leaf};

#[derive(Clone)]
pub(crate) struct Contents {
    own: Option<Part<Own>>,
    /// Of each source in the settings.
    anchors: Vec<Part<Vec<Anchor>>>,
    /// Of each file in the settings.
    lists: Vec<Part<Vec<Arc<RevocationList>>>>,
}

/// The certificate and key by which this side proves itself.
pub(crate) struct Own {
    pub(crate) certified: Arc<SingleCertAndKey>,
    pub(crate) not_after: SystemTime,
}

/// What was read from one place.
struct Part<T> {
    content: Arc<T>,
    /// Tells it from another content.
    digest: [u8; 32],
}

impl Contents {
    /// Reads all files.
    pub(crate) fn read(config: &TlsConfig, provider: &CryptoProvider) -> Result<Contents, LoadError> {
        Contents::read_after(None, config, provider).map(|(contents, _none)| contents)
    }

    /// Reads all files again. What cannot be used stays as it is here; the errors say why.
    pub(crate) fn read_again(
        &self,
        config: &TlsConfig,
        provider: &CryptoProvider,
    ) -> (Contents, Vec<LoadError>) {
        // There is something to stay in each place.
        let read = Contents::read_after(Some(self), config, provider);
        read.unwrap_or_else(|error| (self.clone(), vec![error]))
    }

    fn read_after(
        before: Option<&Contents>,
        config: &TlsConfig,
        provider: &CryptoProvider,
    ) -> Result<(Contents, Vec<LoadError>), LoadError> {
        let mut failures = Vec::new();
        let own = match &config.certificate {
            Some(own) => {
                let before = before.and_then(|before| before.own.as_ref());
                Some(Part::or(read_own(own, provider), before, &mut failures)?)
            }
            None => None,
        };
        let mut anchors = Vec::new();
        for (at, read) in config.trust.load_each().enumerate() {
            let read = read.map(|anchors| {
                let digest = digest(anchors.iter().map(|anchor| &*anchor.certificate));
                Part { content: Arc::new(anchors), digest }
            });
            let before = before.and_then(|before| before.anchors.get(at));
            anchors.push(Part::or(read, before, &mut failures)?);
        }
        let mut lists = Vec::new();
        for (at, path) in config.revocation_lists.iter().enumerate() {
            let before = before.and_then(|before| before.lists.get(at));
            lists.push(Part::or(read_lists(path), before, &mut failures)?);
        }
        Ok((Contents { own, anchors, lists }, failures))
    }

    pub(crate) fn own(&self) -> Option<&Own> {
        self.own.as_ref().map(|own| &*own.content)
    }

    /// All authorities, each once.
    pub(crate) fn anchors(&self) -> Vec<Anchor> {
        let mut anchors: Vec<Anchor> = Vec::new();
        for anchor in self.anchors.iter().flat_map(|part| &*part.content) {
            if !anchors.contains(anchor) {
                anchors.push(anchor.clone());
            }
        }
        anchors
    }

    pub(crate) fn lists(&self) -> Vec<Arc<RevocationList>> {
        self.lists.iter().flat_map(|part| part.content.iter().cloned()).collect()
    }

    /// Whether the other one has the same.
    pub(crate) fn is_like(&self, other: &Contents) -> bool {
        self.digests().eq(other.digests())
    }

    /// The settings do not change, so there are as many in each, in the same order.
    fn digests(&self) -> impl Iterator<Item = [u8; 32]> {
        let own = self.own.iter().map(|part| part.digest);
        let anchors = self.anchors.iter().map(|part| part.digest);
        own.chain(anchors).chain(self.lists.iter().map(|part| part.digest))
    }
}

impl<T> Part<T> {
    /// What was read, or what there was before and why it stays.
    fn or(
        read: Result<Part<T>, LoadError>,
        before: Option<&Part<T>>,
        failures: &mut Vec<LoadError>,
    ) -> Result<Part<T>, LoadError> {
        match (read, before) {
            (Err(error), Some(before)) => {
                failures.push(error);
                Ok(before.clone())
            }
            (read, _) => read,
        }
    }
}

impl<T> Clone for Part<T> {
    fn clone(&self) -> Part<T> {
        Part { content: Arc::clone(&self.content), digest: self.digest }
    }
}

fn read_own(own: &OwnCertificate, provider: &CryptoProvider) -> Result<Part<Own>, LoadError> {
    let own = own.load(provider)?;
    let (_, not_after) =
        leaf::validity(&own.cert[0]).map_err(|refusal| LoadError::Settings(refusal.to_string()))?;
    // A certificate says which key it belongs to, so it stands for both.
    let digest = digest(own.cert.iter().map(|der| &**der));
    let content = Arc::new(Own { certified: Arc::new(SingleCertAndKey::from(own)), not_after });
    Ok(Part { content, digest })
}

fn read_lists(path: &Path) -> Result<Part<Vec<Arc<RevocationList>>>, LoadError> {
    let unusable = |problem: String| LoadError::RevocationList { path: path.to_owned(), problem };
    let ders = files::revocation_lists(&files::read(path)?, path)?;
    if ders.is_empty() {
        return Err(unusable("there is none in it".to_owned()));
    }
    let lists = ders.iter().map(|der| RevocationList::from_der(der).map(Arc::new).map_err(unusable));
    let content = Arc::new(lists.collect::<Result<_, _>>()?);
    Ok(Part { content, digest: digest(ders.iter().map(|der| &**der)) })
}

fn digest<'a>(ders: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for der in ders {
        // The length keeps one row of them from reading as another.
        hash.update((der.len() as u64).to_be_bytes());
        hash.update(der);
    }
    hash.finalize().into()
}
