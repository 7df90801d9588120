//! Places to connect to and listen at: the transport trait, its streams, and the table that finds one by scheme.

mod error;
mod incoming;
mod sockets;
mod source;
mod stream;
mod table;

use std::future::Future;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use crate::address::Address;
use crate::evidence::Protection;
use crate::policy::Policy;

pub use error::TransportError;
pub use incoming::{Established, Incoming};
pub use source::Source;
pub use stream::{BoxRead, BoxStream, BoxWrite, ReadHalf, Stream, WriteHalf};
pub use table::{Transports, UnknownScheme};

/// A boxed future that can move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Can connect to and listen at the addresses of one scheme.
///
/// A transport yields byte streams and says what it has proven about who is at the other end. It knows nothing of
/// messages or mechanisms, and core decides by the policy.
///
/// # Contract
///
/// - What goes into the [`Evidence`](crate::Evidence) has been verified; what a peer merely says goes into the claims.
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

    /// As [`connect`](Transport::connect), and tells who the server may be, where that is decided by what the transport proves and
    /// by nothing else. A transport with a handshake of its own can then refuse others in it, before it says who this side is.
    /// It may keep the policy for later connections. Core checks the policy in any case. The default: connects.
    fn connect_only_to<'a>(
        &'a self,
        address: &'a Address,
        _policy: &'a Policy,
    ) -> BoxFuture<'a, Result<Established, TransportError>> {
        self.connect(address)
    }

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

    /// Tells who may in, where that is decided by what the transport proves and by nothing else. A transport with a handshake of
    /// its own can then refuse others in it, as it refuses those whose proof fails: so a stranger cannot tell a proof that is
    /// good but not wanted from one that is not good. Core checks the policy in any case. The default: nothing.
    fn let_in_only(&mut self, _policy: &Policy) {}

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

/// A shared transport is a transport: what [`Transports::lookup`] gives can go into another table.
impl<T: Transport + ?Sized> Transport for Arc<T> {
    fn scheme(&self) -> &'static str {
        (**self).scheme()
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Result<Established, TransportError>> {
        (**self).connect(address)
    }

    fn connect_only_to<'a>(
        &'a self,
        address: &'a Address,
        policy: &'a Policy,
    ) -> BoxFuture<'a, Result<Established, TransportError>> {
        (**self).connect_only_to(address, policy)
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
