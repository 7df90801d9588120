//! What the command line takes.

use std::path::PathBuf;

use certgen::{Algorithm, Error, LeafConfig, Profile, Validity};
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use clap::{Args, Parser, Subcommand};

/// Make certificates and keys for TLS and CMS, and a small certificate authority.
///
/// With file names and no command, each file gets a new private key and a self-signed certificate (key, empty line,
/// certificate; mode 0600), as make-dummy-cert does.
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
    /// Print what is in a PEM file: names, expiry, fingerprint, pin.
    Show(ShowOptions),
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

fn profiles() -> impl clap::builder::TypedValueParser<Value = Profile> {
    PossibleValuesParser::new(Profile::ALL.map(Profile::name)).try_map(|name| name.parse::<Profile>())
}

const EXAMPLES: &str = "\
Examples:
  certgen server.pem                          a self-signed certificate for this host
  certgen mtls tls --client alice bob         everything for mutual TLS, in the folder tls
  certgen ca ca                               a certificate authority in the folder ca
  certgen leaf --ca ca www.example.org        a certificate that it signs, in www.example.org.pem
  certgen show server.pem                     what is in a file";

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
