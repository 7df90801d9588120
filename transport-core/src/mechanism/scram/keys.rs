//! What is derived from a password, and what a server keeps of it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The iterations that a new password is stretched with.
pub const DEFAULT_ITERATIONS: u32 = 600_000;
/// A client refuses servers that ask for less (RFC 7677) or for so much that it is an attack.
pub(super) const FEWEST_ITERATIONS: u32 = 4096;
pub(super) const MOST_ITERATIONS: u32 = 10_000_000;
const SALT_LENGTH: usize = 16;

/// 32 bytes that are wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct Key(pub(super) [u8; 32]);

impl Key {
    pub(super) fn is(&self, other: &[u8]) -> bool {
        self.0[..].ct_eq(other).into()
    }

    pub(super) fn xor(&self, other: &Key) -> Key {
        Key(std::array::from_fn(|i| self.0[i] ^ other.0[i]))
    }
}

pub(super) fn hmac(key: &[u8], data: &[u8]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(data);
    Key(mac.finalize().into_bytes().into())
}

pub(super) fn sha256(data: &[u8]) -> Key {
    Key(Sha256::digest(data).into())
}

/// What a client derives from its password for one server: enough to log in again without stretching it again.
///
/// # Security
///
/// Whoever has these keys can log in as the user, at every server that keeps the same verifier, but does not know the
/// password. In text they belong into a [`SecretFile`](crate::secret_file::SecretFile).
#[derive(Clone)]
pub struct ClientKeys {
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
    pub(super) client_key: Key,
    pub(super) server_key: Key,
}

impl ClientKeys {
    /// Stretches a password: with 600,000 iterations that takes a tenth of a second or more.
    pub(super) fn derive(password: &str, salt: &[u8], iterations: u32) -> ClientKeys {
        let mut salted = Zeroizing::new([0; 32]);
        pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut *salted);
        let (client_key, server_key) = (hmac(&*salted, b"Client Key"), hmac(&*salted, b"Server Key"));
        ClientKeys { salt: salt.to_vec(), iterations, client_key, server_key }
    }

    /// Whether they were derived with this salt and so many iterations.
    pub(super) fn are_for(&self, salt: &[u8], iterations: u32) -> bool {
        self.salt == salt && self.iterations == iterations
    }

    /// The keys as a line of text, which [`str::parse`] reads.
    pub fn to_text(&self) -> Zeroizing<String> {
        print_line(CLIENT_MARK, self.iterations, &self.salt, [&self.client_key, &self.server_key])
    }
}

impl FromStr for ClientKeys {
    type Err = VerifierError;

    fn from_str(text: &str) -> Result<ClientKeys, VerifierError> {
        let form = VerifierError("the form is SCRAM-SHA-256-CLIENT$iterations:salt$client-key:server-key");
        let (iterations, salt, [client_key, server_key]) =
            read_line(CLIENT_MARK, text.trim_end()).ok_or(form)?;
        check_iterations(iterations)?;
        Ok(ClientKeys { salt, iterations, client_key, server_key })
    }
}

/// Does not show the keys.
impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKeys").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// What a server keeps of a user's password: it can check a login with it, but not log in.
///
/// Its text is PostgreSQL's: `SCRAM-SHA-256$iterations:salt$stored-key:server-key`, in base64.
#[derive(Clone)]
pub struct Verifier {
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
    pub(super) stored_key: Key,
    pub(super) server_key: Key,
}

impl Verifier {
    /// Makes one for a password, with a new random salt. Takes a tenth of a second or more: not for a task that
    /// others wait for.
    ///
    /// # Errors
    ///
    /// When the password has characters that SASLprep (RFC 4013) prohibits, or the iterations are too few or too many.
    pub fn new(password: &str, iterations: u32) -> Result<Verifier, VerifierError> {
        let mut salt = vec![0; SALT_LENGTH];
        getrandom::fill(&mut salt).map_err(|_| VerifierError("the system has no random bytes"))?;
        Verifier::with_salt(password, salt, iterations)
    }

    pub(super) fn with_salt(
        password: &str,
        salt: Vec<u8>,
        iterations: u32,
    ) -> Result<Verifier, VerifierError> {
        check_iterations(iterations)?;
        let keys = ClientKeys::derive(&prepare_password(password)?, &salt, iterations);
        Ok(Verifier { salt, iterations, stored_key: sha256(&keys.client_key.0), server_key: keys.server_key })
    }

    /// One that no password matches, as fast as can be.
    pub(super) fn of_nobody(salt: Vec<u8>, iterations: u32) -> Verifier {
        let nobodys = Key([0; 32]);
        Verifier { salt, iterations, stored_key: nobodys.clone(), server_key: nobodys }
    }

    /// Whether this is the password: as slow as [`Verifier::new`].
    pub(super) fn matches(&self, password: &str) -> bool {
        let Ok(password) = prepare_password(password) else { return false };
        let keys = ClientKeys::derive(&password, &self.salt, self.iterations);
        sha256(&keys.client_key.0).is(&self.stored_key.0)
    }
}

/// Prepares a password as both sides must (RFC 5802 Section 2.2).
pub(super) fn prepare_password(password: &str) -> Result<Zeroizing<String>, VerifierError> {
    match stringprep::saslprep(password) {
        Ok(prepared) if !prepared.is_empty() => Ok(Zeroizing::new(prepared.into_owned())),
        Ok(_) => Err(VerifierError("the password is empty")),
        Err(_) => Err(VerifierError("the password has a character that SASLprep (RFC 4013) prohibits")),
    }
}

/// Why there is no [`Verifier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct VerifierError(pub(super) &'static str);

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print_line(MARK, self.iterations, &self.salt, [&self.stored_key, &self.server_key]))
    }
}

/// Does not show the keys: they are printed only on purpose, by `Display`.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl FromStr for Verifier {
    type Err = VerifierError;

    fn from_str(text: &str) -> Result<Verifier, VerifierError> {
        let form = VerifierError("the form is SCRAM-SHA-256$iterations:salt$stored-key:server-key");
        let (iterations, salt, [stored_key, server_key]) = read_line(MARK, text).ok_or(form)?;
        check_iterations(iterations)?;
        if !(8..=64).contains(&salt.len()) {
            return Err(VerifierError("the salt must have 8 to 64 bytes"));
        }
        Ok(Verifier { salt, iterations, stored_key, server_key })
    }
}

fn check_iterations(iterations: u32) -> Result<(), VerifierError> {
    if (FEWEST_ITERATIONS..=MOST_ITERATIONS).contains(&iterations) {
        Ok(())
    } else {
        Err(VerifierError("the iterations must be from 4,096 to 10,000,000"))
    }
}

fn print_line(mark: &str, iterations: u32, salt: &[u8], keys: [&Key; 2]) -> Zeroizing<String> {
    // Room for all of it at once: a growing string leaves copies behind that nobody wipes.
    let length = mark.len() + 10 + salt.len().div_ceil(3) * 4 + 2 * 44 + 3;
    let mut text = Zeroizing::new(String::with_capacity(length));
    text.push_str(mark);
    text.push_str(&iterations.to_string());
    for (separator, bytes) in [(':', salt), ('$', &keys[0].0), (':', &keys[1].0)] {
        text.push(separator);
        BASE64.encode_string(bytes, &mut text);
    }
    text
}

fn read_line(mark: &str, text: &str) -> Option<(u32, Vec<u8>, [Key; 2])> {
    let (parameters, keys) = text.strip_prefix(mark)?.split_once('$')?;
    let (iterations, salt) = parameters.split_once(':')?;
    let (first, second) = keys.split_once(':')?;
    let key = |text| Some(Key(Zeroizing::new(BASE64.decode(text).ok()?)[..].try_into().ok()?));
    Some((iterations.parse().ok()?, BASE64.decode(salt).ok()?, [key(first)?, key(second)?]))
}

pub(super) const MARK: &str = "SCRAM-SHA-256$";
const CLIENT_MARK: &str = "SCRAM-SHA-256-CLIENT$";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_is_read_as_it_is_written_and_knows_its_password() {
        let verifier = Verifier::new("pencil", 4096).unwrap();
        let again: Verifier = verifier.to_string().parse().unwrap();
        assert_eq!(again.to_string(), verifier.to_string());
        assert!(again.matches("pencil") && !again.matches("pencils") && !again.matches(""));
        // SASLprep: a soft hyphen is nothing, and both spellings of the same character are one.
        assert!(again.matches("pen\u{ad}cil"));
        assert_ne!(
            Verifier::new("pencil", 4096).unwrap().to_string(),
            verifier.to_string(),
            "the salt is random"
        );
    }

    #[test]
    fn malformed_verifiers_and_passwords_are_refused() {
        let good = Verifier::new("pencil", 4096).unwrap().to_string();
        for bad in ["", "SCRAM-SHA-256$", &good[1..], &good[..good.len() - 1], &good.replace("4096", "4095")]
        {
            assert!(bad.parse::<Verifier>().is_err(), "{bad}");
        }
        for bad in ["4294967296", "-1", "10000001", ""] {
            assert!(good.replace("4096", bad).parse::<Verifier>().is_err(), "{bad}");
        }
        assert!(Verifier::new("", 4096).is_err());
        assert!(Verifier::new("a\u{7}b", 4096).is_err());
        assert!(Verifier::new("pencil", 1).is_err());
        assert!(!format!("{:?}", good.parse::<Verifier>().unwrap()).contains(&good[30..40]));
    }

    #[test]
    fn client_keys_are_read_as_they_are_written_and_not_shown_by_accident() {
        let keys = ClientKeys::derive("pencil", b"salt", 4096);
        let text = keys.to_text();
        let again: ClientKeys = format!("{}\n", *text).parse().unwrap();
        assert_eq!(again.to_text(), text);
        assert!(
            again.are_for(b"salt", 4096) && !again.are_for(b"salt", 4097) && !again.are_for(b"sal", 4096)
        );
        assert_eq!(format!("{keys:?}"), "ClientKeys { iterations: 4096, .. }");
        for bad in ["", &text[1..], &text[..text.len() - 1], &text.replace("4096", "4095")] {
            assert!(bad.parse::<ClientKeys>().is_err(), "{bad}");
        }
        // A server's verifier is no client's key.
        assert!(Verifier::new("pencil", 4096).unwrap().to_string().parse::<ClientKeys>().is_err());
    }
}
