//! What the command line takes.

use std::path::PathBuf;

use certgen::{Algorithm, Error, LeafConfig, Profile, RevocationReason, SerialNumber, Validity};
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use clap::{Args, Parser, Subcommand};

/// Make certificates and keys for TLS and CMS, and a small certificate authority.
///
/// With file names and no command, each file gets a new private key and a self-signed certificate (key, empty line,
/// certificate; mode 0600), as make-dummy-cert does. A word that looks like a misspelled command is refused: for a file of
/// that name write ./WORD.
#[derive(Debug, Parser)]
#[command(
    name = "certgen",
    version,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    override_usage = "certgen [OPTIONS] FILE...\n       certgen <COMMAND> ...",
    after_help = EXAMPLES,
    disable_help_subcommand = true,
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) plain: PlainOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make all that mutual TLS takes: an authority, a server certificate, client certificates.
    Mtls(MtlsOptions),
    /// Make a certificate authority.
    Ca(CaOptions),
    /// Issue a key and a certificate that an authority signs.
    Leaf(LeafOptions),
    /// Make a private key and a certificate signing request (CSR) for it.
    Csr(CsrOptions),
    /// Sign a certificate signing request (CSR) with an authority.
    Sign(SignOptions),
    /// Make a certificate anew, with the same names, before it expires.
    Renew(RenewOptions),
    /// Revoke certificates, and sign the authority's revocation list (CRL).
    Revoke(RevokeOptions),
    /// Sign the revocation list (CRL) anew, before its next update is due.
    Crl(CrlOptions),
    /// Print what is in PEM files: names, expiry, fingerprint, pin.
    Show(ShowOptions),
    /// Check files and folders for monitoring: keys, chains, expiry, revocation, file modes.
    Check(CheckOptions),
    /// Make an identity of the cables network: its authority, its signing certificate, its user name.
    Cables(CablesOptions),
    /// Print the man page, or write the man pages of all commands into a folder.
    Man(ManOptions),
    /// Print completions for a shell.
    Completions(CompletionsOptions),
}

#[derive(Args, Debug)]
pub(crate) struct PlainOptions {
    /// The files to make, each with a key and a self-signed certificate of its own.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// A name for the certificate: host name, IP address, URI or mail address; may be repeated.
    ///
    /// [default: localhost, 127.0.0.1, ::1 and the host name]
    #[arg(long = "name", short = 'n', value_name = "NAME")]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) kind: KindOptions,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Args, Debug)]
#[command(after_help = MTLS_EXAMPLES)]
pub(crate) struct MtlsOptions {
    /// The folder to make; it must not exist, or be empty.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Names of the server, all in its one certificate.
    ///
    /// [default: localhost, 127.0.0.1, ::1 and the host name]
    #[arg(long = "server", value_name = "NAME", num_args = 1..)]
    pub(crate) server: Vec<String>,
    /// Names of clients: each gets a certificate of its own, in NAME.pem.
    #[arg(long = "client", value_name = "NAME", num_args = 1.., default_value = "client")]
    pub(crate) clients: Vec<String>,
    /// The kind of all keys.
    #[arg(long, short, value_name = "ALGORITHM", default_value = "p256", value_parser = algorithms())]
    pub(crate) algorithm: Algorithm,
    /// For how many days the certificates are valid; the authority is for 10 years.
    #[arg(long, value_name = "DAYS", default_value_t = 397)]
    pub(crate) days: u32,
    /// Print nothing when all goes well.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
#[command(after_help = CA_EXAMPLES)]
pub(crate) struct CaOptions {
    /// The folder to make; it must not exist, or be empty.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// The name of the authority, for people. [default: certgen CA and eight random digits]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The kind of its key.
    #[arg(long, short, value_name = "ALGORITHM", default_value = "p256", value_parser = algorithms())]
    pub(crate) algorithm: Algorithm,
    /// For how many days it can issue certificates. [default: 3653, which is 10 years; cables: 18300]
    #[arg(long, value_name = "DAYS")]
    pub(crate) days: Option<u32>,
    /// `cables` for an authority of the cables network.
    #[arg(long, value_name = "PROFILE", value_parser = ["cables"])]
    pub(crate) profile: Option<String>,
    /// Print nothing when all goes well.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
#[command(after_help = LEAF_EXAMPLES)]
pub(crate) struct LeafOptions {
    /// The authority's folder.
    #[arg(long = "ca", value_name = "DIR")]
    pub(crate) authority: PathBuf,
    /// Names for the certificate: host names, IP addresses, URIs, mail addresses.
    ///
    /// [default for server, peer and flumotion: localhost, 127.0.0.1, ::1 and the host name]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// The file to make: key, empty line, certificate. [default: the first name and .pem]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write the key to this file, and only the certificate to the other one.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) kind: KindOptions,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Args, Debug)]
#[command(after_help = CSR_EXAMPLES)]
pub(crate) struct CsrOptions {
    /// Names to ask for. [default for server, peer and flumotion: localhost, 127.0.0.1, ::1 and the host name]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// The request to make. [default: the first name and .csr]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// The private key to make. [default: as the request, with .key]
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    pub(crate) key_out: Option<PathBuf>,
    /// Use the private key in this file instead of making one.
    #[arg(long, value_name = "FILE", conflicts_with = "algorithm")]
    pub(crate) key: Option<PathBuf>,
    /// What to ask for: the extended key usage of the request.
    #[arg(long, short, value_name = "PROFILE", default_value = "peer", value_parser = profiles())]
    pub(crate) profile: Profile,
    /// The kind of the key. [default: p256; flumotion: rsa2048]
    #[arg(long, short, value_name = "ALGORITHM", value_parser = algorithms())]
    pub(crate) algorithm: Option<Algorithm>,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Args, Debug)]
#[command(after_help = SIGN_EXAMPLES)]
pub(crate) struct SignOptions {
    /// The authority's folder.
    #[arg(long = "ca", value_name = "DIR")]
    pub(crate) authority: PathBuf,
    /// The request.
    #[arg(value_name = "FILE.csr")]
    pub(crate) request: PathBuf,
    /// The certificate to make. [default: as the request, with .pem]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// A name to certify instead of those that the request asks for; may be repeated.
    #[arg(long = "name", short = 'n', value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// What the certificate is for. [default: as the request asks, else peer]
    #[arg(long, short, value_name = "PROFILE", value_parser = profiles())]
    pub(crate) profile: Option<Profile>,
    /// For how many days it is valid.
    #[arg(long, value_name = "DAYS", default_value_t = 397)]
    pub(crate) days: u32,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Args, Debug)]
#[command(after_help = RENEW_EXAMPLES)]
pub(crate) struct RenewOptions {
    /// The files to renew: each is replaced, and keeps its owner, group and mode.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The folder of the authority that issued them; not for self-signed ones.
    #[arg(long = "ca", value_name = "DIR")]
    pub(crate) authority: Option<PathBuf>,
    /// Keep the private key, for peers that are pinned to it. A file without one keeps its key in any case.
    #[arg(long)]
    pub(crate) keep_key: bool,
    /// For how many days they are valid. [default: as many as before]
    #[arg(long, value_name = "DAYS")]
    pub(crate) days: Option<u32>,
    /// What they are for. [default: what they were for]
    #[arg(long, short, value_name = "PROFILE", value_parser = profiles())]
    pub(crate) profile: Option<Profile>,
    /// Print nothing when all goes well.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
#[command(after_help = REVOKE_EXAMPLES)]
pub(crate) struct RevokeOptions {
    /// The authority's folder; the list is its crl.pem.
    #[arg(long = "ca", value_name = "DIR")]
    pub(crate) authority: PathBuf,
    /// The certificates to revoke.
    #[arg(value_name = "FILE", required_unless_present = "serials")]
    pub(crate) files: Vec<PathBuf>,
    /// Revoke the certificate with this serial number, of which there is a copy in DIR/issued; may be repeated.
    #[arg(long = "serial", value_name = "HEX")]
    pub(crate) serials: Vec<SerialNumber>,
    /// Why.
    #[arg(long, value_name = "REASON", default_value = "unspecified", value_parser = reasons())]
    pub(crate) reason: RevocationReason,
    /// In how many days the next update of the list is due: after that, peers that enforce it refuse everybody.
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub(crate) days: u32,
    /// Print nothing when all goes well.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
#[command(after_help = CRL_EXAMPLES)]
pub(crate) struct CrlOptions {
    /// The authority's folder; the list is its crl.pem, which is made if there is none.
    #[arg(long = "ca", value_name = "DIR")]
    pub(crate) authority: PathBuf,
    /// In how many days the next update of the list is due: after that, peers that enforce it refuse everybody.
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub(crate) days: u32,
    /// Print nothing when all goes well.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
#[command(after_help = CHECK_HELP)]
pub(crate) struct CheckOptions {
    /// The files and folders to check; of folders, every .pem, .key, .crt, .csr and .crl file in them.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Authorities that chains may end at, beside those in PATH.
    #[arg(long = "ca", value_name = "FILE")]
    pub(crate) authorities: Vec<PathBuf>,
    /// Warn of what expires within so many days.
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub(crate) within: u32,
}

#[derive(Args, Debug)]
#[command(after_help = CABLES_EXAMPLES)]
pub(crate) struct CablesOptions {
    /// The folder to make; it must not exist, or be empty.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// The kind of its keys. [default: p256; --classic: rsa8192]
    #[arg(long, short, value_name = "ALGORITHM", value_parser = algorithms())]
    pub(crate) algorithm: Option<Algorithm>,
    /// As the original program makes them: one key for both certificates, RSA with 8192 bits.
    #[arg(long)]
    pub(crate) classic: bool,
    /// Print nothing when all goes well.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
#[command(after_help = MAN_EXAMPLES)]
pub(crate) struct ManOptions {
    /// Write the pages of all commands into this folder, which has to exist.
    #[arg(long = "dir", value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(crate) struct CompletionsOptions {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
#[command(after_help = SHOW_EXAMPLES)]
pub(crate) struct ShowOptions {
    /// The files to look into.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// As JSON, for programs.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What certificate is made.
#[derive(Args, Debug)]
pub(crate) struct KindOptions {
    /// What the certificate is for: it decides key usage and extended key usage.
    #[arg(long, short, value_name = "PROFILE", default_value = "peer", value_parser = profiles())]
    pub(crate) profile: Profile,
    /// The kind of the key. [default: p256; flumotion: rsa2048]
    #[arg(long, short, value_name = "ALGORITHM", value_parser = algorithms())]
    pub(crate) algorithm: Option<Algorithm>,
    /// For how many days it is valid.
    #[arg(long, value_name = "DAYS", default_value_t = 397)]
    pub(crate) days: u32,
}

impl KindOptions {
    /// The configuration for these names.
    pub(crate) fn config(&self, names: &[String]) -> Result<LeafConfig, Error> {
        let config = match names {
            [] => LeafConfig::for_profile(self.profile)?,
            names => LeafConfig::new(names)?.with_profile(self.profile),
        };
        let config = LeafConfig { algorithm: self.algorithm, ..config };
        Ok(config.with_validity(Validity::Days(self.days)))
    }
}

#[derive(Args, Debug)]
pub(crate) struct OutputOptions {
    /// Replace files that exist.
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Print nothing when all goes well.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

fn algorithms() -> impl clap::builder::TypedValueParser<Value = Algorithm> {
    PossibleValuesParser::new(Algorithm::ALL.map(Algorithm::name)).try_map(|name| name.parse::<Algorithm>())
}

fn reasons() -> impl clap::builder::TypedValueParser<Value = RevocationReason> {
    PossibleValuesParser::new(RevocationReason::ALL.map(RevocationReason::name))
        .try_map(|name| name.parse::<RevocationReason>())
}

fn profiles() -> impl clap::builder::TypedValueParser<Value = Profile> {
    PossibleValuesParser::new(Profile::ALL.map(Profile::name)).try_map(|name| name.parse::<Profile>())
}

const EXAMPLES: &str = "\
Examples:
  certgen server.pem                          a self-signed certificate for this host
  certgen mtls tls --client alice bob         everything for mutual TLS, in the folder tls
  certgen ca ca                               a certificate authority in the folder ca
  certgen leaf --ca ca www.example.org        a certificate that it signs, in www.example.org.pem
  certgen show server.pem                     what is in a file
  certgen check --within 14 tls               for monitoring: 0 ok, 1 warning, 2 critical, 3 unknown";

const MTLS_EXAMPLES: &str = "\
Makes DIR/ca (the authority; keep it apart), DIR/ca.pem (its certificate, for both sides), DIR/server.pem and
DIR/NAME.pem for each client (key and certificate, mode 0600).

Examples:
  certgen mtls tls
  certgen mtls tls --server db.example.org 10.0.0.5 --client alice bob";

const CA_EXAMPLES: &str = "\
Makes DIR (mode 0700) with ca.pem (the certificate, for every peer), ca.key (the private key, mode 0400) and issued/
(a copy of each certificate that it will issue).

Examples:
  certgen ca ca --name 'Example CA'
  certgen ca ca --algorithm p384 --days 730";

const LEAF_EXAMPLES: &str = "\
Examples:
  certgen leaf --ca ca www.example.org --profile server
  certgen leaf --ca ca spiffe://example.org/worker --out worker.pem
  certgen leaf --ca ca alice@example.org --profile cms --out alice.pem
  certgen leaf --ca ca db.example.org --key-out db.key --out db.pem";

const CSR_EXAMPLES: &str = "\
Examples:
  certgen csr www.example.org --profile server         makes www.example.org.csr and www.example.org.key
  certgen csr db.example.org --key db.key --out db.csr";

const SIGN_EXAMPLES: &str = "\
Of the request only the key is taken as it is; the names that it asks for are printed, and --name replaces them.

Examples:
  certgen sign --ca ca www.example.org.csr             makes www.example.org.pem
  certgen sign --ca ca stranger.csr --name alice --profile client";

const RENEW_EXAMPLES: &str = "\
The certificate gets a new serial number, a new time and, unless --keep-key is given, a new key. The old one stays valid
until it expires: revoke it if its key is lost. Whatever else is in the file stays as it is. Of several files, those before
one that cannot be replaced are renewed.

Examples:
  certgen renew server.pem                             a self-signed one
  certgen renew --ca tls/ca tls/server.pem tls/alice.pem";

const REVOKE_EXAMPLES: &str = "\
Examples:
  certgen revoke --ca tls/ca tls/alice.pem --reason keyCompromise
  certgen revoke --ca tls/ca --serial 0F3A...          with the file gone";

const CRL_EXAMPLES: &str = "\
Examples:
  certgen crl --ca tls/ca                              from cron, well before the next update is due
  certgen crl --ca tls/ca --days 7";

const SHOW_EXAMPLES: &str = "\
Examples:
  certgen show server.pem
  certgen show --json tls/*.pem";

const CHECK_HELP: &str = "\
Exit codes, as monitoring plugins have them:
  0  OK
  1  WARNING: something expires within --within days, or outlives its authority; a file of a certgen that was killed
  2  CRITICAL: expired or not yet valid; a key that is not its certificate's; a broken chain; revoked; a revocation list
     whose next update is overdue; a private key that others can read; a file that is damaged
  3  UNKNOWN: nothing to check, or it cannot be read

Examples:
  certgen check tls
  certgen check --within 14 --ca ca.pem /etc/app/server.pem";

const CABLES_EXAMPLES: &str = "\
Makes certs/ca.pem, certs/verify.pem and certs/username, and the keys private/root.pem and private/sign.pem.

Examples:
  certgen cables alice
  certgen cables alice --classic";

const MAN_EXAMPLES: &str = "\
Examples:
  certgen man | man -l -
  certgen man --dir ~/.local/share/man/man1";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  certgen completions bash > ~/.local/share/bash-completion/completions/certgen
  certgen completions zsh > ~/.zfunc/_certgen";
