//! The transport itself.

use std::io;
use std::task::{Context, Poll};

use super::control::FaultControl;
use super::stream::FaultyStream;
use crate::address::Address;
use crate::evidence::Protection;
use crate::framing::Role;
use crate::policy::Policy;
use crate::transport::{BoxFuture, Established, Incoming, Listener, Transport, TransportError};

/// A transport with what a network does to it, under the scheme of the transport that it wraps.
///
/// Both ends of a stream are wrapped, the one that connected and the one that was accepted, each with a
/// [`FaultPlan`](super::FaultPlan) of its own: what one end reads is its `incoming` direction, what it writes its
/// `outgoing` one. Nothing goes wrong until its [`control`](FaultyTransport::control) says so. Time is tokio's, so that
/// in [`virtual_time`](super::super::virtual_time) it costs nothing.
///
/// Streams say what the wrapped ones say of vectored writes and of bytes that have arrived; they give no plain socket and
/// carry no descriptors, which would pass the faults by.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use transport_core::framing::Role;
/// use transport_core::mem::MemTransport;
/// use transport_core::test_util::{Direction, FaultPlan, FaultyTransport, pair_over, virtual_time};
/// use transport_core::{RecvError, Transports};
///
/// virtual_time(1, async |_| {
///     let faulty = FaultyTransport::new(MemTransport::new());
///     let faults = faulty.control();
///     let transports = Transports::new().with(faulty);
///
///     // A byte takes a second to the accepting end, which hears no more than 150 bytes.
///     faults.plan(|role, _number| match role {
///         Role::Client => FaultPlan::new(),
///         Role::Server => {
///             FaultPlan::new().incoming(Direction::new().delayed(Duration::from_secs(1)).end_after(150))
///         }
///     });
///     let pair = pair_over(&transports, "mem://faulty", |connect| connect, |listen| listen);
///     let (mut near, mut far) = pair.await.unwrap();
///     near.send(&vec![0; 100]).await.unwrap();
///     assert!(matches!(far.recv().await, Err(RecvError::Truncated)));
///
///     // The cable is pulled: nobody learns of it at once.
///     faults.partition(true);
///     let silence = tokio::time::timeout(Duration::from_secs(60), near.recv()).await;
///     assert!(silence.is_err());
/// });
/// ```
#[derive(Clone, Debug)]
pub struct FaultyTransport<T> {
    inner: T,
    control: FaultControl,
}

impl<T: Transport> FaultyTransport<T> {
    /// Wraps a transport; nothing goes wrong yet.
    pub fn new(inner: T) -> FaultyTransport<T> {
        FaultyTransport { inner, control: FaultControl::new() }
    }

    /// Says what goes wrong.
    pub fn control(&self) -> FaultControl {
        self.control.clone()
    }

    async fn connect_by(
        &self,
        address: &Address,
        connecting: BoxFuture<'_, Result<Established, TransportError>>,
    ) -> Result<Established, TransportError> {
        if !self.control.may_connect().await {
            let error = io::Error::new(io::ErrorKind::ConnectionRefused, "refused by the fault plan");
            return Err(TransportError::io(format!("connect to {address}"), error));
        }
        Ok(wrap(connecting.await?, Role::Client, &self.control))
    }
}

impl<T: Transport> Transport for FaultyTransport<T> {
    fn scheme(&self) -> &'static str {
        self.inner.scheme()
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Result<Established, TransportError>> {
        Box::pin(self.connect_by(address, self.inner.connect(address)))
    }

    fn connect_only_to<'a>(
        &'a self,
        address: &'a Address,
        policy: &'a Policy,
    ) -> BoxFuture<'a, Result<Established, TransportError>> {
        Box::pin(self.connect_by(address, self.inner.connect_only_to(address, policy)))
    }

    fn listen<'a>(
        &'a self,
        address: &'a Address,
    ) -> BoxFuture<'a, Result<Box<dyn Listener>, TransportError>> {
        Box::pin(async move {
            let inner = self.inner.listen(address).await?;
            Ok(Box::new(FaultyListener { inner, control: self.control.clone() }) as Box<dyn Listener>)
        })
    }
}

struct FaultyListener {
    inner: Box<dyn Listener>,
    control: FaultControl,
}

impl Listener for FaultyListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        self.inner.poll_accept(cx).map_ok(|incoming| match incoming {
            Incoming::Established(established) => {
                Incoming::Established(wrap(established, Role::Server, &self.control))
            }
            Incoming::Handshake { source, opening } => {
                let control = self.control.clone();
                let opening = Box::pin(async move { Ok(wrap(opening.await?, Role::Server, &control)) });
                Incoming::Handshake { source, opening }
            }
        })
    }

    fn local_address(&self) -> &Address {
        self.inner.local_address()
    }

    fn protection(&self) -> Protection {
        self.inner.protection()
    }

    fn let_in_only(&mut self, policy: &Policy) {
        self.inner.let_in_only(policy);
    }
}

fn wrap(established: Established, role: Role, control: &FaultControl) -> Established {
    let (plan, random, link) = control.open(role);
    let stream = FaultyStream::new(established.stream, plan, random, link);
    Established { stream: Box::new(stream), ..established }
}
