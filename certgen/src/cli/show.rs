//! `certgen show`.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use certgen::{Certificate, Name, PemFile, Request, RevocationList, display_days, display_minute};
use serde::Serialize;

use super::Outcome;
use super::arguments::ShowOptions;

/// What `--json` prints for each file.
#[derive(Serialize)]
struct Shown {
    file: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    private_keys: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    certificates: Vec<ShownCertificate>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    requests: Vec<ShownRequest>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    revocation_lists: Vec<ShownList>,
}

#[derive(Serialize)]
struct ShownRequest {
    subject: String,
    names: Vec<String>,
    profile: &'static str,
}

#[derive(Serialize)]
struct ShownCertificate {
    subject: String,
    issuer: String,
    serial: String,
    names: Vec<String>,
    not_before: u64,
    not_after: u64,
    expired: bool,
    authority: bool,
    key: String,
    usages: Vec<&'static str>,
    /// Whether one of the file's private keys is this certificate's; null if the file has none.
    key_matches: Option<bool>,
    fingerprint_sha256: String,
    pin: String,
}

#[derive(Serialize)]
struct ShownList {
    issuer: String,
    number: u64,
    this_update: u64,
    next_update: u64,
    expired: bool,
    revoked: Vec<ShownRevoked>,
}

#[derive(Serialize)]
struct ShownRevoked {
    serial: String,
    since: u64,
    reason: &'static str,
}

pub(crate) fn run(options: &ShowOptions) -> Outcome {
    let mut text = String::new();
    let mut shown = Vec::new();
    for file in &options.files {
        let contents = PemFile::read(file)?;
        if options.json {
            shown.push(describe(file, &contents));
        } else {
            text.push_str(&format(file, &contents));
        }
    }
    if options.json {
        text = serde_json::to_string_pretty(&shown).unwrap_or_default();
        text.push('\n');
    }
    // As with `certgen show | head`: whoever read it has seen enough.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

fn format(file: &Path, contents: &PemFile) -> String {
    let mut lines = vec![format!("{}", file.display())];
    let mut line = |label: &str, value: &str| lines.push(format!("  {label:<13} {value}"));
    for key in &contents.keys {
        line("private key", &format!("{} (not shown)", key.algorithm()));
    }
    for certificate in &contents.certificates {
        line("certificate", certificate.subject());
        for name in certificate.names() {
            line("  name", &name.to_string());
        }
        let issuer = if certificate.is_self_issued() { "itself" } else { certificate.issuer() };
        line("  issued by", issuer);
        line("  serial", &certificate.serial().to_string());
        line("  valid from", &display_minute(certificate.not_before()));
        line("  valid until", &until(certificate.not_after()));
        let role = if certificate.is_authority() { ", a certificate authority" } else { "" };
        line("  key", &format!("{}{role}", certificate.key_kind()));
        line("  usage", &certificate.usages().join(", "));
        if key_matches(contents, certificate) == Some(false) {
            line("  WRONG KEY", "no private key in this file is this certificate's");
        }
        line("  SHA-256", &certificate.fingerprint());
        line("  pin", &certificate.pin());
    }
    for request in &contents.requests {
        line("request", request.subject());
        for name in request.names() {
            line("  asks for", &name.to_string());
        }
        line("  to be a", request.profile().name());
    }
    for list in &contents.revocation_lists {
        line("revoked by", list.issuer());
        line("  number", &list.number().to_string());
        line("  issued", &display_minute(list.this_update()));
        line("  next update", &until(list.next_update()));
        if list.revoked().is_empty() {
            line("  revoked", "nothing");
        }
        for revoked in list.revoked() {
            let since = display_minute(revoked.since);
            line("  revoked", &format!("{} since {since}, {}", revoked.serial, revoked.reason));
        }
    }
    lines.join("\n") + "\n"
}

fn describe(file: &Path, contents: &PemFile) -> Shown {
    Shown {
        file: file.display().to_string(),
        private_keys: contents.keys.iter().map(|key| key.algorithm().to_string()).collect(),
        certificates: contents
            .certificates
            .iter()
            .map(|certificate| describe_one(contents, certificate))
            .collect(),
        requests: contents.requests.iter().map(describe_request).collect(),
        revocation_lists: contents.revocation_lists.iter().map(describe_list).collect(),
    }
}

fn describe_one(contents: &PemFile, certificate: &Certificate) -> ShownCertificate {
    ShownCertificate {
        subject: certificate.subject().to_owned(),
        issuer: certificate.issuer().to_owned(),
        serial: certificate.serial().to_string(),
        names: certificate.names().iter().map(Name::to_string).collect(),
        not_before: seconds(certificate.not_before()),
        not_after: seconds(certificate.not_after()),
        expired: certificate.not_after() < SystemTime::now(),
        authority: certificate.is_authority(),
        key: certificate.key_kind().to_owned(),
        usages: certificate.usages().to_vec(),
        key_matches: key_matches(contents, certificate),
        fingerprint_sha256: certificate.fingerprint(),
        pin: certificate.pin(),
    }
}

fn describe_request(request: &Request) -> ShownRequest {
    ShownRequest {
        subject: request.subject().to_owned(),
        names: request.names().iter().map(Name::to_string).collect(),
        profile: request.profile().name(),
    }
}

fn describe_list(list: &RevocationList) -> ShownList {
    let revoked = list.revoked().iter().map(|revoked| ShownRevoked {
        serial: revoked.serial.to_string(),
        since: seconds(revoked.since),
        reason: revoked.reason.name(),
    });
    ShownList {
        issuer: list.issuer().to_owned(),
        number: list.number(),
        this_update: seconds(list.this_update()),
        next_update: seconds(list.next_update()),
        expired: list.next_update() < SystemTime::now(),
        revoked: revoked.collect(),
    }
}

/// Only the first certificate of a file with a key has to have that key: the others are its chain.
fn key_matches(contents: &PemFile, certificate: &Certificate) -> Option<bool> {
    let is_first = contents.certificates.first() == Some(certificate);
    (is_first && !contents.keys.is_empty())
        .then(|| contents.keys.iter().any(|key| key.public_key() == certificate.public_key()))
}

fn until(time: SystemTime) -> String {
    let now = SystemTime::now();
    let day = display_minute(time);
    match (time.duration_since(now), now.duration_since(time)) {
        (Ok(left), _) => format!("{day} (in {})", display_days(left)),
        (_, Ok(past)) => format!("{day} (EXPIRED {} ago)", display_days(past)),
        _ => day,
    }
}

/// Seconds since 1970.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
