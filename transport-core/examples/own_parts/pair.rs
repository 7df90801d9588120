//! A transport: `pair://name`, socket pairs within this process.
//!
//! As `mem`, but every stream is a real socket: it can be handed to `splice(2)` or to another process.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use transport_core::{
    Address, BoxFuture, BoxRead, BoxWrite, Claims, Established, Evidence, Incoming, Listener, Location,
    Proof, Protection, Source, Stream, Transport, TransportError,
};

const SCHEME: &str = "pair";

/// Connects with a socket pair: one end stays, the other goes to whoever listens at the name.
#[derive(Clone, Default)]
pub(crate) struct PairTransport {
    names: Names,
}

#[derive(Clone, Default)]
struct Names(Arc<Mutex<HashMap<String, mpsc::Sender<UnixStream>>>>);

impl PairTransport {
    pub(crate) fn new() -> PairTransport {
        PairTransport::default()
    }
}

impl Transport for PairTransport {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Result<Established, TransportError>> {
        Box::pin(async move {
            let name = name(address)?;
            let error = |error| TransportError::io(format!("connect to {address}"), error);
            let listener = self.names.lock().get(name).cloned();
            let listener = listener.ok_or_else(|| error(io::ErrorKind::ConnectionRefused.into()))?;
            let (near, far) = UnixStream::pair().map_err(error)?;
            let taken = listener.try_send(far);
            taken.map_err(|_| error(io::ErrorKind::ConnectionRefused.into()))?;
            Ok(establish(near))
        })
    }

    fn listen<'a>(
        &'a self,
        address: &'a Address,
    ) -> BoxFuture<'a, Result<Box<dyn Listener>, TransportError>> {
        Box::pin(async move {
            let name = name(address)?;
            let mut names = self.names.lock();
            if names.contains_key(name) {
                let taken = io::ErrorKind::AddrInUse.into();
                return Err(TransportError::io(format!("listen at {address}"), taken));
            }
            let (sender, incoming) = mpsc::channel(BACKLOG);
            names.insert(name.to_owned(), sender);
            drop(names);
            Ok(Box::new(PairListener {
                incoming,
                local: address.clone(),
                name: name.to_owned(),
                names: self.names.clone(),
            }) as Box<dyn Listener>)
        })
    }
}

impl Names {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<UnixStream>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(address: &Address) -> Result<&str, TransportError> {
    match address.location() {
        Location::Name(name) if address.parameters().next().is_none() => Ok(name),
        _ => Err(TransportError::address(address, SCHEME, "write pair://name")),
    }
}

struct PairListener {
    incoming: mpsc::Receiver<UnixStream>,
    local: Address,
    name: String,
    names: Names,
}

impl Listener for PairListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        self.incoming.poll_recv(cx).map(|stream| {
            let stream = stream.ok_or_else(|| io::Error::other("the name has been taken away"))?;
            Ok(Incoming::Established(establish(stream)))
        })
    }

    fn local_address(&self) -> &Address {
        &self.local
    }

    fn protection(&self) -> Protection {
        Protection::SameHost
    }
}

impl Drop for PairListener {
    fn drop(&mut self) {
        self.names.lock().remove(&self.name);
    }
}

fn establish(stream: UnixStream) -> Established {
    Established {
        stream: Box::new(PairStream(stream)),
        // Both ends were made in this process and given to nobody else.
        evidence: Evidence::new(Protection::SameHost).with_proof(Proof::SameProcess),
        claims: Claims::new(),
        source: Source::SameProcess,
    }
}

struct PairStream(UnixStream);

impl Stream for PairStream {
    fn plain_socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn move_to_runtime(&mut self) -> io::Result<()> {
        self.0.move_to_runtime()
    }

    fn into_split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (read, write) = self.0.into_split();
        (Box::new(read), Box::new(write))
    }
}

impl AsyncRead for PairStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for PairStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// So many wait to be accepted; more are refused.
const BACKLOG: usize = 128;
