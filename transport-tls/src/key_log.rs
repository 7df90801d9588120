//! The log of secrets that `danger_key_log` asks for, in the format of NSS.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

pub(crate) struct KeyLogFile {
    file: File,
}

impl KeyLogFile {
    /// Opens a file that nobody else can read, or makes it.
    pub(crate) fn open(path: &Path) -> io::Result<KeyLogFile> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let (found, me) = (file.metadata()?, rustix::process::geteuid().as_raw());
        if found.uid() != me {
            return Err(io::Error::other(format!("it belongs to uid {}, who can read it", found.uid())));
        }
        let mode = found.mode() & 0o7777;
        if mode & 0o077 != 0 {
            let command = format!("chmod 600 {}", path.display());
            return Err(io::Error::other(format!(
                "other users can reach it (mode {mode:04o}); run: {command}"
            )));
        }
        Ok(KeyLogFile { file })
    }
}

impl rustls::KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", Hex(client_random), Hex(secret));
        // One write, so that lines of several connections do not mix.
        if let Err(error) = (&self.file).write_all(line.as_bytes()) {
            tracing::warn!(%error, "cannot write the key log");
        }
    }
}

impl fmt::Debug for KeyLogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyLogFile")
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
