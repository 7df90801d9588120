//! The thread that loads files again when they change, and closes connections whose certificates expire.
//!
//! ```text
//! a directory changes -> wait until it is quiet for 50 ms -> do the files differ? -> reload
//! every 30 s          -> do the files differ, or has the last reload failed? -> reload;  close what has expired
//! ```
//!
//! The 30 seconds go on whatever changes meanwhile: who can write into the directory must not keep expired peers connected.
//!
//! It is a thread and no task, since reading files blocks, and since a transport may outlive the runtime that it was made in.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use transport_core::secret_file::{FileStamp, SecretFile};

use crate::error::LoadError;
use crate::event::TlsEvent;
use crate::state::State;

/// Ends the thread when it is dropped.
pub(crate) struct Keeper {
    wake: Sender<Wake>,
}

enum Wake {
    Changed,
    Stop,
}

/// Nothing may have changed for so long before files are read: certificate and key are written one after the other.
const QUIET: Duration = Duration::from_millis(50);
/// A directory that never comes to rest is looked at all the same.
const LONGEST_UNREST: Duration = Duration::from_secs(1);

impl Keeper {
    pub(crate) fn start(state: &Arc<State>) -> Result<Keeper, LoadError> {
        let (wake, woken) = mpsc::channel();
        let watcher = state.config.watch.then(|| watch(state, wake.clone())).flatten();
        let weak = Arc::downgrade(state);
        // What has been loaded is older than this look at it: a change in between shows at the first comparison.
        let files = Files::new(state);
        // Finds what watching misses, such as changes over a network file system, and certificates that expire.
        let look_every = state.config.look_every;
        let run = move || {
            let _watched_until_the_end = watcher;
            keep(&weak, &woken, look_every, files);
        };
        let thread = std::thread::Builder::new().name("tls-keeper".to_owned()).spawn(run);
        thread.map_err(|error| LoadError::Settings(format!("cannot start a thread: {error}")))?;
        Ok(Keeper { wake })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Fails only when the thread has ended.
        let _ = self.wake.send(Wake::Stop);
    }
}

fn watch(state: &State, wake: Sender<Wake>) -> Option<RecommendedWatcher> {
    let directories = state.watched_directories();
    if directories.is_empty() {
        return None;
    }
    let on_event = move |event: notify::Result<notify::Event>| {
        // Reading the files is an event too; an error means that some may have been lost.
        let changed = event.map_or(true, |event| match event.kind {
            EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
            _ => true,
        });
        if changed {
            let _ = wake.send(Wake::Changed);
        }
    };
    let watcher = notify::recommended_watcher(on_event).and_then(|mut watcher| {
        for directory in &directories {
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            state.tell(TlsEvent::NotWatched { problem: error.to_string() });
            None
        }
    }
}

fn keep(state: &Weak<State>, woken: &Receiver<Wake>, look_every: Duration, mut files: Files) {
    let mut looks = Looks::new(look_every, Instant::now());
    loop {
        match woken.recv_timeout(looks.due_in(Instant::now())) {
            Ok(Wake::Changed) => {
                if !wait_until_quiet(woken) {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        }
        let Some(state) = state.upgrade() else { return };
        let look_is_due = looks.is_due(Instant::now());
        if state.config.watch && files.have_changed() {
            // Success and failure are told as events.
            let _ = state.reload();
        } else if state.config.watch && look_is_due {
            state.try_again();
        }
        if look_is_due {
            state.tell_if_expired();
            state.close_refused();
        }
    }
}

/// False when it is time to stop.
fn wait_until_quiet(woken: &Receiver<Wake>) -> bool {
    let start = Instant::now();
    while start.elapsed() < LONGEST_UNREST {
        match woken.recv_timeout(QUIET) {
            Ok(Wake::Changed) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}

/// When the keeper looks without having been told of a change.
struct Looks {
    every: Duration,
    last: Instant,
}

impl Looks {
    fn new(every: Duration, now: Instant) -> Looks {
        Looks { every, last: now }
    }

    fn due_in(&self, now: Instant) -> Duration {
        self.every.saturating_sub(now.saturating_duration_since(self.last))
    }

    /// Whether a look is due; the time until the next one begins when it is.
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.due_in(now).is_zero();
        if is_due {
            self.last = now;
        }
        is_due
    }
}

/// The files that were loaded, and how they were then.
struct Files {
    paths: Vec<PathBuf>,
    stamps: Vec<Option<FileStamp>>,
}

impl Files {
    fn new(state: &State) -> Files {
        let paths = state.paths();
        Files { stamps: Vec::new(), paths }
    }

    /// Whether any of them differs from the last time that this was asked. The first time counts as a change.
    fn have_changed(&mut self) -> bool {
        let stamps: Vec<_> = self.paths.iter().flat_map(|path| stamps(path)).collect();
        let changed = stamps != self.stamps;
        self.stamps = stamps;
        changed
    }
}

/// The stamp of a file, or of all in a directory.
fn stamps(path: &Path) -> Vec<Option<FileStamp>> {
    let stamp = |path: &Path| SecretFile::new(path).stamp();
    let Ok(entries) = std::fs::read_dir(path) else { return vec![stamp(path)] };
    let mut files: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.sort();
    files.iter().map(|file| stamp(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::event::TlsEvents;
    use crate::{OwnCertificate, Refusal, TlsConfig, TlsTransport, Trust};
    use certgen::{
        AuthorityConfig, CertificateAuthority, Credentials, LeafConfig, PemFile, RevocationConfig,
        RevocationReason, Validity, self_signed_for,
    };
    use std::error::Error as _;
    use std::fs;
    use std::time::SystemTime;
    use transport_core::{Connect, Connection, Listen, Policy, Server, ServerEvent, Transports};

    const HOUR: Duration = Duration::from_secs(3600);

    fn valid_for(hours: u32) -> Validity {
        let now = SystemTime::now();
        Validity::Between { not_before: now - HOUR, not_after: now + HOUR * hours }
    }

    fn authority() -> CertificateAuthority {
        CertificateAuthority::new(&AuthorityConfig::default()).unwrap()
    }

    fn issue(authority: &CertificateAuthority, name: &str, hours: u32) -> Credentials {
        authority.issue(&LeafConfig::new([name]).unwrap().with_validity(valid_for(hours))).unwrap()
    }

    fn config(own: &Credentials, trusted: &CertificateAuthority) -> TlsConfig {
        TlsConfig::new()
            .with_certificate(OwnCertificate::from_pem(own.combined_pem().as_bytes()))
            .with_trust(Trust::ca_pem(trusted.certificate().pem()))
    }

    async fn bounded<F: IntoFuture>(wait: F) -> F::Output {
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it hangs")
    }

    /// A server whose clock can be put forward, and a client whose clock stays.
    struct Sides {
        clock: Clock,
        tls: TlsTransport,
        client: TlsTransport,
        server: Server,
    }

    impl Sides {
        async fn new(server: TlsConfig, client: TlsConfig) -> Sides {
            Sides::looking_every(Duration::from_millis(10), server, client).await
        }

        async fn looking_every(look_every: Duration, server: TlsConfig, client: TlsConfig) -> Sides {
            let clock = server.clock.clone();
            let server = TlsConfig { look_every, ..server };
            let tls = TlsTransport::with_config(server).unwrap();
            let listen = Listen::new(&Transports::new(), "tls://127.0.0.1:0").transport(tls.clone());
            let server = listen.policy(Policy::danger_anyone()).start().await.unwrap();
            Sides { clock, tls, client: TlsTransport::with_config(client).unwrap(), server }
        }

        fn connect(&self) -> Connect {
            let address = self.server.local_address().with_parameter("name", "db");
            let connect = Connect::new(&Transports::new(), &address).transport(self.client.clone());
            connect.server(Policy::danger_anyone())
        }

        async fn meet(&mut self) -> (Connection, Connection) {
            let connect = self.connect();
            let (near, far) = bounded(async { tokio::join!(connect, self.server.accept()) }).await;
            let (mut near, mut far) = (near.unwrap(), far.unwrap());
            // A ticket comes before it.
            far.send("hello").await.unwrap();
            bounded(near.recv()).await.unwrap().unwrap();
            (near, far)
        }

        /// Waits for the server to end a connection, and for its client to see that; returns the reason.
        async fn ended(events: &mut TlsEvents, (mut near, mut far): (Connection, Connection)) -> Refusal {
            let event = bounded(events.recv()).await.unwrap();
            let TlsEvent::Closed { reason, .. } = event else { panic!("{event:?}") };
            let error = bounded(far.recv()).await.unwrap_err();
            assert!(error.source().unwrap().to_string().ends_with(&reason.to_string()), "{error:?}");
            drop(far);
            assert!(!matches!(bounded(near.recv()).await, Ok(Some(_))), "the client sees the end");
            reason
        }

        /// Why the server does not let the client in.
        async fn refused(&mut self) -> String {
            let mut events = self.server.events();
            // In TLS 1.3 a client may believe for a moment that it is in.
            let _near = bounded(self.connect()).await;
            loop {
                if let ServerEvent::Refused { reason, .. } = bounded(events.recv()).await.unwrap() {
                    return reason.source().unwrap().to_string();
                }
            }
        }
    }

    #[test]
    fn being_woken_does_not_put_a_look_off() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut looks = Looks::new(second * 30, start);
        for woken in 0..30 {
            assert_eq!(looks.due_in(start + second * woken), second * (30 - woken));
            assert!(!looks.is_due(start + second * woken));
        }
        assert_eq!(looks.due_in(start + second * 31), Duration::ZERO);
        assert!(looks.is_due(start + second * 31));
        assert_eq!(looks.due_in(start + second * 31), second * 30);
    }

    #[tokio::test]
    async fn that_the_own_certificate_has_expired_is_told_once() {
        let authority = authority();
        let (db, alice) = (issue(&authority, "db", 5), issue(&authority, "alice", 100));
        let sides = Sides::new(config(&db, &authority), config(&alice, &authority)).await;
        let mut events = sides.tls.events();
        sides.clock.put_forward(HOUR * 6);
        let event = bounded(events.recv()).await.unwrap();
        assert!(
            matches!(event, TlsEvent::Expired { not_after } if not_after == db.certificate().not_after())
        );
        // The next event is another one, however often the keeper has looked.
        let state = Arc::clone(sides.tls.state());
        (0..3).for_each(|_| state.tell_if_expired());
        state.tell(TlsEvent::NotWatched { problem: "a mark".to_owned() });
        let event = bounded(events.recv()).await.unwrap();
        assert!(matches!(event, TlsEvent::NotWatched { .. }), "{event:?}");
    }

    #[tokio::test]
    async fn a_connection_ends_when_the_peers_certificate_expires() {
        let authority = authority();
        let (db, alice) = (issue(&authority, "db", 100), issue(&authority, "alice", 5));
        let mut sides = Sides::new(config(&db, &authority), config(&alice, &authority)).await;
        let mut events = sides.tls.events();
        let connection = sides.meet().await;
        sides.clock.put_forward(HOUR * 6);
        let reason = Sides::ended(&mut events, connection).await;
        assert!(matches!(reason, Refusal::Expired { .. }), "{reason:?}");
        // The client has a ticket, which spares it the exchange of certificates, and no more.
        let refused = sides.refused().await;
        assert!(refused.contains("the certificate of CN=alice expired on"), "{refused}");
    }

    #[tokio::test]
    async fn a_connection_ends_when_the_revocation_list_expires_and_was_not_replaced() {
        let authority = authority();
        let (db, alice) = (issue(&authority, "db", 100), issue(&authority, "alice", 100));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("crl.pem");
        let list = |hours| {
            let config = RevocationConfig::default().with_validity(valid_for(hours));
            let beside = directory.path().join("beside");
            fs::write(&beside, authority.revocation_list(&config).unwrap().pem()).unwrap();
            fs::rename(beside, &path).unwrap();
        };
        list(5);
        let server = config(&db, &authority).with_revocation_lists(&path);
        let mut sides = Sides::new(server, config(&alice, &authority)).await;
        let mut events = sides.tls.events();
        let connection = sides.meet().await;
        sides.clock.put_forward(HOUR * 6);
        let reason = Sides::ended(&mut events, connection).await;
        assert!(matches!(reason, Refusal::RevocationListExpired { .. }), "{reason:?}");
        let refused = sides.refused().await;
        assert!(refused.contains("the revocation list expired on"), "{refused}");
        list(50);
        let event = bounded(events.recv()).await.unwrap();
        assert!(matches!(event, TlsEvent::Reloaded { .. }), "{event:?}");
        sides.meet().await;
    }

    #[tokio::test]
    async fn a_connection_ends_when_the_peers_certificate_expires_though_it_is_all_that_is_left() {
        for expires_at_client in [false, true] {
            let authority = authority();
            let (db, alice) = (issue(&authority, "db", 5), issue(&authority, "alice", 5));
            let client = config(&alice, &authority);
            let clients_clock = client.clock.clone();
            let client = TlsConfig { look_every: Duration::from_millis(10), ..client };
            let mut sides = Sides::new(config(&db, &authority), client).await;
            let (mut near, mut far) = sides.meet().await;
            let Sides { clock: servers_clock, tls, client, server } = sides;
            drop((tls, client, server));
            let (clock, end) = match expires_at_client {
                true => (clients_clock, &mut near),
                false => (servers_clock, &mut far),
            };
            clock.put_forward(HOUR * 6);
            let error = bounded(end.recv()).await.unwrap_err();
            let reason = error.source().unwrap().to_string();
            assert!(reason.contains("expired on"), "{reason}");
        }
    }

    #[tokio::test]
    async fn a_connection_ends_though_something_is_written_beside_the_certificate_all_the_time() {
        let authority = authority();
        let (db, alice) = (issue(&authority, "db", 100), issue(&authority, "alice", 5));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        fs::write(&path, authority.certificate().pem()).unwrap();
        let server = config(&db, &authority).with_trust(Trust::ca_file(path));
        let client = config(&alice, &authority);
        let mut sides = Sides::looking_every(Duration::from_millis(500), server, client).await;
        let mut events = sides.tls.events();
        let connection = sides.meet().await;
        let log = directory.path().join("log");
        let writing = tokio::spawn(async move {
            let mut next = tokio::time::interval(Duration::from_millis(20));
            loop {
                next.tick().await;
                fs::write(&log, "a line").unwrap();
            }
        });
        sides.clock.put_forward(HOUR * 6);
        let reason = Sides::ended(&mut events, connection).await;
        assert!(matches!(reason, Refusal::Expired { .. }), "{reason:?}");
        writing.abort();
    }

    /// The files are read, but something else is missing at that moment, as free descriptors may be.
    #[tokio::test]
    async fn a_reload_that_failed_for_a_passing_reason_is_tried_again_and_told_once() {
        let authority = authority();
        let (db, alice) = (issue(&authority, "db", 100), issue(&authority, "alice", 100));
        let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = directory.path().join("crl.pem");
        let list = |config: RevocationConfig| {
            let beside = directory.path().join("beside");
            fs::write(&beside, authority.revocation_list(&config).unwrap().pem()).unwrap();
            fs::rename(beside, &path).unwrap();
        };
        list(RevocationConfig::default());
        let there = elsewhere.path().join("there");
        fs::create_dir(&there).unwrap();
        let server = config(&db, &authority).with_revocation_lists(&path).danger_key_log(there.join("keys"));
        let mut sides = Sides::new(server, config(&alice, &authority)).await;
        let mut events = sides.tls.events();
        let connection = sides.meet().await;

        fs::remove_dir_all(&there).unwrap();
        let reason = RevocationReason::KeyCompromise;
        list(RevocationConfig::default().with_revoked(alice.certificate().serial(), reason));
        let event = bounded(events.recv()).await.unwrap();
        let TlsEvent::ReloadFailed { error } = event else { panic!("{event:?}") };
        assert!(matches!(*error, LoadError::Read { .. }), "{error}");
        // It is tried again, and the next event is another one.
        let state = Arc::clone(sides.tls.state());
        (0..3).for_each(|_| state.try_again());
        fs::create_dir(&there).unwrap();
        let event = bounded(events.recv()).await.unwrap();
        assert!(matches!(event, TlsEvent::Reloaded { .. }), "{event:?}");
        let reason = Sides::ended(&mut events, connection).await;
        assert!(matches!(reason, Refusal::Revoked { .. }), "{reason:?}");
    }

    #[tokio::test]
    async fn a_listener_whose_trusted_authority_expires_closes_all_and_lets_nobody_in() {
        let (servers, clients) = (authority(), authority());
        let (db, alice) = (issue(&servers, "db", 100), issue(&clients, "alice", 50));
        // A certificate of the same authority that ends before those which it has issued.
        let key = PemFile::parse(clients.key().pem().as_bytes()).unwrap().keys.remove(0);
        let name = clients.certificate().subject().strip_prefix("CN=").unwrap();
        let short =
            LeafConfig::new(["authority"]).unwrap().with_common_name(name).with_validity(valid_for(5));
        let short = self_signed_for(&short, key).unwrap();
        let server = config(&db, &clients).with_trust(Trust::ca_pem(short.certificate().pem()));
        let client = config(&alice, &servers);
        let mut sides = Sides::new(server, client).await;
        let mut events = sides.tls.events();
        let connection = sides.meet().await;
        sides.clock.put_forward(HOUR * 6);
        let reason = Sides::ended(&mut events, connection).await;
        let whose = format!("the certificate of CN={name} expired on");
        assert!(reason.to_string().starts_with(&whose), "{reason}");
        let refused = sides.refused().await;
        assert!(refused.contains(&whose), "{refused}");
    }

    #[tokio::test]
    async fn an_open_connection_with_an_expired_certificate_goes_on_where_that_is_wanted() {
        let authority = authority();
        let (db, alice) = (issue(&authority, "db", 100), issue(&authority, "alice", 5));
        let server = config(&db, &authority).with_open_connections_kept(true);
        let mut sides = Sides::new(server, config(&alice, &authority)).await;
        let (mut near, mut far) = sides.meet().await;
        sides.clock.put_forward(HOUR * 6);
        sides.tls.state().close_refused();
        near.send("still here").await.unwrap();
        assert!(bounded(far.recv()).await.unwrap().is_some());
        let refused = sides.refused().await;
        assert!(refused.contains("the certificate of CN=alice expired on"), "{refused}");
    }
}
