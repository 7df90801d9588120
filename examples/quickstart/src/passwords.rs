//! The file of users and passwords: lines `user:password`, readable by its owner alone.

use std::path::Path;

use transport::core::mechanism::scram::ScramClient;
use transport::core::mechanism::{Passwords, PlainClient, PlainServer};
use transport::core::secret_file::SecretFile;
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
pub(crate) fn scram_client(path: &Path, over_tls: bool) -> Result<ScramClient, Problem> {
    let text = read(path)?;
    let (user, password) = users(&text, path)?[0];
    // Over TLS the login is bound to the stream.
    Ok(if over_tls { ScramClient::plus(user, password)? } else { ScramClient::new(user, password)? })
}

fn read(path: &Path) -> Result<Zeroizing<String>, Problem> {
    Ok(SecretFile::new(path).with_most_bytes(LARGEST).read_text()?)
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
}
