//! Accepting.

use std::io;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream as ServerStream;
use transport_core::{
    Address, BoxStream, Claims, Established, Evidence, HandOver, Incoming, Listener, Policy, Protection,
    Source, TransportError, say_farewell,
};

use crate::admission::Admission;
use crate::error::TlsError;
use crate::establish::establish;
use crate::generation::Generation;
use crate::hello::{ClientHello, HelloChoice};
use crate::state::State;
use crate::transport::refused;
use crate::verifier::PeerRole;

pub(crate) struct TlsListener {
    inner: Box<dyn Listener>,
    local: Address,
    state: Arc<State>,
    /// Absent as long as nothing says who may in.
    admission: Option<Arc<Admission>>,
}

/// The claim that says which server name a client asked for (SNI).
const SERVER_NAME: &str = "TLS-Server-Name";

impl TlsListener {
    pub(crate) fn new(inner: Box<dyn Listener>, local: Address, state: Arc<State>) -> TlsListener {
        TlsListener { inner, local, state, admission: None }
    }
}

impl Listener for TlsListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        let below = ready!(self.inner.poll_accept(cx))?;
        let source = below.source().clone();
        let opening = accept(Arc::clone(&self.state), self.admission.clone(), below);
        Poll::Ready(Ok(Incoming::Handshake { source, opening: Box::pin(opening) }))
    }

    fn local_address(&self) -> &Address {
        &self.local
    }

    fn protection(&self) -> Protection {
        Protection::Encrypted
    }

    fn let_in_only(&mut self, policy: &Policy) {
        self.admission = Some(Arc::new(Admission::new(policy.clone())));
    }

    fn hand_over(&self) -> Option<Weak<dyn HandOver>> {
        self.inner.hand_over()
    }
}

async fn accept(
    state: Arc<State>,
    admission: Option<Arc<Admission>>,
    below: Incoming,
) -> Result<Established, TransportError> {
    let below = match below {
        Incoming::Established(established) => established,
        Incoming::Handshake { opening, .. } => opening.await?,
    };
    let Established { stream, evidence, claims, source } = below;
    handshake(state, admission, stream, (evidence, claims, source)).await.map_err(refused)
}

async fn handshake(
    state: Arc<State>,
    admission: Option<Arc<Admission>>,
    stream: BoxStream,
    (evidence, mut claims, source): (Evidence, Claims, Source),
) -> Result<Established, TlsError> {
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let start = match (&mut acceptor).await {
        Ok(start) => start,
        Err(error) => {
            if let Some(stream) = acceptor.take_io() {
                say_farewell(stream, &[]).await;
            }
            return Err(TlsError::of_io(error));
        }
    };
    let hello = start.client_hello();
    let chosen = Chosen::by(&state, admission.as_deref(), &hello, &source);
    if let Some(name) = hello.server_name() {
        claims.push(SERVER_NAME, name);
    }
    let Chosen { state, generation, server } = match chosen {
        Ok(chosen) => chosen,
        Err((error, alert)) => {
            say_farewell(start.io, &plain_alert(alert)).await;
            return Err(error);
        }
    };
    let accepted: Result<ServerStream<_>, _> = start.into_stream(server).into_fallible().await;
    match accepted {
        Ok(stream) => {
            establish(&state, &generation, PeerRole::Client, stream.into(), (evidence, claims, source))
        }
        Err((error, stream)) => {
            say_farewell(stream, &[]).await;
            Err(TlsError::of_io(error))
        }
    }
}

/// Whose certificate, trust and protocols a handshake goes on with.
struct Chosen {
    state: Arc<State>,
    generation: Arc<Generation>,
    server: Arc<ServerConfig>,
}

impl Chosen {
    fn by(
        state: &Arc<State>,
        admission: Option<&Admission>,
        hello: &rustls::server::ClientHello<'_>,
        source: &Source,
    ) -> Result<Chosen, (TlsError, Alert)> {
        let protocols = || hello.alpn().into_iter().flatten().collect::<Vec<_>>();
        let choice = match &state.config.on_hello {
            Some(choose) => {
                choose(&ClientHello { server_name: hello.server_name(), protocols: protocols(), source })
            }
            None => HelloChoice::GoOn,
        };
        let state = match choice {
            HelloChoice::GoOn => Arc::clone(state),
            HelloChoice::Use(transport) => Arc::clone(transport.state()),
            HelloChoice::Refuse(reason) => {
                return Err((TlsError::HelloRefused { reason }, Alert::UnrecognizedName));
            }
        };
        let wanted = &state.config.protocols;
        let named_none = hello.alpn().is_none();
        // Who may do without is known only later.
        let may_do_without = named_none && !state.config.without_protocol.is_nobody();
        if !may_do_without && !protocols().iter().any(|offered| wanted.iter().any(|w| w == offered)) {
            let offered = protocols().into_iter().map(<[u8]>::to_vec).collect();
            let error = TlsError::Protocol { offered, wanted: wanted.clone() };
            return Err((error, Alert::NoApplicationProtocol));
        }
        let generation = state.generation();
        let server = match admission {
            Some(admission) => admission.server(&state.config, &generation),
            None => generation.server.clone(),
        };
        let server = server.map_err(|missing| (TlsError::NotSetUp(missing), Alert::InternalError))?;
        Ok(Chosen { state, generation, server })
    }
}

/// The alerts (RFC 8446, section 6) that can be due before rustls has taken a handshake over.
#[derive(Clone, Copy)]
enum Alert {
    InternalError = 80,
    UnrecognizedName = 112,
    NoApplicationProtocol = 120,
}

/// A fatal alert as a record that is not encrypted yet (RFC 8446, sections 5.1 and 6).
fn plain_alert(alert: Alert) -> [u8; 7] {
    const RECORD: [u8; 5] = [21, 3, 3, 0, 2];
    const FATAL: u8 = 2;
    let [a, b, c, d, e] = RECORD;
    [a, b, c, d, e, FATAL, alert as u8]
}
