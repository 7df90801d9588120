//! PLAIN: a user name and a password, sent readable (RFC 24/ZMTP-PLAIN, with the wire form of RFC 37).
//!
//! ```text
//! client                                           server
//! HELLO user-length user password-length password  ->
//!                                                  <- WELCOME, or ERROR
//! INITIATE properties                              ->
//!                                                  <- READY properties, or ERROR
//! ```

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    Context, Mechanism, MechanismFactory, MechanismProperties, Outcome, Refusal, Step, expect, properties,
};
use crate::evidence::Proof;
use crate::framing::{Role, Token};

const NAME: &str = "PLAIN";

/// The client's side of PLAIN: who it is, and its password.
///
/// # Security
///
/// The server receives the password itself. So core uses PLAIN only over streams that are encrypted or stay in this
/// host's kernel, unless [`danger_plaintext`](crate::Connect::danger_plaintext) was called, and only after the
/// server has passed the client's policy.
#[derive(Clone)]
pub struct PlainClient {
    user: String,
    password: Arc<Zeroizing<String>>,
}

impl PlainClient {
    /// The user and the password, each at most 255 bytes.
    ///
    /// # Errors
    ///
    /// When one of them is longer.
    pub fn new(
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Result<PlainClient, CredentialsTooLong> {
        let (user, password) = (user.into(), Zeroizing::new(password.into()));
        if user.len() > LONGEST || password.len() > LONGEST {
            return Err(CredentialsTooLong);
        }
        Ok(PlainClient { user, password: Arc::new(password) })
    }
}

/// PLAIN carries at most 255 bytes of user and of password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("PLAIN carries at most {LONGEST} bytes of user and of password")]
pub struct CredentialsTooLong;

const LONGEST: usize = 255;

impl fmt::Debug for PlainClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainClient").field("user", &self.user).finish_non_exhaustive()
    }
}

impl MechanismFactory for PlainClient {
    fn name(&self) -> &'static str {
        NAME
    }

    fn role(&self) -> Option<Role> {
        Some(Role::Client)
    }

    fn properties(&self) -> MechanismProperties {
        MechanismProperties::default().with_reveals_secret(true)
    }

    fn mechanism(&self, _role: Role) -> Box<dyn Mechanism> {
        Box::new(Client {
            user: self.user.clone(),
            password: Arc::clone(&self.password),
            state: ClientState::Start,
        })
    }
}

struct Client {
    user: String,
    password: Arc<Zeroizing<String>>,
    state: ClientState,
}

#[derive(Clone, Copy)]
enum ClientState {
    Start,
    HelloSent,
    InitiateSent,
}

impl Mechanism for Client {
    fn step(&mut self, token: Option<Token>, context: &Context<'_>) -> Result<Step, Refusal> {
        match self.state {
            ClientState::Start => {
                self.state = ClientState::HelloSent;
                let mut body = Vec::with_capacity(2 + self.user.len() + self.password.len());
                for field in [self.user.as_bytes(), self.password.as_bytes()] {
                    body.push(u8::try_from(field.len()).expect("PlainClient::new checks the length"));
                    body.extend_from_slice(field);
                }
                Ok(Step::Send(Token::new("HELLO", body)))
            }
            ClientState::HelloSent => {
                if !expect(token, "WELCOME")?.body.is_empty() {
                    return Err(Refusal::Malformed { token: "WELCOME", problem: "it has data" });
                }
                self.state = ClientState::InitiateSent;
                let mut body = Vec::new();
                properties::encode(context.own_claims, &mut body);
                Ok(Step::Send(Token::new("INITIATE", body)))
            }
            ClientState::InitiateSent => {
                let claims = properties::decode(expect(token, "READY")?.body, "READY")?;
                Ok(Step::Done { send: None, outcome: Outcome::new().with_claims(claims) })
            }
        }
    }
}

/// The server's side of PLAIN: it asks a [`PasswordVerifier`].
#[derive(Clone)]
pub struct PlainServer {
    verifier: Arc<dyn PasswordVerifier>,
}

impl PlainServer {
    /// Checks passwords with `verifier`, such as [`Passwords`] or a store of your own.
    pub fn new(verifier: impl PasswordVerifier + 'static) -> PlainServer {
        PlainServer { verifier: Arc::new(verifier) }
    }
}

impl fmt::Debug for PlainServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainServer")
    }
}

impl MechanismFactory for PlainServer {
    fn name(&self) -> &'static str {
        NAME
    }

    fn role(&self) -> Option<Role> {
        Some(Role::Server)
    }

    fn properties(&self) -> MechanismProperties {
        MechanismProperties::default().with_reveals_secret(true)
    }

    fn mechanism(&self, _role: Role) -> Box<dyn Mechanism> {
        Box::new(Server {
            verifier: Arc::clone(&self.verifier),
            user: String::new(),
            state: ServerState::ExpectHello,
        })
    }
}

struct Server {
    verifier: Arc<dyn PasswordVerifier>,
    user: String,
    state: ServerState,
}

enum ServerState {
    ExpectHello,
    Verifying(Pin<Box<dyn Future<Output = Result<bool, String>> + Send>>),
    Verified(Result<bool, String>),
    ExpectInitiate,
}

impl Mechanism for Server {
    fn step(&mut self, token: Option<Token>, context: &Context<'_>) -> Result<Step, Refusal> {
        match std::mem::replace(&mut self.state, ServerState::ExpectHello) {
            ServerState::ExpectHello if token.is_none() => Ok(Step::Expect),
            ServerState::ExpectHello => {
                let token = expect(token, "HELLO")?;
                let (user, password) = read_hello(&token.body)?;
                user.clone_into(&mut self.user);
                match self.verifier.verify(user, password) {
                    Verdict::Now(accepted) => self.welcome(Ok(accepted)),
                    Verdict::Later(future) => {
                        self.state = ServerState::Verifying(future);
                        Ok(Step::Wait)
                    }
                }
            }
            ServerState::Verifying(future) => {
                // A token before WELCOME: whoever sends it does not speak PLAIN.
                drop(future);
                Err(Refusal::Unexpected {
                    found: token.map_or_else(String::new, |t| t.name),
                    expected: "nothing",
                })
            }
            ServerState::Verified(verdict) => self.welcome(verdict),
            ServerState::ExpectInitiate => {
                let claims = properties::decode(expect(token, "INITIATE")?.body, "INITIATE")?;
                let mut body = Vec::new();
                properties::encode(context.own_claims, &mut body);
                let user = Proof::User { name: std::mem::take(&mut self.user), mechanism: NAME };
                let outcome = Outcome::new().with_proof(user).with_claims(claims);
                Ok(Step::Done { send: Some(Token::new("READY", body)), outcome })
            }
        }
    }

    fn poll_wait(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        if let ServerState::Verifying(future) = &mut self.state {
            let verdict = ready!(future.as_mut().poll(cx));
            self.state = ServerState::Verified(verdict);
        }
        Poll::Ready(())
    }
}

impl Server {
    fn welcome(&mut self, verdict: Result<bool, String>) -> Result<Step, Refusal> {
        match verdict {
            Ok(true) => {
                self.state = ServerState::ExpectInitiate;
                Ok(Step::Send(Token::new("WELCOME", "")))
            }
            Ok(false) => Err(Refusal::Credentials { user: std::mem::take(&mut self.user) }),
            Err(problem) => Err(Refusal::Unavailable { problem }),
        }
    }
}

fn read_hello(body: &[u8]) -> Result<(&str, &[u8]), Refusal> {
    let malformed = |problem| Refusal::Malformed { token: "HELLO", problem };
    let field = |bytes: &'_ [u8]| -> Option<(usize, usize)> {
        let length = usize::from(*bytes.first()?);
        (bytes.len() > length).then_some((1, 1 + length))
    };
    let (start, end) = field(body).ok_or_else(|| malformed("the user name is cut off"))?;
    let (user, rest) = (&body[start..end], &body[end..]);
    let (start, end) = field(rest).ok_or_else(|| malformed("the password is cut off"))?;
    if end != rest.len() {
        return Err(malformed("bytes follow the password"));
    }
    let user = std::str::from_utf8(user).map_err(|_| malformed("the user name is not UTF-8"))?;
    Ok((user, &rest[start..end]))
}

/// Checks a user's password: an account store of your own.
///
/// # Security
///
/// It must take the same time for an unknown user as for a wrong password.
pub trait PasswordVerifier: Send + Sync {
    /// Whether this is the user's password. Must not block: what takes time goes into [`Verdict::Later`].
    fn verify(&self, user: &str, password: &[u8]) -> Verdict;
}

/// The answer of a [`PasswordVerifier`].
pub enum Verdict {
    /// Whether the password is right.
    Now(bool),
    /// The same once the future is ready, or what went wrong in the store. The handshake's deadline goes on.
    Later(Pin<Box<dyn Future<Output = Result<bool, String>> + Send>>),
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Now(accepted) => write!(f, "Now({accepted})"),
            Verdict::Later(_) => f.write_str("Later"),
        }
    }
}

/// A few users and their passwords in memory, kept as SHA-256 digests.
///
/// For tests and for a secret that a program makes itself. Passwords that people choose belong into a store that
/// salts and stretches them.
#[derive(Clone, Default)]
pub struct Passwords {
    digests: HashMap<String, [u8; 32]>,
}

impl Passwords {
    /// No users.
    pub fn new() -> Passwords {
        Passwords::default()
    }

    /// Adds a user.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>, password: impl AsRef<[u8]>) -> Passwords {
        self.digests.insert(user.into(), Sha256::digest(password.as_ref()).into());
        self
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passwords({} users)", self.digests.len())
    }
}

impl PasswordVerifier for Passwords {
    fn verify(&self, user: &str, password: &[u8]) -> Verdict {
        let digest: [u8; 32] = Sha256::digest(password).into();
        // The same work whether the user is known or not; a digest's preimage of zeros is not known to anybody,
        // and `known` decides all the same.
        let (stored, known) = self.digests.get(user).map_or(([0; 32], false), |stored| (*stored, true));
        let equal = bool::from(digest.ct_eq(&stored));
        Verdict::Now(equal & known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(user: &str, password: &str) -> bool {
        let passwords = Passwords::new().with_user("admin", "secret").with_user("empty", "");
        matches!(passwords.verify(user, password.as_bytes()), Verdict::Now(true))
    }

    #[test]
    fn only_the_right_password_of_a_known_user_is_accepted() {
        assert!(accepts("admin", "secret") && accepts("empty", ""));
        assert!(
            !accepts("admin", "secre") && !accepts("admin", "") && !accepts("nobody", "") && !accepts("", "")
        );
    }

    #[test]
    fn a_hello_fits_exactly() {
        assert_eq!(read_hello(b"\x05admin\x06secret").unwrap(), ("admin", &b"secret"[..]));
        assert_eq!(read_hello(b"\0\0").unwrap(), ("", &b""[..]));
        for body in
            [&b""[..], b"\x05", b"\x05admin", b"\x05admin\x06secre", b"\x05admin\x06secrets", b"\x01\xff\0"]
        {
            assert!(read_hello(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        assert!(!format!("{:?}", PlainClient::new("admin", "secret").unwrap()).contains("secret"));
        let passwords = Passwords::new().with_user("admin", "secret");
        assert!(!format!("{passwords:?}").contains("admin"));
    }
}
