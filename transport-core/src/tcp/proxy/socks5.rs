//! SOCKS5 (RFC 1928) with user and password (RFC 1929): the connecting side, without I/O.
//!
//! ```text
//! this side                                   proxy
//! 05 n methods                 -->
//!                              <--            05 method         00 none, 02 user and password, FF neither
//! 01 ulen user plen password   -->                              (with 02 only)
//!                              <--            01 status         00 welcome
//! 05 01 00 atyp host port      -->
//!                              <--            05 reply 00 atyp host port
//!
//! atyp host = 01 and 4 bytes | 03, a length and a name | 04 and 16 bytes         port = 2 bytes, big-endian
//! ```

use std::net::IpAddr;

use zeroize::Zeroizing;

use super::Credentials;
use super::error::{ProxyAnswer, ProxyError};
use super::handshake::Handshake;
use super::target::{Host, Target};

pub(super) struct Socks5<'a> {
    target: Target,
    credentials: Option<&'a Credentials>,
    /// What the proxy is to send next.
    expects: Expects,
    /// What came of it so far: at most 262 bytes.
    input: Vec<u8>,
}

enum Expects {
    Method,
    Status,
    Reply,
    Nothing,
}

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const PASSWORD: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xff;

impl<'a> Socks5<'a> {
    pub(super) fn new(target: Target, credentials: Option<&'a Credentials>) -> Socks5<'a> {
        Socks5 { target, credentials, expects: Expects::Method, input: Vec::new() }
    }

    /// How long the message is that began to come, as far as its first bytes tell.
    fn length(&self) -> usize {
        match self.expects {
            Expects::Method | Expects::Status => 2,
            // Version, reply, reserved, type, then host and port.
            Expects::Reply => match *self.input.as_slice() {
                // A refusal is complete with its code: some proxies close right behind it.
                [_, code, ..] if code != 0 => 2,
                [_, _, _, 1, ..] => 4 + 4 + 2,
                [_, _, _, 3, length, ..] => 4 + 1 + usize::from(length) + 2,
                [_, _, _, 4, ..] => 4 + 16 + 2,
                // A byte of the host, whatever its type is.
                _ => 5,
            },
            Expects::Nothing => 0,
        }
    }

    fn message(&mut self, out: &mut Zeroizing<Vec<u8>>) -> Result<(), ProxyError> {
        match self.expects {
            Expects::Method => self.method(out),
            Expects::Status => self.status(out),
            Expects::Reply => self.reply(),
            Expects::Nothing => Ok(()),
        }
    }

    fn method(&mut self, out: &mut Zeroizing<Vec<u8>>) -> Result<(), ProxyError> {
        self.check(0, VERSION, "its first byte is not 5")?;
        match (self.input[1], self.credentials) {
            (NO_AUTHENTICATION, _) => self.request(out),
            (PASSWORD, Some(credentials)) => {
                out.push(1);
                for field in [credentials.user.as_bytes(), credentials.password.as_bytes()] {
                    let length =
                        u8::try_from(field.len()).expect("checked when the proxy's address was read");
                    out.push(length);
                    out.extend_from_slice(field);
                }
                self.expects = Expects::Status;
            }
            (NONE_ACCEPTABLE, None) => {
                return Err(ProxyError::Credentials("it wants a user and a password"));
            }
            (NONE_ACCEPTABLE, Some(_)) => {
                return Err(ProxyError::Credentials("it wants neither a password nor nothing"));
            }
            _ => return Err(self.violation("it chose a method that was not offered")),
        }
        Ok(())
    }

    fn status(&mut self, out: &mut Zeroizing<Vec<u8>>) -> Result<(), ProxyError> {
        self.check(0, 1, "its answer to the password does not start with 1")?;
        if self.input[1] != 0 {
            return Err(ProxyError::Credentials("it refused the user or the password"));
        }
        self.request(out);
        Ok(())
    }

    fn request(&mut self, out: &mut Zeroizing<Vec<u8>>) {
        const CONNECT: u8 = 1;
        out.extend_from_slice(&[VERSION, CONNECT, 0]);
        match &self.target.host {
            Host::Ip(IpAddr::V4(ip)) => {
                out.push(1);
                out.extend_from_slice(&ip.octets());
            }
            Host::Name(name) => {
                let length = u8::try_from(name.len()).expect("a target's name has at most 255 bytes");
                out.extend_from_slice(&[3, length]);
                out.extend_from_slice(name.as_bytes());
            }
            Host::Ip(IpAddr::V6(ip)) => {
                out.push(4);
                out.extend_from_slice(&ip.octets());
            }
        }
        out.extend_from_slice(&self.target.port.to_be_bytes());
        self.expects = Expects::Reply;
    }

    fn reply(&mut self) -> Result<(), ProxyError> {
        self.check(0, VERSION, "its reply does not start with 5")?;
        let code = self.input[1];
        if code != 0 {
            return Err(ProxyError::Refused(ProxyAnswer::new(code.into(), explain(code))));
        }
        if !matches!(self.input[3], 1 | 3 | 4) {
            return Err(self.violation("its reply has an address of no known type"));
        }
        self.expects = Expects::Nothing;
        Ok(())
    }

    fn check(&self, at: usize, expected: u8, problem: &'static str) -> Result<(), ProxyError> {
        if self.input[at] == expected { Ok(()) } else { Err(self.violation(problem)) }
    }

    fn violation(&self, problem: &str) -> ProxyError {
        ProxyError::Protocol { protocol: "SOCKS5", problem: problem.to_owned() }
    }
}

impl Handshake for Socks5<'_> {
    fn start(&mut self, out: &mut Zeroizing<Vec<u8>>) {
        match self.credentials {
            None => out.extend_from_slice(&[VERSION, 1, NO_AUTHENTICATION]),
            Some(_) => out.extend_from_slice(&[VERSION, 2, NO_AUTHENTICATION, PASSWORD]),
        }
    }

    fn receive(&mut self, bytes: &[u8], out: &mut Zeroizing<Vec<u8>>) -> Result<usize, ProxyError> {
        for (i, byte) in bytes.iter().enumerate() {
            if self.is_done() {
                return Ok(i);
            }
            self.input.push(*byte);
            if self.input.len() == self.length() {
                self.message(out)?;
                self.input.clear();
            }
        }
        Ok(bytes.len())
    }

    fn is_done(&self) -> bool {
        matches!(self.expects, Expects::Nothing)
    }
}

/// RFC 1928, section 6.
fn explain(reply: u8) -> &'static str {
    match reply {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "time to live expired",
        7 => "it cannot connect",
        8 => "it cannot reach addresses of this type",
        _ => "unknown reply",
    }
}

#[cfg(test)]
mod tests {
    use super::super::Proxy;
    use super::super::handshake::scripted;
    use super::*;

    const NAME: &[u8] = b"\x05\x01\x00\x03\x07example\x1f\x90";

    fn run(proxy: &str, host: &str, script: &[u8]) -> (Vec<u8>, Result<usize, ProxyError>) {
        let proxy: Proxy = proxy.parse().unwrap();
        let target = Target::new(host, 8080).unwrap();
        scripted(|| Socks5::new(target.clone(), proxy.credentials()), script)
    }

    #[test]
    fn a_name_goes_to_the_proxy_unresolved() {
        let script = b"\x05\x00\x05\x00\x00\x01\x01\x02\x03\x04\x00\x50";
        let (sent, used) = run("socks5://p:1", "example", script);
        assert_eq!(sent, [b"\x05\x01\x00", NAME].concat());
        assert_eq!(used.unwrap(), script.len());
    }

    #[test]
    fn addresses_go_as_addresses() {
        let sent = |host| run("socks5://p:1", host, b"\x05\x00\x05\x00\x00\x01\0\0\0\0\0\0").0;
        assert_eq!(sent("192.0.2.1"), b"\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x1f\x90");
        let six = sent("2001:db8::1");
        assert_eq!(six[..11], *b"\x05\x01\x00\x05\x01\x00\x04\x20\x01\x0d\xb8");
        assert_eq!(six.len(), 3 + 4 + 16 + 2);
    }

    #[test]
    fn user_and_password_go_only_to_a_proxy_that_asks() {
        let reply = b"\x05\x00\x00\x01\0\0\0\0\0\0";
        let asks = [&b"\x05\x02\x01\x00"[..], reply].concat();
        let (sent, used) = run("socks5://us%3Aer:pass@p:1", "example", &asks);
        assert!(used.is_ok());
        assert_eq!(sent, [b"\x05\x02\x00\x02\x01\x05us:er\x04pass", NAME].concat());
        let (sent, _) = run("socks5://user:pass@p:1", "example", &[&b"\x05\x00"[..], reply].concat());
        assert_eq!(sent, [b"\x05\x02\x00\x02", NAME].concat());
    }

    #[test]
    fn what_follows_the_reply_is_left_for_the_connection() {
        for bound in [&b"\x01\x01\x02\x03\x04"[..], b"\x03\x02ab", b"\x03\x00", &[4; 17]] {
            let script = [b"\x05\x00\x05\x00\x00", bound, b"\x00\x50", b"greeting"].concat();
            let (_, used) = run("socks5://p:1", "example", &script);
            assert_eq!(script.len() - used.unwrap(), b"greeting".len(), "{bound:?}");
        }
    }

    #[test]
    fn refusals_say_why() {
        for (code, words) in
            [(2, "not allowed by its rules"), (5, "connection refused"), (99, "unknown reply")]
        {
            let (_, error) = run("socks5://p:1", "example", &[5, 0, 5, code]);
            let error = error.unwrap_err();
            assert_eq!(error.to_string(), format!("it answered: {code} {words}"));
        }
    }

    #[test]
    fn what_is_no_proxy_or_lets_nobody_in_is_told_apart() {
        let error = |proxy, script| run(proxy, "example", script).1.unwrap_err();
        for script in [
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            b"\x05\x01",
            b"\x05\x02",
            b"\x05\x00\x04\x00\x00\x01\0\0\0\0\0\0",
            b"\x05\x00\x05\x00\x00\x09\x00",
        ] {
            let error = error("socks5://p:1", script);
            assert!(matches!(error, ProxyError::Protocol { .. }), "{script:?}: {error}");
        }
        for (proxy, script) in [
            ("socks5://p:1", &b"\x05\xff"[..]),
            ("socks5://u:p@p:1", b"\x05\xff"),
            ("socks5://u:p@p:1", b"\x05\x02\x01\x01"),
        ] {
            assert!(matches!(error(proxy, script), ProxyError::Credentials(_)), "{script:?}");
        }
        assert!(matches!(error("socks5://p:1", b"\x05\x00\x05\x00"), ProxyError::Closed));
    }
}
