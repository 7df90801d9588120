//! The certificates of the subjects that speak TLS: an authority, a server and a client, made once in a process.

use std::sync::OnceLock;

use certgen::{AuthorityConfig, CertificateAuthority, LeafConfig, Profile};
use serde::{Deserialize, Serialize};

use crate::job::{IN_FLIGHT, Result};

/// PEM of each; servers and clients with key and certificate in one.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Certificates {
    pub(crate) authority: String,
    pub(crate) server: String,
    pub(crate) client: String,
}

/// The name that clients ask for.
pub(crate) const NAME: &str = "server.bench.test";

/// Which name a client asks for in its handshake of this number, so that it is a full one or resumes a session; the
/// server's certificate is for all of them.
///
/// A session is resumed once, and brings another one; rustls keeps eight for each name. With four names there is one for every
/// handshake of those that are under way at the same time.
pub(crate) fn name_for(number: u64, resumed: bool) -> String {
    let name = if resumed { number % 4 } else { number };
    format!("n{name}.bench.test")
}

/// So many handshakes bring enough sessions.
pub(crate) const WARM_UP: u64 = 4 * IN_FLIGHT as u64;

/// Those of this process, the same every time.
pub(crate) fn certificates() -> Result<&'static Certificates> {
    static MADE: OnceLock<std::result::Result<Certificates, String>> = OnceLock::new();
    let made = MADE.get_or_init(|| make().map_err(|error| error.to_string()));
    made.as_ref().map_err(|error| error.clone().into())
}

fn make() -> Result<Certificates> {
    let authority = CertificateAuthority::new(&AuthorityConfig::default())?;
    let leaf = |name, profile| Ok::<_, certgen::Error>(LeafConfig::new([name])?.with_profile(profile));
    Ok(Certificates {
        authority: authority.certificate().pem(),
        server: authority.issue(&leaf("*.bench.test", Profile::Server)?)?.combined_pem().to_string(),
        client: authority.issue(&leaf("alice", Profile::Client)?)?.combined_pem().to_string(),
    })
}
