//! Boxes: what one key pair seals for another one (NaCl's `crypto_box`), and their nonces.
//!
//! ```text
//! box   = tag(16) sealed content
//! nonce = text(16) number(8)   or   text(8) random(16)
//! ```

use dryoc::classic::crypto_box::{
    crypto_box_beforenm, crypto_box_detached_afternm_inplace, crypto_box_open_detached_afternm_inplace,
};
use zeroize::Zeroizing;

use super::keys::{CurvePublicKey, CurveSecretKey};

pub(super) type Nonce = [u8; 24];

/// By how much a box is longer than its content.
pub(super) const TAG: usize = 16;

pub(super) fn numbered(text: &[u8; 16], number: u64) -> Nonce {
    let mut nonce = [0; 24];
    nonce[..16].copy_from_slice(text);
    nonce[16..].copy_from_slice(&number.to_be_bytes());
    nonce
}

pub(super) fn random(text: &[u8; 8], random: &[u8; 16]) -> Nonce {
    let mut nonce = [0; 24];
    nonce[..8].copy_from_slice(text);
    nonce[8..].copy_from_slice(random);
    nonce
}

/// What two key pairs have in common, in both directions: it seals and opens their boxes.
#[derive(Clone)]
pub(super) struct SharedKey(Zeroizing<[u8; 32]>);

impl SharedKey {
    /// `None` for a public key that would give the same for every secret key.
    pub(super) fn new(public: &CurvePublicKey, secret: &CurveSecretKey) -> Option<SharedKey> {
        let key = crypto_box_beforenm(public.as_bytes(), secret.as_bytes()).ok()?;
        Some(SharedKey(Zeroizing::new(key)))
    }

    /// A key of its own, as NaCl's `crypto_secretbox` takes it.
    pub(super) fn from_bytes(key: Zeroizing<[u8; 32]>) -> SharedKey {
        SharedKey(key)
    }

    pub(super) fn seal(&self, nonce: &Nonce, content: &[u8]) -> Vec<u8> {
        let mut sealed = vec![0; TAG];
        sealed.extend_from_slice(content);
        self.seal_in_place(nonce, &mut sealed);
        sealed
    }

    /// Seals what lies behind room for the tag.
    pub(super) fn seal_in_place(&self, nonce: &Nonce, sealed: &mut [u8]) {
        let (tag, content) = sealed.split_first_chunk_mut().expect("there is room for the tag");
        crypto_box_detached_afternm_inplace(content, tag, nonce, &self.0);
    }

    /// `None` when it is not a box of these keys and this nonce.
    pub(super) fn open(&self, nonce: &Nonce, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut content = Zeroizing::new(sealed.to_vec());
        self.open_in_place(nonce, &mut content)?;
        content.drain(..TAG);
        Some(content)
    }

    /// Opens a box where it lies: the content is behind the tag then.
    pub(super) fn open_in_place(&self, nonce: &Nonce, sealed: &mut [u8]) -> Option<()> {
        let (tag, content) = sealed.split_first_chunk_mut::<TAG>()?;
        crypto_box_open_detached_afternm_inplace(content, tag, nonce, &self.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_secretbox::XSalsa20Poly1305;
    use crypto_secretbox::aead::{AeadInPlace as _, KeyInit as _};
    use proptest::prelude::*;

    fn keys() -> (CurveSecretKey, CurveSecretKey) {
        (CurveSecretKey::generate(), CurveSecretKey::generate())
    }

    #[test]
    fn a_box_opens_for_its_owner_only_and_only_as_it_was_sealed() {
        let (alice, bob) = keys();
        let sealing = SharedKey::new(&bob.public_key(), &alice).unwrap();
        let opening = SharedKey::new(&alice.public_key(), &bob).unwrap();
        let nonce = numbered(b"CurveZMQMESSAGEC", 7);
        let sealed = sealing.seal(&nonce, b"content");
        assert_eq!(**opening.open(&nonce, &sealed).unwrap(), *b"content");
        for i in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[i] ^= 1;
            assert!(opening.open(&nonce, &altered).is_none(), "byte {i}");
            assert!(opening.open(&nonce, &sealed[..i]).is_none(), "cut at {i}");
        }
        assert!(opening.open(&numbered(b"CurveZMQMESSAGEC", 8), &sealed).is_none());
        assert!(opening.open(&numbered(b"CurveZMQMESSAGES", 7), &sealed).is_none());
        let (stranger, _) = keys();
        assert!(SharedKey::new(&alice.public_key(), &stranger).unwrap().open(&nonce, &sealed).is_none());
    }

    #[test]
    fn a_public_key_that_gives_the_same_for_everyone_is_refused() {
        let (alice, _) = keys();
        assert!(SharedKey::new(&CurvePublicKey::from_bytes([0; 32]), &alice).is_none());
        let mut one = [0; 32];
        one[0] = 1;
        assert!(SharedKey::new(&CurvePublicKey::from_bytes(one), &alice).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Of every length, since the fast code takes several blocks at a time and the rest by itself.
        #[test]
        fn boxes_are_those_of_another_implementation(key: [u8; 32], nonce: [u8; 24], length in 0usize..3000, fill: u8) {
            let content = vec![fill; length];
            let sealed = SharedKey(Zeroizing::new(key)).seal(&nonce, &content);
            let mut theirs = content.clone();
            let tag = XSalsa20Poly1305::new(&key.into()).encrypt_in_place_detached(&nonce.into(), b"", &mut theirs);
            prop_assert_eq!(&sealed[..TAG], &tag.unwrap()[..]);
            prop_assert_eq!(&sealed[TAG..], &theirs[..]);
            prop_assert_eq!(&**SharedKey(Zeroizing::new(key)).open(&nonce, &sealed).unwrap(), &content[..]);
        }
    }
}
