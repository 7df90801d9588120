//! The four messages, read and written (RFC 5802 Section 7), and how they travel in a token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Buf, Bytes};

use crate::claims::Claims;
use crate::framing::Token;
use crate::mechanism::{Refusal, properties};

/// The longest user name and nonce that are taken.
const LONGEST_USER: usize = 1024;
const LONGEST_NONCE: usize = 256;

/// What the first message says of channel binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BindingFlag {
    /// `n`: the client cannot.
    None,
    /// `y`: the client can, but thinks that the server cannot.
    ServerCannot,
    /// `p=tls-exporter`: it does.
    Bound,
}

impl BindingFlag {
    /// The header in front of the first message, which is repeated in the third.
    pub(super) fn header(self) -> &'static str {
        match self {
            BindingFlag::None => "n,,",
            BindingFlag::ServerCannot => "y,,",
            BindingFlag::Bound => "p=tls-exporter,,",
        }
    }
}

/// The first message of the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientFirst<'a> {
    pub(super) flag: BindingFlag,
    pub(super) user: String,
    pub(super) nonce: &'a str,
    /// The message without its header: the beginning of what is signed.
    pub(super) bare: &'a str,
}

pub(super) fn read_client_first(text: &str) -> Result<ClientFirst<'_>, Refusal> {
    let malformed = |problem| Refusal::Malformed { token: "HELLO", problem };
    let flags = [BindingFlag::None, BindingFlag::ServerCannot, BindingFlag::Bound];
    let found = flags.iter().find_map(|flag| Some((*flag, text.strip_prefix(flag.header())?)));
    let (flag, bare) =
        found.ok_or_else(|| malformed("its binding flag is unknown, or it asks for another identity"))?;
    let mut fields = bare.split(',');
    let user = fields
        .next()
        .and_then(|field| field.strip_prefix("n="))
        .ok_or_else(|| malformed("it names no user"))?;
    let nonce = fields
        .next()
        .and_then(|field| field.strip_prefix("r="))
        .ok_or_else(|| malformed("it has no nonce"))?;
    let user =
        unescape(user).ok_or_else(|| malformed("the user name is wrongly escaped, empty or too long"))?;
    if !is_nonce(nonce) {
        return Err(malformed("the nonce is not printable, empty or too long"));
    }
    Ok(ClientFirst { flag, user, nonce, bare })
}

pub(super) fn write_client_first_bare(user: &str, nonce: &str) -> String {
    format!("n={},r={nonce}", escape(user))
}

/// The first message of the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServerFirst<'a> {
    pub(super) nonce: &'a str,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

pub(super) fn read_server_first<'a>(text: &'a str, own_nonce: &str) -> Result<ServerFirst<'a>, Refusal> {
    let malformed = |problem| Refusal::Malformed { token: "WELCOME", problem };
    let mut fields = text.split(',');
    let mut field = |name: &str| fields.next().and_then(|field| field.strip_prefix(name));
    let nonce = field("r=").ok_or_else(|| malformed("it has no nonce"))?;
    let salt = field("s=").and_then(|salt| BASE64.decode(salt).ok());
    let salt = salt.filter(|salt| !salt.is_empty()).ok_or_else(|| malformed("it has no salt"))?;
    let iterations =
        field("i=").and_then(|i| i.parse().ok()).ok_or_else(|| malformed("it has no iteration count"))?;
    if !is_nonce(nonce) || !nonce.starts_with(own_nonce) || nonce.len() == own_nonce.len() {
        return Err(malformed("its nonce does not go on from this side's"));
    }
    Ok(ServerFirst { nonce, salt, iterations })
}

pub(super) fn write_server_first(nonce: &str, salt: &[u8], iterations: u32) -> String {
    format!("r={nonce},s={},i={iterations}", BASE64.encode(salt))
}

/// The last message of the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientFinal<'a> {
    pub(super) binding: Vec<u8>,
    pub(super) nonce: &'a str,
    pub(super) proof: [u8; 32],
    /// The message without its proof: the end of what is signed.
    pub(super) without_proof: &'a str,
}

pub(super) fn read_client_final(text: &str) -> Result<ClientFinal<'_>, Refusal> {
    let malformed = |problem| Refusal::Malformed { token: "INITIATE", problem };
    let (without_proof, proof) = text.rsplit_once(",p=").ok_or_else(|| malformed("it has no proof"))?;
    let proof = BASE64.decode(proof).ok().and_then(|proof| proof.try_into().ok());
    let proof = proof.ok_or_else(|| malformed("its proof is not 32 bytes in base64"))?;
    let mut fields = without_proof.split(',');
    let binding = fields.next().and_then(|field| BASE64.decode(field.strip_prefix("c=")?).ok());
    let binding = binding.ok_or_else(|| malformed("it has no channel binding"))?;
    let nonce = fields
        .next()
        .and_then(|field| field.strip_prefix("r="))
        .ok_or_else(|| malformed("it has no nonce"))?;
    Ok(ClientFinal { binding, nonce, proof, without_proof })
}

pub(super) fn write_client_final_without_proof(binding: &[u8], nonce: &str) -> String {
    format!("c={},r={nonce}", BASE64.encode(binding))
}

pub(super) fn write_client_final(without_proof: &str, proof: &[u8; 32]) -> String {
    format!("{without_proof},p={}", BASE64.encode(proof))
}

/// The channel binding of the last message: the header of the first one, and the value.
pub(super) fn binding(flag: BindingFlag, value: &[u8]) -> Vec<u8> {
    let value = if flag == BindingFlag::Bound { value } else { &[] };
    [flag.header().as_bytes(), value].concat()
}

/// Reads the server's signature in its last message.
pub(super) fn read_server_final(text: &str) -> Result<[u8; 32], Refusal> {
    let signature = text.strip_prefix("v=").and_then(|text| BASE64.decode(text.split(',').next()?).ok());
    let signature = signature.and_then(|signature| signature.try_into().ok());
    signature.ok_or(Refusal::Malformed { token: "READY", problem: "it has no signature of 32 bytes" })
}

pub(super) fn write_server_final(signature: &[u8; 32]) -> String {
    format!("v={}", BASE64.encode(signature))
}

/// A token that carries a message.
pub(super) fn token(name: &'static str, message: &str, claims: Option<&Claims>) -> Token {
    let length = u32::try_from(message.len()).expect("these messages are shorter than 4 GiB");
    let mut body = length.to_be_bytes().to_vec();
    body.extend_from_slice(message.as_bytes());
    if let Some(claims) = claims {
        properties::encode(claims, &mut body);
    }
    Token::new(name, body)
}

/// The message in a token's body, and what follows it.
pub(super) fn split_body(mut body: Bytes, token: &'static str) -> Result<(String, Bytes), Refusal> {
    let malformed = |problem| Refusal::Malformed { token, problem };
    if body.len() < 4 {
        return Err(malformed("the length of its message is cut off"));
    }
    let length = usize::try_from(body.get_u32()).unwrap_or(usize::MAX);
    if body.len() < length {
        return Err(malformed("its message is cut off"));
    }
    let message = body.split_to(length);
    let message = std::str::from_utf8(&message).map_err(|_| malformed("its message is not UTF-8"))?;
    Ok((message.to_owned(), body))
}

/// Nonces are printable ASCII without the comma (RFC 5802 Section 7).
fn is_nonce(text: &str) -> bool {
    (1..=LONGEST_NONCE).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

fn escape(user: &str) -> String {
    user.replace('=', "=3D").replace(',', "=2C")
}

fn unescape(text: &str) -> Option<String> {
    let mut user = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        user.push_str(before);
        user.push(match after.get(..2)? {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        rest = &after[2..];
    }
    user.push_str(rest);
    is_user(&user).then_some(user)
}

/// Whether a user's name has a length that is taken.
pub(super) fn is_user(name: &str) -> bool {
    (1..=LONGEST_USER).contains(&name.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn user_names_with_commas_and_equals_signs_are_escaped() {
        let bare = write_client_first_bare("a,b=c", "x");
        assert_eq!(bare, "n=a=2Cb=3Dc,r=x");
        assert_eq!(read_client_first(&format!("n,,{bare}")).unwrap().user, "a,b=c");
        for bad in
            ["n,,n=a=,r=x", "n,,n=a=2,r=x", "n,,n=a=2c,r=x", "n,,n=,r=x", "n,,n=a", "n,,r=x,n=a", "", "n,"]
        {
            assert!(read_client_first(bad).is_err(), "{bad}");
        }
        for bad in
            ["n,a=other,n=a,r=x", "p=tls-unique,,n=a,r=x", "n,,n=a,r=", "n,,n=a,r=\u{e9}", "m,,n=a,r=x"]
        {
            assert!(read_client_first(bad).is_err(), "{bad}");
        }
        assert!(read_client_first(&format!("n,,n={},r=x", "a".repeat(64 << 10))).is_err());
    }

    #[test]
    fn a_servers_nonce_must_go_on_from_the_clients() {
        assert!(read_server_first("r=abcd,s=AAAA,i=4096", "abc").is_ok());
        for bad in
            ["r=abc,s=AAAA,i=4096", "r=xabcd,s=AAAA,i=4096", "r=abcd,s=,i=4096", "r=abcd,s=AAAA,i=4294967296"]
        {
            assert!(read_server_first(bad, "abc").is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~]{0,40}|[npyrcvsi=,]{0,30}") {
            let _ = read_client_first(&text);
            let _ = read_server_first(&text, "r");
            let _ = read_client_final(&text);
            let _ = read_server_final(&text);
            let _ = split_body(Bytes::from(text), "HELLO");
        }
    }
}
