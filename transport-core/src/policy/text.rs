//! Rules as text: how programs take them on the command line, and how policies show in messages.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::Policy;
use super::rule::{OVERFLOW_ID, Rule};
use crate::identity::Printable;

/// Why a text is not a rule of a [`Policy`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a rule: {problem}")]
pub struct PolicyError {
    text: String,
    problem: &'static str,
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Policy, PolicyError> {
        let error = |problem| PolicyError { text: text.chars().take(200).collect(), problem };
        match text {
            "anyone" => return Ok(Policy::danger_anyone()),
            "process" => return Ok(Policy::same_process()),
            "certified" => return Ok(Policy::certified()),
            _ => {}
        }
        let (kind, value) = text.split_once(':').ok_or_else(|| error(FORMS))?;
        if value.is_empty() {
            return Err(error("nothing follows the colon"));
        }
        let number = || -> Result<u32, PolicyError> {
            match value.parse() {
                Ok(OVERFLOW_ID) => {
                    Err(error("65534 is what the kernel shows for unknown users: it never matches"))
                }
                Ok(number) if value.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
                _ => Err(error("the id must be a number")),
            }
        };
        match kind {
            "uid" => Ok(Policy::uid(number()?)),
            "gid" => Ok(Policy::gid(number()?)),
            "user" => Ok(Policy::user(value)),
            "dns" => Ok(Policy::san_dns(value)),
            "uri" => Ok(Policy::san_uri(value)),
            "issuer" => Ok(Policy::issuer(value)),
            "pin" => {
                let pin = value.strip_prefix("sha256:").and_then(|pin| BASE64.decode(pin).ok());
                let pin = pin.and_then(|pin| pin.try_into().ok());
                pin.map(Policy::spki_pin).ok_or_else(|| error("a pin is sha256: and 32 bytes in base64"))
            }
            "curve" => {
                let key = from_hex(value).and_then(|key| key.try_into().ok());
                key.map(Policy::curve_key).ok_or_else(|| error("a curve key is 64 hex digits"))
            }
            _ => Err(error(FORMS)),
        }
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let digits = text.bytes().map(digit).collect::<Option<Vec<u8>>>()?;
    (digits.len() % 2 == 0).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |f: &mut fmt::Formatter<'_>, policies: &[Policy], word: &str| {
            policies.iter().enumerate().try_for_each(|(i, policy)| {
                let word = if i == 0 { "" } else { word };
                let nested = matches!(*policy.rule, Rule::Any(_) | Rule::All(_));
                if nested { write!(f, "{word}({policy})") } else { write!(f, "{word}{policy}") }
            })
        };
        match &*self.rule {
            Rule::Nobody => f.write_str("nobody"),
            Rule::Anyone => f.write_str("anyone"),
            Rule::SameProcess => f.write_str("process"),
            Rule::Certified => f.write_str("certified"),
            Rule::Uid(uid) => write!(f, "uid:{uid}"),
            Rule::Gid(gid) => write!(f, "gid:{gid}"),
            Rule::User(user) => write!(f, "user:{}", Printable(user)),
            Rule::Dns(glob) => write!(f, "dns:{}", Printable(glob.as_str())),
            Rule::Uri(glob) => write!(f, "uri:{}", Printable(glob.as_str())),
            Rule::Pin(pin) => write!(f, "pin:sha256:{}", BASE64.encode(pin)),
            Rule::Issuer(issuer) => write!(f, "issuer:{}", Printable(issuer)),
            Rule::CurveKey(key) => write!(f, "curve:{}", crate::identity::Hex(key)),
            Rule::Other { kind, name } => write!(f, "{}:{}", Printable(kind), Printable(name)),
            Rule::Custom { name, .. } => Printable(name).fmt(f),
            Rule::Any(policies) => join(f, policies, " or "),
            Rule::All(policies) => join(f, policies, " and "),
        }
    }
}

const FORMS: &str = "the forms are anyone, process, certified, uid:N, gid:N, user:NAME, dns:GLOB, uri:GLOB, pin:sha256:BASE64, \
                     curve:HEX and issuer:NAME";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_rules_say_what_is_wrong() {
        for rule in [
            "",
            "x",
            "uid:",
            "uid:-1",
            "uid:+1",
            "uid:a",
            "pin:sha256:00",
            "pin:md5:",
            "curve:zz",
            "nobody:x",
        ] {
            assert!(rule.parse::<Policy>().is_err(), "{rule:?}");
        }
    }

    #[test]
    fn rules_print_as_they_are_parsed() {
        let pin = format!("pin:sha256:{}", BASE64.encode([1; 32]));
        let curve = format!("curve:{}", "0f".repeat(32));
        for rule in [
            "anyone",
            "process",
            "certified",
            "uid:1",
            "gid:2",
            "user:a b",
            "dns:*.x",
            "uri:spiffe://x/**",
            &pin,
            &curve,
        ] {
            assert_eq!(rule.parse::<Policy>().unwrap().to_string(), rule);
        }
    }
}
