//! Z85, ZeroMQ's text form of bytes (RFC 32/Z85): 4 bytes are 5 characters.
//!
//! Only for keys: 32 bytes, 40 characters. What passes through is wiped where it may be secret, which the crates for Z85 do not do.

use zeroize::Zeroizing;

pub(super) const CHARACTERS: usize = 40;

const ALPHABET: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

pub(super) fn encode(key: &[u8; 32]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(CHARACTERS));
    for word in key.as_chunks::<4>().0 {
        let word = u32::from_be_bytes(*word);
        for power in [85 * 85 * 85 * 85, 85 * 85 * 85, 85 * 85, 85, 1] {
            let digit = word / power % 85;
            text.push(char::from(ALPHABET[digit as usize]));
        }
    }
    text
}

/// `None` when it is not 40 characters of the alphabet, or five of them are more than 4 bytes can hold.
pub(super) fn decode(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let (words, rest) = text.as_bytes().as_chunks::<5>();
    if words.len() != 8 || !rest.is_empty() {
        return None;
    }
    let mut key = Zeroizing::new([0; 32]);
    for (bytes, word) in key.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        let mut value = 0u64;
        for character in word {
            let digit = ALPHABET.iter().position(|c| c == character)?;
            value = value * 85 + digit as u64;
        }
        *bytes = u32::try_from(value).ok()?.to_be_bytes();
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The test keys of RFC 26 as libzmq prints them.
    #[test]
    fn a_key_reads_as_libzmq_prints_it() {
        let bytes = [
            0x8e, 0x0b, 0xdd, 0x69, 0x76, 0x28, 0xb9, 0x1d, 0x8f, 0x24, 0x55, 0x87, 0xee, 0x95, 0xc5, 0xb0,
            0x4d, 0x48, 0x96, 0x3f, 0x79, 0x25, 0x98, 0x77, 0xb4, 0x9c, 0xd9, 0x06, 0x3a, 0xea, 0xd3, 0xb7,
        ];
        let text = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6";
        assert_eq!(*decode(text).unwrap(), bytes);
        assert_eq!(*encode(&bytes), text);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let good = "0".repeat(40);
        assert!(decode(&good).is_some());
        for bad in [
            "",
            &good[1..],
            &"0".repeat(41),
            &"0".repeat(45),
            &"~".repeat(40),
            &"#".repeat(40),
            &"é".repeat(20),
        ] {
            assert!(decode(bad).is_none(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(key: [u8; 32]) {
            prop_assert_eq!(*decode(&encode(&key)).unwrap(), key);
        }
    }
}
