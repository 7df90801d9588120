//! How a target is named to a proxy.

use std::net::{IpAddr, Ipv6Addr};

use super::error::ProxyError;

/// The host and port that a proxy shall connect to: a name is for the proxy to resolve.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) host: Host,
    pub(super) port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Ip(IpAddr),
    /// 1 to 255 bytes of ASCII without blanks and control characters.
    Name(String),
}

impl Target {
    pub(super) fn new(host: &str, port: u16) -> Result<Target, ProxyError> {
        let problem = |problem| ProxyError::Target { host: host.to_owned(), problem };
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(Target { host: Host::Ip(ip), port });
        }
        if host.split_once('%').is_some_and(|(ip, _)| ip.parse::<Ipv6Addr>().is_ok()) {
            return Err(problem("a zone means something on this host only"));
        }
        if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')) {
            return Err(problem("write an international name as xn--..."));
        }
        if host.is_empty() || host.len() > 255 {
            return Err(problem("a name has 1 to 255 bytes"));
        }
        Ok(Target { host: Host::Name(host.to_owned()), port })
    }
}

/// As HTTP writes it (RFC 3986, section 3.2).
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            Host::Ip(ip) => write!(f, "{ip}:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_a_proxy_cannot_be_told_is_refused() {
        for host in ["fe80::1%eth0", "gr\u{fc}n.example", "a b", "a\r\nb", "", &"a".repeat(256)] {
            assert!(matches!(Target::new(host, 80), Err(ProxyError::Target { .. })), "{host:?}");
        }
    }

    #[test]
    fn targets_are_written_as_in_a_url() {
        let print = |host| Target::new(host, 80).unwrap().to_string();
        assert_eq!(print("::1"), "[::1]:80");
        assert_eq!(print("192.0.2.1"), "192.0.2.1:80");
        assert_eq!(print("a-b.example"), "a-b.example:80");
    }
}
