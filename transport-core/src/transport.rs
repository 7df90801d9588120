//! Places to connect to and listen at: the transport trait and the table that finds one by scheme.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::address::Address;
use crate::claims::Claims;
use crate::descriptors::{self, cannot_carry};
use crate::evidence::{Evidence, Protection};
use crate::tcp::ProxyError;

/// A boxed future that can move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Can connect to and listen at the addresses of one scheme.
///
/// A transport yields byte streams and says what it has proven about who is at the other end. It knows nothing of
/// messages, mechanisms or policies.
///
/// # Contract
///
/// - What goes into the [`Evidence`] has been verified; what a peer merely says goes into the claims.
/// - [`Listener::poll_accept`] never waits for a peer: a handshake of the transport's own, as in TLS, is handed over
///   as a future in [`Incoming`], which the server runs under its deadline and caps.
/// - Both are cancel-safe: dropping a future closes what it had opened and nothing else.
///
/// # Examples
///
/// `transport-core/examples/own_parts.rs` has a transport, a framing and a mechanism made outside of this crate.
pub trait Transport: Send + Sync {
    /// The scheme of its addresses, such as `tcp`.
    fn scheme(&self) -> &'static str;

    /// Opens a stream to `address`.
    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Result<Established, TransportError>>;

    /// Starts to listen at `address`.
    fn listen<'a>(&'a self, address: &'a Address)
    -> BoxFuture<'a, Result<Box<dyn Listener>, TransportError>>;

    /// Goes on with a listener that another process has handed over, with what its [`HandOver::descriptors`] were. The
    /// default: it cannot. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When these are not the descriptors of such a listener.
    fn take_over(
        &self,
        address: &Address,
        _descriptors: Vec<OwnedFd>,
    ) -> Result<Box<dyn Listener>, TransportError> {
        Err(TransportError::address(address, self.scheme(), "its listeners cannot be handed over"))
    }
}

/// Yields incoming streams.
pub trait Listener: Send {
    /// Takes the next incoming stream.
    ///
    /// # Errors
    ///
    /// When accepting failed, as with too many open files. The listener goes on and may be asked again.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>>;

    /// The address that peers can connect to: with the port that was chosen, if any was.
    fn local_address(&self) -> &Address;

    /// How well its streams are guarded, as far as is known before a peer connects.
    fn protection(&self) -> Protection;

    /// What another process needs to go on with this listener. The default: it cannot.
    ///
    /// The answer must not keep the listener alive.
    fn hand_over(&self) -> Option<Weak<dyn HandOver>> {
        None
    }
}

/// What another process needs to go on with a [`Listener`].
pub trait HandOver: Send + Sync {
    /// The listening socket first, and what else belongs to it, such as a lock.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>>;

    /// Tells that another process has it now: what it has in the file system stays there when it is dropped.
    fn release(&self);

    /// Tells that this process has it now, which took it over: what it has in the file system is removed when it is dropped.
    fn keep(&self);
}

/// An open byte stream.
///
/// A wrapper forwards [`is_write_vectored`](AsyncWrite::is_write_vectored), or large messages are written piece by
/// piece.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// The socket beneath, when the bytes of this stream are exactly those of the socket: for `splice(2)`, for
    /// passing descriptors and for spinning. `None` when something, such as TLS, is in between.
    fn plain_socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Whether bytes of the peer wait in the kernel although the last read found none: a server that drains asks
    /// this before it takes the stream for empty. The default asks the plain socket; a wrapper forwards it.
    fn has_arrived(&self) -> bool {
        self.plain_socket().is_some_and(socket_has_bytes)
    }

    /// Whether descriptors can be passed beside the bytes: over a Unix socket with nothing in between. Core asks before
    /// it uses the two methods below; a wrapper forwards all three, or none.
    fn carries_descriptors(&self) -> bool {
        false
    }

    /// Reads as [`AsyncRead`] does, and appends the descriptors that came with the bytes, with close-on-exec set. A read
    /// ends where bytes with descriptors end.
    ///
    /// # Errors
    ///
    /// When this stream carries none, or some could not be taken in; those that could are closed then.
    fn poll_read_with_descriptors(
        &mut self,
        _cx: &mut Context<'_>,
        _buf: &mut ReadBuf<'_>,
        _descriptors: &mut Vec<OwnedFd>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(cannot_carry()))
    }

    /// Writes as [`AsyncWrite`] does, with descriptors that go with the first byte: all of them, or nothing was written.
    ///
    /// # Errors
    ///
    /// When this stream carries none.
    fn poll_write_with_descriptors(
        &mut self,
        _cx: &mut Context<'_>,
        _bufs: &[IoSlice<'_>],
        _descriptors: &[BorrowedFd<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(cannot_carry()))
    }

    /// Moves to the tokio runtime of the calling thread: from now on that one must run for this stream to go on, and no
    /// other. A socket is registered there; a stream with nothing but memory has nothing to do; a wrapper forwards it.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported), which is the default, when the stream cannot move; else when the system
    /// refuses. The stream is as it was then.
    fn move_to_runtime(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Splits the stream for use by two tasks. The default shares it behind a lock; a socket can do better.
    ///
    /// Dropping the outgoing half of a socket closes that direction; of other streams it may not, so use
    /// [`shutdown`](tokio::io::AsyncWriteExt::shutdown).
    fn into_split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (read, write) = tokio::io::split(self);
        (Box::new(read), Box::new(write))
    }
}

/// The incoming half of a split [`Stream`].
pub trait ReadHalf: AsyncRead + Send + Unpin {
    /// As [`Stream::has_arrived`].
    fn has_arrived(&self) -> bool {
        false
    }

    /// As [`Stream::poll_read_with_descriptors`].
    fn poll_read_with_descriptors(
        &mut self,
        _cx: &mut Context<'_>,
        _buf: &mut ReadBuf<'_>,
        _descriptors: &mut Vec<OwnedFd>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(cannot_carry()))
    }
}

/// The outgoing half of a split [`Stream`].
pub trait WriteHalf: AsyncWrite + Send + Unpin {
    /// As [`Stream::poll_write_with_descriptors`].
    fn poll_write_with_descriptors(
        &mut self,
        _cx: &mut Context<'_>,
        _bufs: &[IoSlice<'_>],
        _descriptors: &[BorrowedFd<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(cannot_carry()))
    }
}

impl<S: Stream + ?Sized> ReadHalf for tokio::io::ReadHalf<Box<S>> {}
impl<S: Stream + ?Sized> WriteHalf for tokio::io::WriteHalf<Box<S>> {}

/// Whether the kernel has bytes for the reader of a socket.
pub(crate) fn socket_has_bytes(socket: impl AsFd) -> bool {
    rustix::io::ioctl_fionread(socket).is_ok_and(|bytes| bytes > 0)
}

/// A boxed [`Stream`].
pub type BoxStream = Box<dyn Stream>;
/// A boxed [`ReadHalf`].
pub type BoxRead = Box<dyn ReadHalf>;
/// A boxed [`WriteHalf`].
pub type BoxWrite = Box<dyn WriteHalf>;

/// A boxed stream is a stream: for transports that wrap another one.
impl Stream for BoxStream {
    fn plain_socket(&self) -> Option<BorrowedFd<'_>> {
        (**self).plain_socket()
    }

    fn has_arrived(&self) -> bool {
        (**self).has_arrived()
    }

    fn carries_descriptors(&self) -> bool {
        (**self).carries_descriptors()
    }

    fn poll_read_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        descriptors: &mut Vec<OwnedFd>,
    ) -> Poll<io::Result<()>> {
        (**self).poll_read_with_descriptors(cx, buf, descriptors)
    }

    fn poll_write_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
    ) -> Poll<io::Result<usize>> {
        (**self).poll_write_with_descriptors(cx, bufs, descriptors)
    }

    fn move_to_runtime(&mut self) -> io::Result<()> {
        (**self).move_to_runtime()
    }

    fn into_split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        (*self).into_split()
    }
}

impl Stream for tokio::net::TcpStream {
    fn plain_socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn move_to_runtime(&mut self) -> io::Result<()> {
        let socket = self.as_fd().try_clone_to_owned()?;
        *self = tokio::net::TcpStream::from_std(socket.into())?;
        Ok(())
    }

    fn into_split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (read, write) = (*self).into_split();
        (Box::new(read), Box::new(write))
    }
}

impl ReadHalf for tokio::net::tcp::OwnedReadHalf {
    fn has_arrived(&self) -> bool {
        socket_has_bytes(self.as_ref().as_fd())
    }
}

impl WriteHalf for tokio::net::tcp::OwnedWriteHalf {}

impl Stream for tokio::net::UnixStream {
    fn plain_socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn carries_descriptors(&self) -> bool {
        true
    }

    fn poll_read_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        descriptors: &mut Vec<OwnedFd>,
    ) -> Poll<io::Result<()>> {
        descriptors::poll_recv(self, cx, buf, descriptors)
    }

    fn poll_write_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
    ) -> Poll<io::Result<usize>> {
        descriptors::poll_send(self, cx, bufs, descriptors)
    }

    fn move_to_runtime(&mut self) -> io::Result<()> {
        let socket = self.as_fd().try_clone_to_owned()?;
        *self = tokio::net::UnixStream::from_std(socket.into())?;
        Ok(())
    }

    fn into_split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (read, write) = (*self).into_split();
        (Box::new(read), Box::new(write))
    }
}

impl ReadHalf for tokio::net::unix::OwnedReadHalf {
    fn has_arrived(&self) -> bool {
        socket_has_bytes(self.as_ref().as_fd())
    }

    fn poll_read_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        descriptors: &mut Vec<OwnedFd>,
    ) -> Poll<io::Result<()>> {
        descriptors::poll_recv(self.as_ref(), cx, buf, descriptors)
    }
}

impl WriteHalf for tokio::net::unix::OwnedWriteHalf {
    fn poll_write_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
    ) -> Poll<io::Result<usize>> {
        descriptors::poll_send(self.as_ref(), cx, bufs, descriptors)
    }
}

/// A shared transport is a transport: what [`Transports::lookup`] gives can go into another table.
impl<T: Transport + ?Sized> Transport for Arc<T> {
    fn scheme(&self) -> &'static str {
        (**self).scheme()
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Result<Established, TransportError>> {
        (**self).connect(address)
    }

    fn listen<'a>(
        &'a self,
        address: &'a Address,
    ) -> BoxFuture<'a, Result<Box<dyn Listener>, TransportError>> {
        (**self).listen(address)
    }

    fn take_over(
        &self,
        address: &Address,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Box<dyn Listener>, TransportError> {
        (**self).take_over(address, descriptors)
    }
}

/// An open stream and what is known about its other end.
pub struct Established {
    /// The stream.
    pub stream: BoxStream,
    /// What the transport proved.
    pub evidence: Evidence,
    /// What the peer said of itself to the transport, such as the server name in TLS.
    pub claims: Claims,
    /// Where the peer is.
    pub source: Source,
}

impl fmt::Debug for Established {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Established")
            .field("source", &self.source)
            .field("evidence", &self.evidence)
            .finish_non_exhaustive()
    }
}

/// A stream that a [`Listener`] took in.
pub enum Incoming {
    /// It is ready.
    Established(Established),
    /// The transport has a handshake of its own to do first.
    Handshake {
        /// Where the peer is.
        source: Source,
        /// Does the handshake.
        opening: BoxFuture<'static, Result<Established, TransportError>>,
    },
}

impl Incoming {
    /// Where the peer is.
    pub fn source(&self) -> &Source {
        match self {
            Incoming::Established(established) => &established.source,
            Incoming::Handshake { source, .. } => source,
        }
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("source", self.source()).finish_non_exhaustive()
    }
}

/// Where a peer is: for logs, and to see that no one source takes all the room.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// An address and port of a network.
    Socket(SocketAddr),
    /// A process of this host.
    Process {
        /// Its user.
        uid: u32,
        /// Its process id, if the kernel told.
        pid: Option<i32>,
    },
    /// This process.
    SameProcess,
    /// Somewhere else.
    Other(String),
}

impl Source {
    /// What counts as one source when room is shared out: ports do not matter, and of an IPv6 address only the 64
    /// bits that a single customer of a network has at least.
    pub(crate) fn group(&self) -> Source {
        match self {
            Source::Socket(address) => {
                let ip = match address.ip().to_canonical() {
                    IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
                    ip @ IpAddr::V4(_) => ip,
                };
                Source::Socket(SocketAddr::new(ip, 0))
            }
            Source::Process { uid, .. } => Source::Process { uid: *uid, pid: None },
            other => other.clone(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Socket(address) => address.fmt(f),
            Source::Process { uid, pid: Some(pid) } => write!(f, "process {pid} of uid {uid}"),
            Source::Process { uid, pid: None } => write!(f, "a process of uid {uid}"),
            Source::SameProcess => f.write_str("this process"),
            Source::Other(text) => crate::identity::Printable(text).fmt(f),
        }
    }
}

/// The transports that a program uses, found by scheme.
///
/// Built by the caller, never global; the facade crate `transport` builds one of all transports that it was compiled
/// with.
///
/// # Examples
///
/// ```
/// use transport_core::{Transports, mem::MemTransport, tcp::TcpTransport};
/// let transports = Transports::new().with(TcpTransport::new()).with(MemTransport::new());
/// assert!(transports.lookup("tcp").is_ok());
/// assert_eq!(
///     transports.lookup("tpc").err().unwrap().to_string(),
///     "there is no transport for the scheme \"tpc\"; known are mem, tcp"
/// );
/// ```
#[derive(Clone, Default)]
pub struct Transports {
    by_scheme: BTreeMap<&'static str, Arc<dyn Transport>>,
    hints: BTreeMap<&'static str, &'static str>,
}

impl Transports {
    /// An empty table.
    pub fn new() -> Transports {
        Transports::default()
    }

    /// Adds a transport under its scheme; a later one replaces an earlier one.
    #[must_use]
    pub fn with(mut self, transport: impl Transport + 'static) -> Transports {
        self.by_scheme.insert(transport.scheme(), Arc::new(transport));
        self
    }

    /// Says what to do about a scheme that this program was built without.
    #[must_use]
    pub fn with_hint(mut self, scheme: &'static str, hint: &'static str) -> Transports {
        self.hints.insert(scheme, hint);
        self
    }

    /// The transport for a scheme.
    ///
    /// # Errors
    ///
    /// [`UnknownScheme`] says which ones there are, and what to do if the scheme is known elsewhere.
    pub fn lookup(&self, scheme: &str) -> Result<&Arc<dyn Transport>, UnknownScheme> {
        self.by_scheme.get(scheme).ok_or_else(|| UnknownScheme {
            scheme: scheme.to_owned(),
            known: self.by_scheme.keys().copied().collect::<Vec<_>>().join(", "),
            hint: self.hints.get(scheme).copied(),
        })
    }

    /// The schemes that can be used.
    pub fn schemes(&self) -> impl Iterator<Item = &'static str> {
        self.by_scheme.keys().copied()
    }
}

impl fmt::Debug for Transports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_scheme.keys()).finish()
    }
}

/// There is no transport for the scheme of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownScheme {
    scheme: String,
    known: String,
    hint: Option<&'static str>,
}

impl std::error::Error for UnknownScheme {}

impl fmt::Display for UnknownScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hint {
            Some(hint) => write!(f, "the scheme {:?} is not in this build: {hint}", self.scheme),
            None => {
                write!(f, "there is no transport for the scheme {:?}; known are {}", self.scheme, self.known)
            }
        }
    }
}

/// Why a transport could not connect, listen or do its own handshake.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The address has the scheme but not the shape that this transport needs.
    #[error("{address} is no {scheme} address: {problem}")]
    Address {
        /// The address.
        address: Address,
        /// The transport's scheme.
        scheme: &'static str,
        /// What is wrong, and what to write instead.
        problem: String,
    },
    /// The operating system refused.
    #[error("cannot {action}")]
    Io {
        /// What was tried, with what.
        action: String,
        /// Why not.
        source: io::Error,
    },
    /// A proxy on the way did not connect this side.
    #[error("the proxy {proxy} did not connect to {address}")]
    Proxy {
        /// The proxy, without its user and password.
        proxy: String,
        /// The address.
        address: Address,
        /// Why not.
        source: Box<ProxyError>,
    },
    /// The two ends did not agree, or the peer failed the transport's own authentication.
    #[error("the transport's handshake failed")]
    Handshake(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl TransportError {
    /// The operating system refused to do `action`.
    pub fn io(action: impl Into<String>, source: io::Error) -> TransportError {
        TransportError::Io { action: action.into(), source }
    }

    /// The address does not have the shape that the transport needs.
    pub fn address(address: &Address, scheme: &'static str, problem: impl Into<String>) -> TransportError {
        TransportError::Address { address: address.clone(), scheme, problem: problem.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_grouped_by_host_network_or_user() {
        let group = |text: &str| Source::Socket(text.parse().unwrap()).group();
        assert_eq!(group("10.0.0.1:5"), group("10.0.0.1:6"));
        assert_ne!(group("10.0.0.1:5"), group("10.0.0.2:5"));
        assert_eq!(group("10.0.0.1:5"), group("[::ffff:10.0.0.1]:5"));
        assert_eq!(group("[2001:db8::1]:5"), group("[2001:db8::2]:5"));
        assert_ne!(group("[2001:db8:0:1::1]:5"), group("[2001:db8::1]:5"));
        let process = |pid| Source::Process { uid: 1, pid: Some(pid) }.group();
        assert_eq!(process(1), process(2));
    }

    #[test]
    fn a_scheme_that_is_not_built_in_names_its_feature() {
        let transports =
            Transports::new().with_hint("tls", "enable the feature `tls` of the crate `transport`");
        let error = transports.lookup("tls").err().unwrap().to_string();
        assert_eq!(
            error,
            "the scheme \"tls\" is not in this build: enable the feature `tls` of the crate `transport`"
        );
    }
}
