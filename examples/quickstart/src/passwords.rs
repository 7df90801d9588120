//! The file of users and passwords: lines `user:password`, readable by its owner alone.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use transport::core::mechanism::scram::ScramClient;
use transport::core::mechanism::{Passwords, PlainClient, PlainServer};
use zeroize::Zeroizing;

use crate::problem::Problem;

/// The server's side of PLAIN: it knows all users of the file.
pub(crate) fn server(path: &Path) -> Result<PlainServer, Problem> {
    let text = read(path)?;
    let passwords = users(&text, path)?
        .into_iter()
        .fold(Passwords::new(), |known, (user, password)| known.with_user(user, password));
    Ok(PlainServer::new(passwords))
}

/// The client's side of PLAIN: it is the first user of the file.
pub(crate) fn client(path: &Path) -> Result<PlainClient, Problem> {
    let text = read(path)?;
    let (user, password) = users(&text, path)?[0];
    Ok(PlainClient::new(user, password)?)
}

/// The client's side of SCRAM: it is the first user of the file.
pub(crate) fn scram_client(path: &Path) -> Result<ScramClient, Problem> {
    let text = read(path)?;
    let (user, password) = users(&text, path)?[0];
    Ok(ScramClient::new(user, password)?)
}

fn read(path: &Path) -> Result<Zeroizing<String>, Problem> {
    let shown = path.display();
    let cannot_read = |error| format!("cannot read the password file {shown}: {error}");
    let file = File::open(path).map_err(cannot_read)?;
    // Of the open file, not of the path: that could be another file by now.
    let metadata = file.metadata().map_err(cannot_read)?;
    let me = rustix::process::geteuid().as_raw();
    if metadata.uid() != me && metadata.uid() != 0 {
        return Err(format!(
            "the password file {shown} belongs to uid {}, who can change it: it must be yours (uid {me}) or root's",
            metadata.uid()
        )
        .into());
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!(
            "other users can reach the password file {shown} (mode {mode:04o}); run: chmod 600 {}",
            for_shell(path)
        )
        .into());
    }
    // Room for all of it at once: a growing string leaves copies behind that nobody wipes.
    let mut text = Zeroizing::new(String::with_capacity(LARGEST + 1));
    let length = file.take(LARGEST as u64 + 1).read_to_string(&mut text).map_err(cannot_read)?;
    if length > LARGEST {
        return Err(format!("the password file {shown} has more than {LARGEST} bytes").into());
    }
    Ok(text)
}

/// The users and passwords, at least one; none longer than PLAIN can carry.
fn users<'a>(text: &'a str, path: &Path) -> Result<Vec<(&'a str, &'a str)>, Problem> {
    let mut users: Vec<(&str, &str)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        // The line itself is not shown: it may be a password.
        let error = |problem| format!("line {number} of the password file {} {problem}", path.display());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (user, password) = line.split_once(':').ok_or_else(|| error("is not user:password"))?;
        if user.is_empty() || password.is_empty() {
            return Err(error("has an empty user or password").into());
        }
        if user.len() > PLAIN_LONGEST || password.len() > PLAIN_LONGEST {
            return Err(error("has a user or password of more than 255 bytes").into());
        }
        if users.iter().any(|(known, _)| *known == user) {
            return Err(error("names a user for the second time").into());
        }
        users.push((user, password));
    }
    if users.is_empty() {
        return Err(format!("the password file {} has no line user:password", path.display()).into());
    }
    Ok(users)
}

/// The path as a shell takes it.
fn for_shell(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

const LARGEST: usize = 64 << 10;
const PLAIN_LONGEST: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(&str, &str)>, String> {
        users(text, Path::new("p")).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_password_may_have_colons_and_spaces() {
        let text = "# team\nalice:a:b c \n\nbob:x\r\n";
        assert_eq!(parse(text), Ok(vec![("alice", "a:b c "), ("bob", "x")]));
    }

    #[test]
    fn a_bad_line_is_named_but_not_shown() {
        for (text, problem) in [
            ("secret", "line 1 of the password file p is not user:password"),
            ("a:b\n:secret", "line 2 of the password file p has an empty user or password"),
            ("a:b\na:secret", "line 2 of the password file p names a user for the second time"),
            ("# nothing\n", "the password file p has no line user:password"),
        ] {
            assert_eq!(parse(text), Err(problem.to_owned()));
        }
        assert!(parse(&format!("a:{}", "x".repeat(256))).unwrap_err().contains("255"));
    }

    #[test]
    fn a_path_is_quoted_where_the_shell_needs_it() {
        assert_eq!(for_shell(Path::new("/run/a-b.txt")), "/run/a-b.txt");
        assert_eq!(for_shell(Path::new("it's; rm")), r"'it'\''s; rm'");
    }
}
