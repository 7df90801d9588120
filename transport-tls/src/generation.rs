//! One state of certificate, trust and revocation lists, as rustls uses it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, KeyLog, NoKeyLog, ServerConfig, SupportedProtocolVersion, version};
use transport_core::Policy;

use crate::config::{ClientCertificates, TlsConfig};
use crate::contents::Contents;
use crate::error::{LoadError, NotSetUp};
use crate::handshake_verifier::HandshakeVerifier;
use crate::key_log::KeyLogFile;
use crate::verifier::Verifier;

/// Everything that a handshake needs. It never changes: a reload makes another one, with keys for tickets and stores of
/// sessions of its own, so that no session of the old one is resumed in the new one.
pub(crate) struct Generation {
    pub(crate) server: Result<Arc<ServerConfig>, NotSetUp>,
    pub(crate) client: Result<Arc<ClientConfig>, NotSetUp>,
    /// The client's settings for each of the last policies, the latest one at the end.
    selective: Mutex<Vec<(Policy, Arc<ClientConfig>)>>,
    pub(crate) verifier: Arc<Verifier>,
    contents: Contents,
}

/// So many servers' sessions a client keeps: the library counts eight tickets, of about 2 KiB each, for every server.
const SESSIONS: usize = 32 * 8;

/// With more policies than that in turns, a client resumes fewer sessions.
const MOST_POLICIES: usize = 32;

impl Generation {
    /// Reads all files.
    pub(crate) fn load(config: &TlsConfig) -> Result<Generation, LoadError> {
        let provider = Arc::new(provider());
        let contents = Contents::read(config, &provider)?;
        Generation::new(config, &provider, contents)
    }

    /// Reads all files again: the next generation, if there is anything new. What cannot be used stays as it is in this one; the
    /// errors say why.
    pub(crate) fn load_next(&self, config: &TlsConfig) -> (Option<Generation>, Vec<LoadError>) {
        let provider = Arc::new(provider());
        let (contents, mut failures) = self.contents.read_again(config, &provider);
        if contents.is_like(&self.contents) {
            return (None, failures);
        }
        let next = Generation::new(config, &provider, contents);
        (next.map_err(|error| failures.push(error)).ok(), failures)
    }

    fn new(
        config: &TlsConfig,
        provider: &Arc<CryptoProvider>,
        contents: Contents,
    ) -> Result<Generation, LoadError> {
        let verifier = Arc::new(Verifier::new(
            &config.trust,
            contents.anchors(),
            contents.lists(),
            provider.signature_verification_algorithms,
        ));
        let own = contents.own().map(|own| Arc::clone(&own.certified));
        let key_log = key_log(config)?;
        let server = match &own {
            None => Err(NotSetUp::Certificate),
            Some(_)
                if config.client_certificates != ClientCertificates::NotAsked && config.trust.is_nobody() =>
            {
                Err(NotSetUp::ClientTrust)
            }
            Some(own) => {
                let clients = HandshakeVerifier::new(Arc::clone(&verifier), config.client_certificates);
                Ok(server(config, provider, clients, Arc::clone(own) as _, &key_log)?)
            }
        };
        let client = match config.trust.is_nobody() {
            true => Err(NotSetUp::Trust),
            false => Ok(client(config, provider, &verifier, own, &key_log)?),
        };
        Ok(Generation { server, client, selective: Mutex::default(), verifier, contents })
    }

    /// The end of the own certificate's validity.
    pub(crate) fn own_not_after(&self) -> Option<SystemTime> {
        self.contents.own().map(|own| own.not_after)
    }

    /// The server's settings for a listener that lets in these only: with a key for tickets of its own, since a resumed session
    /// brings no certificate that could be refused in the handshake.
    pub(crate) fn server_for(
        &self,
        config: &TlsConfig,
        policy: &Policy,
    ) -> Result<Arc<ServerConfig>, NotSetUp> {
        let all = self.server.as_ref().map_err(|missing| *missing)?;
        let clients = HandshakeVerifier::new(Arc::clone(&self.verifier), config.client_certificates);
        let (clients, own) = (clients.with_policy(policy.clone()), Arc::clone(&all.cert_resolver));
        let server = server(config, all.crypto_provider(), clients, own, &all.key_log);
        Ok(server.expect("the settings have been used before, and random numbers do not run out"))
    }

    /// The client's settings for servers whom this policy allows: the same ones for equal policies, since rustls resumes only
    /// sessions that were made with the same verifier. So none is resumed with a server whom another policy has allowed.
    pub(crate) fn client_for(&self, policy: &Policy) -> Result<Arc<ClientConfig>, NotSetUp> {
        let all = self.client.as_ref().map_err(|missing| *missing)?;
        // Held for a look and the making of settings, which copies a few pointers.
        let mut selective = self.selective.lock().unwrap_or_else(PoisonError::into_inner);
        let known = selective.iter().position(|(made_for, _)| made_for == policy);
        let latest = match known {
            Some(at) => selective.remove(at),
            None => {
                let servers =
                    HandshakeVerifier::new(Arc::clone(&self.verifier), ClientCertificates::NotAsked);
                let mut client = ClientConfig::clone(all);
                let servers = servers.with_policy(policy.clone());
                client.dangerous().set_certificate_verifier(Arc::new(servers));
                (policy.clone(), Arc::new(client))
            }
        };
        let client = Arc::clone(&latest.1);
        if selective.len() >= MOST_POLICIES {
            selective.remove(0);
        }
        selective.push(latest);
        Ok(client)
    }
}

/// AES-128 first: it is the fastest where the processor knows AES, and strong enough. The hybrid post-quantum key exchange
/// first: rustls then offers its X25519 part alone too, so that a peer without it needs no second round trip.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            #[cfg(feature = "tls12")]
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            #[cfg(feature = "tls12")]
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            #[cfg(feature = "tls12")]
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            #[cfg(feature = "tls12")]
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            #[cfg(feature = "tls12")]
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            #[cfg(feature = "tls12")]
            cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        ..aws_lc_rs::default_provider()
    }
}

/// Spelled out, since a feature of the library that another crate switches on must not add TLS 1.2 here.
fn versions(config: &TlsConfig) -> Vec<&'static SupportedProtocolVersion> {
    #[cfg(feature = "tls12")]
    if config.tls12 {
        return vec![&version::TLS13, &version::TLS12];
    }
    let _only_with_the_feature = config.tls12;
    vec![&version::TLS13]
}

fn server(
    config: &TlsConfig,
    provider: &Arc<CryptoProvider>,
    clients: HandshakeVerifier,
    own: Arc<dyn ResolvesServerCert>,
    key_log: &Arc<dyn KeyLog>,
) -> Result<Arc<ServerConfig>, LoadError> {
    let mut server = ServerConfig::builder_with_details(Arc::clone(provider), Arc::new(config.clock.clone()))
        .with_protocol_versions(&versions(config))
        .map_err(settings)?
        .with_client_cert_verifier(Arc::new(clients))
        .with_cert_resolver(own);
    server.alpn_protocols = config.protocols.clone();
    // Sessions travel in encrypted tickets; the server stores nothing. Each handshake brings one, for one resumption.
    server.ticketer = aws_lc_rs::Ticketer::new().map_err(settings)?;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 1;
    server.max_early_data_size = 0;
    #[cfg(feature = "tls12")]
    {
        // A session of TLS 1.2 without it could be spliced onto another one (RFC 7627).
        server.require_ems = true;
    }
    server.key_log = Arc::clone(key_log);
    Ok(Arc::new(server))
}

fn client(
    config: &TlsConfig,
    provider: &Arc<CryptoProvider>,
    verifier: &Arc<Verifier>,
    own: Option<Arc<SingleCertAndKey>>,
    key_log: &Arc<dyn KeyLog>,
) -> Result<Arc<ClientConfig>, LoadError> {
    let servers = HandshakeVerifier::new(Arc::clone(verifier), ClientCertificates::NotAsked);
    let builder = ClientConfig::builder_with_details(Arc::clone(provider), Arc::new(config.clock.clone()))
        .with_protocol_versions(&versions(config))
        .map_err(settings)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(servers));
    let mut client = match own {
        Some(own) => builder.with_client_cert_resolver(own),
        None => builder.with_no_client_auth(),
    };
    client.alpn_protocols = config.protocols.clone();
    client.resumption = Resumption::in_memory_sessions(SESSIONS);
    client.enable_early_data = false;
    #[cfg(feature = "tls12")]
    {
        client.require_ems = true;
    }
    client.key_log = Arc::clone(key_log);
    Ok(Arc::new(client))
}

fn key_log(config: &TlsConfig) -> Result<Arc<dyn KeyLog>, LoadError> {
    let Some(path) = &config.key_log else { return Ok(Arc::new(NoKeyLog {})) };
    let file = KeyLogFile::open(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    Ok(Arc::new(file))
}

fn settings(error: impl std::fmt::Display) -> LoadError {
    LoadError::Settings(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::TlsError;
    use crate::own_certificate::OwnCertificate;
    use crate::refusal::Refusal;
    use crate::trust::Trust;
    use certgen::{AuthorityConfig, CertificateAuthority, LeafConfig};
    use rustls::pki_types::ServerName;
    use rustls::server::Acceptor;
    use rustls::{
        AlertDescription, ClientConnection, ConnectionCommon, HandshakeKind, NamedGroup, ServerConnection,
        SideData,
    };

    /// With one certificate for both sides.
    fn generation() -> Generation {
        let authority = CertificateAuthority::new(&AuthorityConfig::default()).unwrap();
        let own = authority.issue(&LeafConfig::new(["a"]).unwrap()).unwrap();
        let config = TlsConfig::new()
            .with_certificate(OwnCertificate::from_pem(own.combined_pem().as_bytes()))
            .with_trust(Trust::ca_pem(authority.certificate().pem()));
        Generation::load(&config).unwrap()
    }

    fn sides() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
        let generation = generation();
        (generation.client.unwrap(), generation.server.unwrap())
    }

    fn client(config: Arc<ClientConfig>) -> ClientConnection {
        ClientConnection::new(config, ServerName::try_from("a").unwrap()).unwrap()
    }

    /// Takes what one side has to say to the other.
    fn pass<A, B>(from: &mut ConnectionCommon<A>, to: &mut ConnectionCommon<B>) -> Result<(), rustls::Error>
    where
        A: SideData,
        B: SideData,
    {
        let mut wire = Vec::new();
        while from.wants_write() {
            from.write_tls(&mut wire).unwrap();
        }
        let mut wire = &wire[..];
        while !wire.is_empty() {
            to.read_tls(&mut wire).unwrap();
            to.process_new_packets()?;
        }
        Ok(())
    }

    /// The group that a client and a server agree on, and how.
    fn agreed(
        client_config: Arc<ClientConfig>,
        server_config: Arc<ServerConfig>,
    ) -> (NamedGroup, HandshakeKind) {
        let mut client = client(client_config);
        let mut server = ServerConnection::new(server_config).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            pass(&mut client, &mut server).unwrap();
            pass(&mut server, &mut client).unwrap();
        }
        // The ticket.
        pass(&mut server, &mut client).unwrap();
        let group = server.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(client.negotiated_key_exchange_group().unwrap().name(), group);
        (group, server.handshake_kind().unwrap())
    }

    #[test]
    fn the_hybrid_key_exchange_is_offered_first_and_two_of_ours_agree_on_it() {
        let (client_config, server_config) = sides();
        let mut hello = Vec::new();
        client(Arc::clone(&client_config)).write_tls(&mut hello).unwrap();
        let mut acceptor = Acceptor::default();
        acceptor.read_tls(&mut &hello[..]).unwrap();
        let accepted = acceptor.accept().map_err(|(error, _alert)| error).unwrap().unwrap();
        use NamedGroup::{X25519, X25519MLKEM768, secp256r1, secp384r1};
        let offered = [X25519MLKEM768, X25519, secp256r1, secp384r1];
        assert_eq!(accepted.client_hello().named_groups(), Some(&offered[..]));
        assert_eq!(agreed(client_config, server_config), (X25519MLKEM768, HandshakeKind::Full));
    }

    #[test]
    fn a_peer_without_the_hybrid_agrees_on_x25519_without_a_second_round_trip() {
        let older = |config: &Arc<CryptoProvider>| {
            let kx_groups =
                config.kx_groups.iter().copied().filter(|group| group.name() == NamedGroup::X25519);
            Arc::new(CryptoProvider { kx_groups: kx_groups.collect(), ..(**config).clone() })
        };
        let (client_config, server_config) = sides();
        let provider = older(server_config.crypto_provider());
        let plain = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&version::TLS13]);
        let mut plain =
            plain.unwrap().with_no_client_auth().with_cert_resolver(Arc::clone(&server_config.cert_resolver));
        plain.alpn_protocols = server_config.alpn_protocols.clone();
        assert_eq!(agreed(client_config, Arc::new(plain)), (NamedGroup::X25519, HandshakeKind::Full));
    }

    #[test]
    fn a_session_is_resumed_for_an_equal_policy_and_for_no_other() {
        let generation = generation();
        let connect = |policy: &str| {
            let client = generation.client_for(&policy.parse().unwrap()).unwrap();
            agreed(client, generation.server.clone().unwrap()).1
        };
        assert_eq!(connect("dns:a"), HandshakeKind::Full);
        assert_eq!(connect("dns:a"), HandshakeKind::Resumed);
        assert_eq!(connect("dns:*"), HandshakeKind::Full);
        assert_eq!(connect("dns:*"), HandshakeKind::Resumed);
    }

    #[test]
    fn a_server_that_the_policy_denies_gets_the_alert_and_learns_nothing_of_the_client() {
        let generation = generation();
        let server_config = generation.server.clone().unwrap();
        // A session of another policy is no way around this one.
        agreed(generation.client_for(&Policy::san_dns("a")).unwrap(), Arc::clone(&server_config));
        let mut client = client(generation.client_for(&Policy::san_dns("b")).unwrap());
        let mut server = ServerConnection::new(server_config).unwrap();
        pass(&mut client, &mut server).unwrap();
        let refused = pass(&mut server, &mut client).unwrap_err();
        let reason = TlsError::of_rustls(&refused);
        assert!(matches!(reason, TlsError::Refused(Refusal::Denied(_))), "{reason:?}");
        let told = pass(&mut client, &mut server).unwrap_err();
        assert_eq!(told, rustls::Error::AlertReceived(AlertDescription::CertificateUnknown));
        assert!(server.peer_certificates().is_none());
    }

    #[test]
    fn the_settings_of_the_last_policies_are_kept_and_no_more() {
        let generation = generation();
        let of = |i: usize| generation.client_for(&Policy::san_dns(i.to_string())).unwrap();
        let (first, second) = (of(0), of(1));
        (2..MOST_POLICIES).for_each(|i| drop(of(i)));
        assert!(Arc::ptr_eq(&first, &of(0)));
        of(MOST_POLICIES);
        assert!(Arc::ptr_eq(&first, &of(0)), "it was the latest but one");
        assert!(!Arc::ptr_eq(&second, &of(1)), "it was the oldest");
        assert_eq!(generation.selective.lock().unwrap().len(), MOST_POLICIES);
    }
}
