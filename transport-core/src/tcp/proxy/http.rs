//! HTTP CONNECT (RFC 9110, section 9.3.6) with Basic authentication (RFC 7617): the connecting side, without I/O.
//!
//! ```text
//! CONNECT example:5555 HTTP/1.1                      HTTP/1.1 200 Connection established
//! Host: example:5555                          -->    Via: a proxy
//! Proxy-Authorization: Basic dXNlcjpwYXNz     <--
//!                                                    ... from here on the target's bytes
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use super::Credentials;
use super::error::{ProxyAnswer, ProxyError};
use super::handshake::Handshake;
use super::target::Target;

pub(super) struct HttpConnect<'a> {
    target: Target,
    credentials: Option<&'a Credentials>,
    /// The bytes that came, of all answers together.
    received: usize,
    /// The line that is coming.
    line: Vec<u8>,
    /// Of the answer whose header fields are coming.
    status: Option<ProxyAnswer>,
    done: bool,
}

/// A proxy's answers may have so many bytes of header.
const MOST_HEADER: usize = 8 << 10;

impl<'a> HttpConnect<'a> {
    pub(super) fn new(target: Target, credentials: Option<&'a Credentials>) -> HttpConnect<'a> {
        HttpConnect { target, credentials, received: 0, line: Vec::new(), status: None, done: false }
    }

    /// A line has come, without its end.
    fn line(&mut self) -> Result<(), ProxyError> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        match self.status.take() {
            None => self.status = Some(status(line)?),
            // Fields say nothing that matters here, not even the length of a body: a tunnel has none.
            Some(status) if !line.is_empty() => self.status = Some(status),
            Some(status) => match status.code() {
                // An interim answer: the final one follows.
                100..=199 => {}
                200..=299 => self.done = true,
                407 => {
                    return Err(ProxyError::Credentials(
                        "it wants a user and a password, or others than these",
                    ));
                }
                _ => return Err(ProxyError::Refused(status)),
            },
        }
        Ok(())
    }
}

impl Handshake for HttpConnect<'_> {
    fn start(&mut self, out: &mut Zeroizing<Vec<u8>>) {
        let target = &self.target;
        out.extend_from_slice(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").as_bytes());
        if let Some(Credentials { user, password }) = self.credentials {
            let both = Zeroizing::new(format!("{user}:{}", password.as_str()));
            let encoded = Zeroizing::new(BASE64.encode(&*both));
            out.extend_from_slice(b"Proxy-Authorization: Basic ");
            out.extend_from_slice(encoded.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }

    fn receive(&mut self, bytes: &[u8], _out: &mut Zeroizing<Vec<u8>>) -> Result<usize, ProxyError> {
        for (i, byte) in bytes.iter().enumerate() {
            if self.done {
                return Ok(i);
            }
            self.received += 1;
            if self.received > MOST_HEADER {
                return Err(violation(format!("its header has more than {MOST_HEADER} bytes")));
            }
            match byte {
                b'\n' => self.line()?,
                byte => self.line.push(*byte),
            }
        }
        Ok(bytes.len())
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

/// `HTTP/1.1 200 Connection established` (RFC 9112, section 4).
fn status(line: &[u8]) -> Result<ProxyAnswer, ProxyError> {
    let not_http = || violation(format!("it began with {}", line[..line.len().min(20)].escape_ascii()));
    let rest = line.strip_prefix(b"HTTP/1.").ok_or_else(not_http)?;
    let [version, b' ', code @ ..] = rest else { return Err(not_http()) };
    let (digits, reason) = code.split_at_checked(3).ok_or_else(not_http)?;
    let ends = matches!(reason, [] | [b' ', ..]);
    if !version.is_ascii_digit() || !digits.iter().all(u8::is_ascii_digit) || !ends {
        return Err(not_http());
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    Ok(ProxyAnswer::new(code, String::from_utf8_lossy(reason).trim_start()))
}

fn violation(problem: String) -> ProxyError {
    ProxyError::Protocol { protocol: "HTTP", problem }
}

#[cfg(test)]
mod tests {
    use super::super::Proxy;
    use super::super::handshake::scripted;
    use super::*;

    fn run(proxy: &str, host: &str, script: &[u8]) -> (String, Result<usize, ProxyError>) {
        let proxy: Proxy = proxy.parse().unwrap();
        let target = Target::new(host, 8080).unwrap();
        let (sent, result) = scripted(|| HttpConnect::new(target.clone(), proxy.credentials()), script);
        (String::from_utf8(sent).unwrap(), result)
    }

    const OK: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

    #[test]
    fn the_request_names_the_target_and_carries_the_password_only_if_there_is_one() {
        assert_eq!(
            run("http://p:1", "example", OK).0,
            "CONNECT example:8080 HTTP/1.1\r\nHost: example:8080\r\n\r\n"
        );
        // The example of RFC 7617, section 2.
        assert_eq!(
            run("http://Aladdin:open%20sesame@p:1", "2001:db8::1", OK).0,
            "CONNECT [2001:db8::1]:8080 HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\
             Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
        );
    }

    #[test]
    fn what_follows_the_header_is_left_for_the_connection() {
        for header in [
            OK,
            b"HTTP/1.0 200\r\n\r\n",
            b"HTTP/1.1 204 No\nA: b\n\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        ] {
            let (_, used) = run("http://p:1", "example", &[header, b"\r\n\r\nbytes of the target"].concat());
            assert_eq!(used.unwrap(), header.len(), "{}", header.escape_ascii());
        }
    }

    #[test]
    fn refusals_say_why_in_words_that_cannot_forge_a_log_line() {
        let error = |script| run("http://p:1", "example", script).1.unwrap_err();
        let refused = error(b"HTTP/1.1 403 No\x1b[2Jway\r\n\r\n");
        assert_eq!(refused.to_string(), "it answered: 403 No\\u{1b}[2Jway");
        assert!(matches!(error(b"HTTP/1.1 407 Who?\r\n\r\n"), ProxyError::Credentials(_)));
        assert!(matches!(error(b"HTTP/1.1 407 Who?\r\n"), ProxyError::Closed));
        let long = [b"HTTP/1.1 502 ", &[b'x'; 4000][..], b"\r\n\r\n"].concat();
        assert!(error(&long).to_string().len() < 200);
    }

    #[test]
    fn what_is_no_http_proxy_is_refused() {
        for script in [
            &b"\xff\0\0\0\0\0\0\0\x01\x7f\n"[..],
            b"SSH-2.0-OpenSSH\r\n",
            b"\r\n\r\n",
            b"HTTP/2 200\r\n",
            b"HTTP/1.1 2000 OK\r\n",
            b"HTTP/1.1 20\r\n",
            b"HTTP/1.x 200\r\n",
        ] {
            let error = run("http://p:1", "example", script).1.unwrap_err();
            assert!(matches!(error, ProxyError::Protocol { .. }), "{}: {error}", script.escape_ascii());
        }
    }

    #[test]
    fn a_header_without_end_is_refused() {
        let long = [b"HTTP/1.1 200 OK\r\nA: ", &[b'a'; MOST_HEADER][..]].concat();
        let many = [b"HTTP/1.1 200 OK\r\n", &b"A: b\r\n".repeat(2000)[..]].concat();
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
        for script in [long, many, interim] {
            let error = run("http://p:1", "example", &script).1.unwrap_err();
            assert!(error.to_string().contains("more than 8192 bytes"), "{error}");
        }
    }
}
