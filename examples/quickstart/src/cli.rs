//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use transport::{Address, Policy};

use crate::certificates::TlsOptions;

/// Authenticated messages over TLS, TCP, Unix sockets and memory: a tour of a few seconds
///
/// Without a command, it starts a server on each transport, connects to it, and shows who each side proved to be, who
/// is refused and why, and how fast it is. It needs no privileges and leaves no file behind.
#[derive(Parser)]
#[command(version, max_term_width = 80, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Print the tour as one JSON document, at its end
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Echo every message back, and log who came and who was refused, one JSON object a line
    Serve(ServeOptions),
    /// Send messages and print the answers, one a line
    Send(SendOptions),
    /// Set a user's password in a password file, or remove the user
    ///
    /// Asks for the password, or reads the first line of stdin where that is no terminal. The file holds what checks a
    /// login, not the password; it is made with mode 0600, and a running `serve` reads it again by itself.
    Passwd(PasswdOptions),
}

#[derive(Args)]
pub(crate) struct PasswdOptions {
    /// The password file
    pub(crate) file: PathBuf,
    /// The user
    pub(crate) user: String,
    /// Remove the user
    #[arg(long)]
    pub(crate) delete: bool,
    /// How often the password is stretched, from 4096 to 10000000: what makes guessing slow
    #[arg(long, value_name = "N", default_value_t = transport::core::mechanism::scram::DEFAULT_ITERATIONS)]
    pub(crate) iterations: u32,
}

#[derive(Args)]
pub(crate) struct ServeOptions {
    /// Where to listen: tls://host:port, tcp://127.0.0.1:5555 (port 0: any), unix:///path or unix:@name
    #[arg(value_parser = address)]
    pub(crate) address: Address,
    /// Who may in; several are several who may. Without any, everyone is refused
    ///
    /// anyone, certified, uid:N, gid:N, user:NAME, dns:GLOB, uri:GLOB or pin:sha256:BASE64
    #[arg(long, value_name = "RULE")]
    pub(crate) allow: Vec<Policy>,
    /// Ask for a user and a password (PLAIN): a file of lines user:password that only its owner can read
    #[arg(long, value_name = "FILE")]
    pub(crate) plain_file: Option<PathBuf>,
    /// Ask for a user and a password (SCRAM-SHA-256): a file that `quickstart passwd` made
    #[arg(long, value_name = "FILE", conflicts_with = "plain_file")]
    pub(crate) password_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tls: TlsOptions,
    /// Do not ask clients for certificates (tls): they have passwords, or are anonymous
    #[arg(long, conflicts_with_all = ["ca", "pin", "crl"])]
    pub(crate) no_client_certs: bool,
    /// Let messages and passwords go where others can read and change them
    #[arg(long)]
    pub(crate) danger_plaintext: bool,
}

#[derive(Args)]
pub(crate) struct SendOptions {
    /// Where to connect to: tls://host:port (?name=NAME if the certificate has another), tcp://host:port, unix:///path or unix:@name
    #[arg(value_parser = address)]
    pub(crate) address: Address,
    /// The messages
    #[arg(required = true, value_name = "TEXT")]
    pub(crate) texts: Vec<String>,
    /// Send all texts as the parts of one message
    #[arg(long)]
    pub(crate) multipart: bool,
    /// Who the server may be, written as for `serve --allow`. Without any: over unix the same
    /// user, over tls the host of the address
    #[arg(long, value_name = "RULE")]
    pub(crate) server: Vec<Policy>,
    /// Log in with the user and the password (PLAIN) in the first line of this file, user:password
    #[arg(long, value_name = "FILE")]
    pub(crate) plain_file: Option<PathBuf>,
    /// Log in with the user and the password in the first line of this file by SCRAM-SHA-256: it is never sent
    #[arg(long, value_name = "FILE", conflicts_with = "plain_file")]
    pub(crate) scram_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tls: TlsOptions,
    /// How long to wait for the connection, and for each answer
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Wait for a server that is away, and come back when it does; a message that may be lost is not sent again
    #[arg(long)]
    pub(crate) retry: bool,
    /// Talk to a ZeroMQ REP socket: put its empty part in front, and take it off the answer
    #[arg(long)]
    pub(crate) req: bool,
    /// Let messages and passwords go where others can read and change them
    #[arg(long)]
    pub(crate) danger_plaintext: bool,
}

/// A policy that allows whom any of the rules allows; without any rule, nobody.
pub(crate) fn any_of(rules: Vec<Policy>) -> Policy {
    rules.into_iter().fold(Policy::nobody(), Policy::or)
}

/// Reads an address that another process can reach.
fn address(text: &str) -> Result<Address, String> {
    let address: Address = text.parse().map_err(|error: transport::core::AddressError| error.to_string())?;
    match address.scheme() {
        "mem" => Err("mem:// is reached only from its own process; write tcp:// or unix:".to_owned()),
        "ipc" => {
            Err("what ZeroMQ calls ipc:///path is unix:///path here, and ipc://@name is unix:@name"
                .to_owned())
        }
        scheme => match transport::transports().lookup(scheme) {
            Ok(_) => Ok(address),
            Err(error) => Err(error.to_string()),
        },
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "it must be a number greater than 0, such as 5 or 0.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn an_address_that_no_other_process_can_reach_says_what_to_write() {
        assert!(address("mem://a").unwrap_err().contains("tcp://"));
        assert!(address("ipc:///run/a").unwrap_err().contains("unix:///path"));
        assert!(address("quic://a:1").unwrap_err().contains("known are"));
        assert!(address("unix:@a").is_ok());
    }

    #[test]
    fn a_timeout_is_a_positive_number_of_seconds() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["", "0", "-1", "NaN", "inf", "5s"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
