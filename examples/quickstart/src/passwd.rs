//! `passwd`: sets or removes a user in a password file.

use std::io::{self, BufRead as _, IsTerminal as _};

use transport::core::mechanism::scram::{PasswordFile, Verifier};
use zeroize::Zeroizing;

use crate::cli::PasswdOptions;
use crate::problem::Problem;

pub(crate) fn run(options: &PasswdOptions) -> Result<(), Problem> {
    if options.delete {
        return Ok(PasswordFile::set(&options.file, &options.user, None)?);
    }
    let password = if io::stdin().is_terminal() { ask(&options.user)? } else { read_line()? };
    let verifier = Verifier::new(&password, options.iterations)?;
    Ok(PasswordFile::set(&options.file, &options.user, Some(&verifier))?)
}

/// Asks twice on the terminal, without showing what is typed.
fn ask(user: &str) -> Result<Zeroizing<String>, Problem> {
    let password = Zeroizing::new(rpassword::prompt_password(format!("Password for {user}: "))?);
    let again = Zeroizing::new(rpassword::prompt_password("Again: ")?);
    if password == again { Ok(password) } else { Err("the two are not the same: nothing was changed".into()) }
}

/// For scripts: the first line of stdin.
fn read_line() -> Result<Zeroizing<String>, Problem> {
    let mut line = Zeroizing::new(String::new());
    io::stdin().lock().read_line(&mut line)?;
    let length = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(length);
    Ok(line)
}
