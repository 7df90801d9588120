//! Handing listening sockets over to a new process of the same program: an upgrade without a refused connection.
//!
//! ```text
//! new                                        old
//!  | ---- "hand-over/1" ----------------------> |   over unix, both of the same user
//!  | <--- "listener" name address + socket ---- |   once for each, a lock file with its socket file
//!  | <--- "all" ------------------------------- |
//!  |   starts to accept beside the old one      |
//!  | ---- "take" -----------------------------> |   from here on the files are the new one's
//!  | <--- "yours" ----------------------------- |   retires
//! ```
//!
//! It is one socket that both processes have: a client that connects waits in its backlog, whoever accepts it. If the new
//! process ends before it says "take", the old one goes on. Clients see the process that was given the listener last as their
//! peer, in that case the one that has ended.

use std::sync::{Arc, Weak};
use std::time::Duration;

use transport_core::{
    Address, AddressError, Connect, ConnectError, Connection, HandOver, Limits, Listen, ListenError,
    Listener, Message, Policy, RecvError, SendError, Server, ServerHandle, TransportError, Transports,
    UnknownScheme,
};

use crate::transport::UnixTransport;

/// The listeners that a process hands over to the next one.
///
/// # Examples
///
/// ```no_run
/// # async fn upgrade(server: transport_core::Server) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use transport_unix::Offer;
///
/// // While other tasks accept: waits until a new process has taken the listener over.
/// let handle = server.handle();
/// Offer::new().with("api", &handle).give("unix:///run/app/upgrade.sock").await?;
/// handle.retire().await;
/// handle.shutdown(Duration::from_secs(30)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Offer {
    listeners: Vec<(String, ServerHandle)>,
}

/// The listeners that this process has from the one before it.
///
/// # Examples
///
/// ```no_run
/// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
/// use transport_core::{Listen, Policy, Transports};
/// use transport_unix::{TakenOver, UnixTransport};
///
/// let transports = Transports::new().with(UnixTransport::new());
/// let mut taken = TakenOver::from(&transports, "unix:///run/app/upgrade.sock").await?;
/// let listener = taken.listener("api").ok_or("the old process has no listener of this name")?;
/// let server = Listen::on(listener).policy(Policy::uid(1000)).start().await?;
/// // This process works: the old one may retire.
/// taken.confirm().await?;
/// # Ok(())
/// # }
/// ```
pub struct TakenOver {
    connection: Connection,
    transports: Transports,
    listeners: Vec<(String, Box<dyn Listener>)>,
    /// This process's for good once the old one has said so.
    sockets: Vec<Weak<dyn HandOver>>,
}

/// Why a hand-over failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandOverError {
    /// No listening for the new process.
    #[error(transparent)]
    Listen(Box<ListenError>),
    /// No connection to the old process.
    #[error(transparent)]
    Connect(Box<ConnectError>),
    /// Sending to the other process failed.
    #[error("cannot send to the other process")]
    Send(#[from] SendError),
    /// Receiving from the other process failed.
    #[error("cannot receive from the other process")]
    Recv(#[from] RecvError),
    /// The other process ended, or gave up.
    #[error("the other process went away in the middle of the hand-over")]
    Gone,
    /// The other process took too long.
    #[error("the other process said nothing for {0:?}")]
    Deadline(Duration),
    /// The other process speaks another protocol.
    #[error("the other process said {0:?}, which does not belong here")]
    Unexpected(String),
    /// The address of a listener cannot be read.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A listener is of a transport that this process does not have.
    #[error(transparent)]
    Scheme(#[from] UnknownScheme),
    /// A socket cannot be used.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A listener has ended, or is of a transport that cannot hand it over.
    #[error("the listener {name:?} cannot be handed over: it has ended, or its transport has no socket")]
    Ended {
        /// Its name in the offer.
        name: String,
    },
}

impl From<ListenError> for HandOverError {
    fn from(error: ListenError) -> HandOverError {
        HandOverError::Listen(Box::new(error))
    }
}

impl From<ConnectError> for HandOverError {
    fn from(error: ConnectError) -> HandOverError {
        HandOverError::Connect(Box::new(error))
    }
}

impl Offer {
    /// Nothing yet.
    pub fn new() -> Offer {
        Offer::default()
    }

    /// Adds the listener of a server, under a name by which the next process finds it.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, server: &ServerHandle) -> Offer {
        self.listeners.push((name.into(), server.clone()));
        self
    }

    /// Waits at `address`, a `unix` one, until a new process has taken all listeners over. The servers accept meanwhile;
    /// afterwards it is time to [retire](ServerHandle::retire) them. The address is free again then, for the new process to
    /// wait at.
    ///
    /// A process that begins and does not finish is told to the log, and the next one is waited for.
    ///
    /// # Errors
    ///
    /// When it cannot listen at `address`, or a listener cannot be handed over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the waiting; a hand-over that was under way either has happened or has not.
    ///
    /// # Security
    ///
    /// Whoever runs as the same user can take the listeners: it could also read this process's memory.
    pub async fn give<A>(&self, address: A) -> Result<(), HandOverError>
    where
        A: TryInto<Address>,
        AddressError: From<A::Error>,
    {
        self.check()?;
        let transports = Transports::new().with(UnixTransport::new());
        let listen = Listen::new(&transports, address).policy(Policy::same_user()).limits(limits());
        let mut server = listen.start().await?;
        loop {
            let Some(connection) = server.accept().await else { return Err(HandOverError::Gone) };
            match self.give_to(connection, &server).await {
                Ok(()) => return Ok(()),
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "no hand-over"),
            }
            self.check()?;
        }
    }

    /// What is to be handed over is there.
    fn check(&self) -> Result<Vec<Arc<dyn HandOver>>, HandOverError> {
        let parts = self.listeners.iter().map(|(name, server)| {
            server.hand_over().ok_or_else(|| HandOverError::Ended { name: name.clone() })
        });
        parts.collect()
    }

    async fn give_to(&self, mut connection: Connection, server: &Server) -> Result<(), HandOverError> {
        expect(&mut connection, HELLO, STEP).await?;
        let sockets = self.check()?;
        for ((name, server), socket) in self.listeners.iter().zip(&sockets) {
            let parts = [LISTENER.to_owned(), name.clone(), server.local_address().to_string()];
            let message: Message = parts.into_iter().collect();
            connection.send_with_descriptors(&message, &socket.descriptors()).await?;
        }
        connection.send(ALL).await?;
        expect(&mut connection, TAKE, START).await?;
        sockets.iter().for_each(|socket| socket.release());
        // The new process waits here for the one after it.
        server.handle().retire().await;
        // Whether it hears this or not: the listeners are its own.
        if let Err(error) = connection.send(YOURS).await {
            tracing::warn!(%error, "the new process went away when it had taken over");
        }
        let _closed = connection.close().await;
        Ok(())
    }
}

impl TakenOver {
    /// Gets the listeners of the process that waits at `address`; `transports` are those that they may be of. That process
    /// goes on accepting until
    /// [`confirm`](TakenOver::confirm). Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// See [`HandOverError`]; [`HandOverError::Connect`] when there is no such process.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives everything up, and the old process goes on.
    ///
    /// # Security
    ///
    /// Only a process of the same user is accepted as the old one.
    pub async fn from<A>(transports: &Transports, address: A) -> Result<TakenOver, HandOverError>
    where
        A: TryInto<Address>,
        AddressError: From<A::Error>,
    {
        let unix = Transports::new().with(UnixTransport::new());
        let connect = Connect::new(&unix, address).server(Policy::same_user()).limits(limits());
        let connection = connect.await?;
        let transports = transports.clone();
        let mut taken = TakenOver { connection, transports, listeners: Vec::new(), sockets: Vec::new() };
        taken.connection.send(HELLO).await?;
        while taken.take_one().await? {}
        Ok(taken)
    }

    /// The names of the listeners that are left.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.listeners.iter().map(|(name, _)| name.as_str())
    }

    /// Takes the listener of this name, for [`Listen::on`].
    pub fn listener(&mut self, name: &str) -> Option<Box<dyn Listener>> {
        let index = self.names().position(|known| known == name)?;
        Some(self.listeners.remove(index).1)
    }

    /// Tells the old process that this one accepts now, and waits until it has let go. Listeners that were not taken end.
    ///
    /// # Errors
    ///
    /// When the old process did not answer: it may go on accepting, or have ended. The sockets can be used, but their files
    /// are not removed in the end.
    ///
    /// # Cancel safety
    ///
    /// Not cancel-safe: what the old process has been told is unknown then.
    pub async fn confirm(mut self) -> Result<(), HandOverError> {
        self.connection.send(TAKE).await?;
        expect(&mut self.connection, YOURS, START).await?;
        self.sockets.iter().filter_map(Weak::upgrade).for_each(|socket| socket.keep());
        Ok(())
    }

    /// Takes what the old process hands over next; false after the last.
    async fn take_one(&mut self) -> Result<bool, HandOverError> {
        let received = tokio::time::timeout(STEP, self.connection.recv_with_descriptors());
        let received = received.await.map_err(|_| HandOverError::Deadline(STEP))??;
        let (message, descriptors) = received.ok_or(HandOverError::Gone)?;
        let parts: Vec<&str> =
            message.parts().iter().map(|part| std::str::from_utf8(part).unwrap_or("(not text)")).collect();
        match parts[..] {
            [LISTENER, name, address] => {
                let address: Address = address.parse()?;
                let transport = self.transports.lookup(address.scheme())?;
                let listener = transport.take_over(&address, descriptors)?;
                self.sockets.extend(listener.hand_over());
                self.listeners.push((name.to_owned(), listener));
                Ok(true)
            }
            [ALL] => Ok(false),
            _ => Err(unexpected(&message)),
        }
    }
}

impl std::fmt::Debug for TakenOver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TakenOver").field("names", &self.names().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

async fn expect(connection: &mut Connection, word: &str, time: Duration) -> Result<(), HandOverError> {
    let received = tokio::time::timeout(time, connection.recv()).await;
    match received.map_err(|_| HandOverError::Deadline(time))?? {
        Some(message) if message.part_count() == 1 && message.to_text() == Some(word) => Ok(()),
        Some(message) => Err(unexpected(&message)),
        None => Err(HandOverError::Gone),
    }
}

fn unexpected(message: &Message) -> HandOverError {
    let said = message.parts()[0].iter().take(40).copied().collect::<Vec<u8>>();
    HandOverError::Unexpected(String::from_utf8_lossy(&said).into_owned())
}

/// A socket, and perhaps a lock.
fn limits() -> Limits {
    Limits::default().with_descriptors(2).with_message(64 << 10)
}

const HELLO: &str = "hand-over/1";
const LISTENER: &str = "listener";
const ALL: &str = "all";
const TAKE: &str = "take";
const YOURS: &str = "yours";

/// How long one step may take.
const STEP: Duration = Duration::from_secs(10);
/// How long the new process may take to start.
const START: Duration = Duration::from_secs(60);
