//! Whom a listener lets in, as rustls asks it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::ServerConfig;
use transport_core::Policy;

use crate::config::TlsConfig;
use crate::error::NotSetUp;
use crate::generation::Generation;

/// The policy of one listener, and the settings that ask it in the middle of a handshake: one for each generation in use,
/// since the function that looks at a client's hello may choose another transport's.
pub(crate) struct Admission {
    policy: Policy,
    servers: Mutex<Vec<(Weak<Generation>, Arc<ServerConfig>)>>,
}

impl Admission {
    pub(crate) fn new(policy: Policy) -> Admission {
        Admission { policy, servers: Mutex::default() }
    }

    pub(crate) fn server(
        &self,
        config: &TlsConfig,
        generation: &Arc<Generation>,
    ) -> Result<Arc<ServerConfig>, NotSetUp> {
        // Held for a look, and once in a generation for making the settings.
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let of_this = |(made_for, _): &&(Weak<Generation>, _)| made_for.as_ptr() == Arc::as_ptr(generation);
        if let Some((_, server)) = servers.iter().find(of_this) {
            return Ok(Arc::clone(server));
        }
        let server = generation.server_for(config, &self.policy)?;
        servers.retain(|(made_for, _)| made_for.strong_count() > 0);
        servers.push((Arc::downgrade(generation), Arc::clone(&server)));
        Ok(server)
    }
}
