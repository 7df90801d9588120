//! Whether the certificates, keys and revocation lists of files and folders are fit for use.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::certificate::Certificate;
use crate::directory::{ISSUED, KEY};
use crate::error::Error;
use crate::pem::PemFile;
use crate::revocation::RevocationList;
use crate::temporary;
use crate::validity::{display_days, display_minute};

/// How to check.
#[derive(Clone, Debug)]
pub struct CheckConfig {
    /// Warn of what expires within so many days. Default: 30.
    pub within_days: u32,
    /// Authorities that chains may end at, beside those that are found. Default: none.
    pub authorities: Vec<Certificate>,
    /// What time it is. Default: now.
    pub now: SystemTime,
}

impl Default for CheckConfig {
    fn default() -> CheckConfig {
        CheckConfig { within_days: 30, authorities: Vec::new(), now: SystemTime::now() }
    }
}

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works, but will not for long, or not everywhere.
    Warning,
    /// It does not work, or is not safe.
    Critical,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong, and what to do.
    pub problem: String,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many files were checked.
    pub files: usize,
    /// The problems, file by file.
    pub findings: Vec<Finding>,
    /// The certificate or revocation list that expires first, and when.
    pub first_to_expire: Option<(PathBuf, SystemTime)>,
}

impl Report {
    /// How bad the worst problem is; `None` if there is none.
    pub fn severity(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}

/// Checks files, and every `.pem`, `.key`, `.crt`, `.csr` and `.crl` file in folders: that each private key is its certificate's
/// and can be read by nobody else, that each chain ends at an authority that is here, and that nothing is expired, revoked
/// or damaged; and that nothing was left by a process that was killed. An authority's records of what it issued are left out.
///
/// # Errors
///
/// When there is nothing to check, or a folder cannot be read.
pub fn check(paths: &[PathBuf], config: &CheckConfig) -> Result<Report, Error> {
    let mut found = Found::default();
    for path in paths {
        found.collect(path, true, 0)?;
    }
    let Found { files, left_over } = found;
    if files.is_empty() && left_over.is_empty() {
        let problem = "there is nothing to check: no file that ends in .pem, .key, .crt, .csr or .crl";
        return Err(Error::Config(problem.into()));
    }
    let files = files.into_iter().map(Checked::read).collect::<Result<Vec<_>, _>>()?;
    let mut report = judge(&files, config);
    for path in left_over {
        let shown = path.display();
        let left = "a certgen that was killed left it, and there may be a private key in it";
        let problem = match (temporary::is_whole(&path), path.is_dir()) {
            (true, _) => format!("{left}: run that certgen again, which puts what is in it into its place"),
            (false, true) => format!("{left}: rm -r {shown}"),
            (false, false) => format!("{left}: rm {shown}"),
        };
        report.findings.push(Finding { severity: Severity::Warning, problem, path });
    }
    Ok(report)
}

/// A file as it was found; what is decided about it needs no file system any more.
struct Checked {
    path: PathBuf,
    mode: u32,
    folder_mode: u32,
    content: Result<PemFile, String>,
}

impl Checked {
    fn read(path: PathBuf) -> Result<Checked, Error> {
        let mode_of = |path: &Path| {
            fs::metadata(path).map(|metadata| metadata.mode()).map_err(|error| Error::io("read", path, error))
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let content = match PemFile::read(&path) {
            Err(Error::File { source, .. }) => Err(source.to_string()),
            Err(error) => return Err(error),
            Ok(content) => Ok(content),
        };
        Ok(Checked { mode: mode_of(&path)?, folder_mode: mode_of(folder)?, path, content })
    }
}

/// What there is to check.
#[derive(Default)]
struct Found {
    files: Vec<PathBuf>,
    /// What is here by accident.
    left_over: Vec<PathBuf>,
}

impl Found {
    fn collect(&mut self, path: &Path, is_named: bool, depth: usize) -> Result<(), Error> {
        let failed = |error| Error::io("read", path, error);
        if !path.is_dir() {
            let kinds = ["pem", "key", "crt", "csr", "crl"];
            let has_kind = path.extension().is_some_and(|end| kinds.iter().any(|kind| end == *kind));
            // A folder may have been named twice, or within another one.
            let same =
                |file: &PathBuf| file == path || fs::canonicalize(file).ok() == fs::canonicalize(path).ok();
            let is_new = !self.files.iter().chain(&self.left_over).any(same);
            if is_new && temporary::is_left_over(path) {
                self.left_over.push(path.to_owned());
            } else if is_new && (is_named || has_kind) {
                self.files.push(path.to_owned());
            }
            return Ok(());
        }
        if temporary::is_temporary(path) {
            // Somebody may be at work on it; what is in it will be looked at in its place.
            self.left_over.extend(temporary::is_left_over(path).then(|| path.to_owned()));
            return Ok(());
        }
        if depth > DEEPEST || (!is_named && path.is_symlink()) {
            return Ok(());
        }
        let mut entries = fs::read_dir(path)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>())
            .map_err(failed)?;
        entries.sort();
        let is_authority = path.join(KEY).exists();
        for entry in entries {
            if !(is_authority && entry.ends_with(ISSUED)) {
                self.collect(&entry, false, depth + 1)?;
            }
        }
        Ok(())
    }
}

fn judge(files: &[Checked], config: &CheckConfig) -> Report {
    let contents = || files.iter().filter_map(|file| file.content.as_ref().ok());
    let mut known = Known { authorities: Vec::new(), lists: Vec::new() };
    let found = contents().flat_map(|content| &content.certificates).filter(|found| found.is_authority());
    known.authorities.extend(found.chain(&config.authorities));
    known.lists.extend(contents().flat_map(|content| &content.revocation_lists));

    let mut report = Report { files: files.len(), findings: Vec::new(), first_to_expire: None };
    for file in files {
        let mut judged = Judged { path: &file.path, config, report: &mut report };
        match &file.content {
            Err(problem) => judged.critical(problem.clone()),
            Ok(content) => {
                judged.keys(file, content, files);
                for certificate in &content.certificates {
                    judged.certificate(certificate, &known);
                }
                for list in &content.revocation_lists {
                    judged.list(list, &known);
                }
            }
        }
    }
    report
}

/// What chains and revocations are checked against.
struct Known<'a> {
    authorities: Vec<&'a Certificate>,
    lists: Vec<&'a RevocationList>,
}

/// The file that is being judged.
struct Judged<'a> {
    path: &'a Path,
    config: &'a CheckConfig,
    report: &'a mut Report,
}

impl Judged<'_> {
    /// Each key is that of the first certificate of its file, or of a file of the same name that has no key of its own, and
    /// only its owner's.
    fn keys(&mut self, file: &Checked, content: &PemFile, files: &[Checked]) {
        if content.keys.is_empty() {
            return;
        }
        let shown = file.path.display();
        if file.mode & 0o077 != 0 {
            let mode = file.mode & 0o7777;
            self.critical(format!(
                "others can read or change its private key (mode {mode:04o}): chmod 600 {shown}"
            ));
        }
        if file.path.ends_with(KEY) && file.folder_mode & 0o077 != 0 {
            let folder = file.path.parent().unwrap_or(Path::new(".")).display();
            let mode = file.folder_mode & 0o7777;
            self.critical(format!(
                "others can look into its authority's folder (mode {mode:04o}): chmod 700 {folder}"
            ));
        }
        let sibling = |other: &&Checked| {
            other.path != file.path && other.path.with_extension("") == file.path.with_extension("")
        };
        let beside = files.iter().filter(sibling).filter_map(|other| other.content.as_ref().ok());
        let beside = beside.filter(|other| other.keys.is_empty());
        let first =
            content.certificates.first().or_else(|| beside.flat_map(|other| &other.certificates).next());
        let is_its = |certificate: &Certificate| {
            content.keys.iter().any(|key| key.public_key() == certificate.public_key())
        };
        if first.is_some_and(|certificate| !is_its(certificate)) {
            self.critical("its private key is not its certificate's".into());
        }
    }

    fn certificate(&mut self, certificate: &Certificate, known: &Known<'_>) {
        let whose = certificate.subject();
        self.time(
            &format!("the certificate of {whose}"),
            certificate.not_before(),
            certificate.not_after(),
            None,
        );
        let by_name: Vec<_> = known
            .authorities
            .iter()
            .filter(|authority| authority.subject_der() == certificate.issuer_der())
            .collect();
        let signer = by_name.iter().find(|authority| certificate.is_issued_by(authority).is_ok());
        match signer {
            Some(authority) => {
                if authority.not_after() < certificate.not_after() {
                    let until = display_minute(authority.not_after());
                    self.warning(format!("the certificate of {whose} outlives its authority, which ends {until}"));
                }
                self.revocation(certificate, authority, known);
            }
            None if certificate.is_self_issued() && certificate.is_issued_by(certificate).is_ok() => {}
            None if by_name.is_empty() && self.config.authorities.is_empty() => {
                // Nobody said what it should end at; that is for whoever trusts it.
            }
            None if by_name.is_empty() => {
                self.critical(format!("the certificate of {whose} was issued by {}, not by --ca", certificate.issuer()));
            }
            None => self.critical(format!(
                "the certificate of {whose} says that {} issued it, but is not signed with that key: a broken chain",
                certificate.issuer()
            )),
        }
    }

    fn revocation(&mut self, certificate: &Certificate, authority: &Certificate, known: &Known<'_>) {
        let signed = known.lists.iter().filter(|list| list.is_issued_by(authority).is_ok());
        if let Some(revoked) = signed.filter_map(|list| list.find(certificate.serial())).next() {
            let since = display_minute(revoked.since);
            let problem = format!("the certificate of {} is revoked since {since}", certificate.subject());
            self.critical(format!("{problem} ({})", revoked.reason));
        }
    }

    fn list(&mut self, list: &RevocationList, known: &Known<'_>) {
        let what = format!("the revocation list of {}", list.issuer());
        // Lists live for weeks: warning of each for its whole life would tell nothing.
        let life = list.next_update().duration_since(list.this_update()).unwrap_or_default();
        self.time(&what, list.this_update(), list.next_update(), Some(life / 4));
        let by_name = known.authorities.iter().filter(|authority| authority.subject() == list.issuer());
        let verdicts: Vec<_> = by_name.map(|authority| list.is_issued_by(authority)).collect();
        if !verdicts.is_empty() && verdicts.iter().all(Result::is_err) {
            self.critical(format!("{what} is not signed with the key of that authority"));
        }
    }

    fn time(&mut self, what: &str, from: SystemTime, until: SystemTime, most: Option<Duration>) {
        let now = self.config.now;
        let within = Duration::from_secs(u64::from(self.config.within_days) * 24 * 60 * 60);
        let within = most.map_or(within, |most| most.min(within));
        let first = self.report.first_to_expire.as_ref();
        if first.is_none_or(|(_, first)| until < *first) {
            self.report.first_to_expire = Some((self.path.to_owned(), until));
        }
        if from > now {
            self.critical(format!("{what} is not valid before {}", display_minute(from)));
        } else if until < now {
            let past = display_days(now.duration_since(until).unwrap_or_default());
            self.critical(format!("{what} expired {past} ago, {}", display_minute(until)));
        } else if let Ok(left) = until.duration_since(now)
            && left < within
        {
            self.warning(format!("{what} expires in {}, {}", display_days(left), display_minute(until)));
        }
    }

    fn warning(&mut self, problem: String) {
        self.add(Severity::Warning, problem);
    }

    fn critical(&mut self, problem: String) {
        self.add(Severity::Critical, problem);
    }

    fn add(&mut self, severity: Severity, problem: String) {
        self.report.findings.push(Finding { severity, path: self.path.to_owned(), problem });
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        })
    }
}

/// Folders within folders that are looked into.
const DEEPEST: usize = 8;
