//! The state that a transport and its clones share: the present generation, and how the next one comes.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use transport_core::{EventSender, Events};

use crate::config::TlsConfig;
use crate::error::LoadError;
use crate::event::{TlsEvent, TlsEvents};
use crate::generation::Generation;
use crate::keeper::Keeper;
use crate::open_connections::OpenConnections;

pub(crate) struct State {
    pub(crate) config: TlsConfig,
    current: RwLock<Arc<Generation>>,
    /// Held while the files are read, so that an older state never replaces a newer one. What of them could not be used the last
    /// time.
    reloading: Mutex<Vec<Arc<LoadError>>>,
    pub(crate) open: OpenConnections,
    events: EventSender<TlsEvent>,
    /// For whoever listens first: at the start, when there is most to tell, nobody can listen yet.
    first_events: Mutex<Option<TlsEvents>>,
    /// The end of the own certificate of which that was told.
    told_expired: Mutex<Option<SystemTime>>,
    /// Ended with the state.
    keeper: Mutex<Option<Keeper>>,
}

const EVENTS_KEPT: usize = 256;

impl State {
    pub(crate) fn load(config: TlsConfig) -> Result<Arc<State>, LoadError> {
        let generation = Generation::load(&config)?;
        let (events, first_events) = Events::channel(EVENTS_KEPT);
        let state = Arc::new(State {
            config,
            current: RwLock::new(Arc::new(generation)),
            reloading: Mutex::default(),
            open: OpenConnections::default(),
            events,
            first_events: Mutex::new(Some(first_events)),
            told_expired: Mutex::new(None),
            keeper: Mutex::new(None),
        });
        state.tell_if_expired();
        let is_set_up = state.config.certificate.is_some() || !state.config.trust.is_nobody();
        if is_set_up {
            let keeper = Keeper::start(&state)?;
            *state.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        }
        Ok(state)
    }

    /// What new connections use.
    pub(crate) fn generation(&self) -> Arc<Generation> {
        // Held for a clone or an assignment only.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn events(&self) -> TlsEvents {
        let first = self.first_events.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| self.events.subscribe())
    }

    /// Reads all files again; true when they have changed. What cannot be used stays as it was loaded before.
    pub(crate) fn reload(&self) -> Result<bool, Arc<LoadError>> {
        let mut told = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        // What fails in the same way is told again.
        told.clear();
        self.load_next(&mut told)
    }

    /// Reads all files again if something could not be used the last time: that can change while the files do not, such as when
    /// there were no descriptors left. Tells only of failures that are new.
    pub(crate) fn try_again(&self) {
        let mut told = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.is_empty() {
            // Told as an event.
            let _ = self.load_next(&mut told);
        }
    }

    /// `told`: the failures of the last time, and then those of this time.
    fn load_next(&self, told: &mut Vec<Arc<LoadError>>) -> Result<bool, Arc<LoadError>> {
        let (next, failures) = self.generation().load_next(&self.config);
        let failures: Vec<_> = failures.into_iter().map(Arc::new).collect();
        for error in &failures {
            if !told.iter().any(|told| reason(told) == reason(error)) {
                self.tell(TlsEvent::ReloadFailed { error: Arc::clone(error) });
            }
        }
        *told = failures;
        let is_new = next.is_some();
        if let Some(generation) = next {
            let not_after = generation.own_not_after();
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(generation);
            self.tell(TlsEvent::Reloaded { not_after });
            self.tell_if_expired();
            self.close_refused();
        }
        told.first().map_or(Ok(is_new), |error| Err(Arc::clone(error)))
    }

    /// Closes the open connections whose peers would not be accepted any more.
    pub(crate) fn close_refused(&self) {
        if self.config.keep_open {
            return;
        }
        let closed = self.open.close_refused(&self.generation().verifier, self.config.clock.now());
        for (source, reason) in closed {
            self.tell(TlsEvent::Closed { source, reason });
        }
    }

    /// Tells once of an own certificate that has expired. It stays in use: peers refuse it, or know that their clocks are wrong.
    pub(crate) fn tell_if_expired(&self) {
        let not_after = self.generation().own_not_after();
        let Some(not_after) = not_after.filter(|not_after| *not_after < self.config.clock.now()) else {
            return;
        };
        let told = self.told_expired.lock().unwrap_or_else(PoisonError::into_inner).replace(not_after);
        if told != Some(not_after) {
            self.tell(TlsEvent::Expired { not_after });
        }
    }

    pub(crate) fn tell(&self, event: TlsEvent) {
        match &event {
            TlsEvent::Reloaded { .. } => tracing::info!("certificates loaded again"),
            TlsEvent::ReloadFailed { error } => {
                tracing::warn!(%error, "cannot use what has changed, what was loaded before stays");
            }
            TlsEvent::NotWatched { problem } => {
                tracing::warn!(%problem, "cannot watch the certificates, looking every 30 seconds");
            }
            TlsEvent::Expired { .. } => {
                tracing::warn!("the own certificate has expired: peers refuse it");
            }
            TlsEvent::Closed { source, reason } => {
                tracing::info!(%source, %reason, "connection closed: its peer would not be accepted any more");
            }
        }
        self.events.tell(event);
    }

    /// The files and directories that a reload reads.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let TlsConfig { certificate, trust, revocation_lists, .. } = &self.config;
        let own = certificate.iter().flat_map(|certificate| certificate.paths());
        let lists = revocation_lists.iter().map(PathBuf::as_path);
        own.chain(trust.paths()).chain(lists).map(Path::to_owned).collect()
    }

    /// The directories in which a change may mean that there is something to reload.
    pub(crate) fn watched_directories(&self) -> Vec<PathBuf> {
        let mut directories: Vec<PathBuf> = self.config.trust.directories().map(Path::to_owned).collect();
        for path in self.paths() {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            directories.push(parent.unwrap_or(Path::new(".")).to_owned());
        }
        directories.sort();
        directories.dedup();
        directories
    }
}

/// An error with its causes, to tell whether it is the same again.
fn reason(error: &LoadError) -> String {
    let causes = std::iter::successors(Some(error as &dyn Error), |error| (*error).source());
    causes.map(|cause| format!("{cause}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_certificate::OwnCertificate;
    use certgen::{LeafConfig, Validity, self_signed};
    use std::time::Duration;

    #[tokio::test]
    async fn what_was_told_at_the_start_is_for_whoever_listens_first() {
        let hour = Duration::from_secs(3600);
        let (not_before, not_after) = (SystemTime::now() - hour * 2, SystemTime::now() - hour);
        let config = LeafConfig::default().with_validity(Validity::Between { not_before, not_after });
        let own = OwnCertificate::from_pem(self_signed(&config).unwrap().combined_pem().as_bytes());
        let state = State::load(TlsConfig::new().with_certificate(own)).unwrap();
        let (mut first, mut second) = (state.events(), state.events());
        state.tell(TlsEvent::NotWatched { problem: "a mark".to_owned() });
        let event = first.recv().await.unwrap();
        assert!(matches!(event, TlsEvent::Expired { .. }), "{event:?}");
        for events in [&mut first, &mut second] {
            let event = events.recv().await.unwrap();
            assert!(matches!(event, TlsEvent::NotWatched { .. }), "{event:?}");
        }
    }
}
