//! Both ends of a connection in one call.

use std::sync::Arc;

use crate::address::{Address, AddressError};
use crate::connect::{Connect, ConnectError};
use crate::connection::Connection;
use crate::handshake::HandshakeError;
use crate::listen::{Listen, ListenError};
use crate::mem::MemTransport;
use crate::policy::Policy;
use crate::server::ServerEvent;
use crate::transport::Transports;

/// Both ends of a connection within this process: the connecting one first.
///
/// Each knows the other as `process`.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use transport_core::test_util::pair;
///
/// let (mut near, mut far) = pair().await;
/// near.send("hello").await?;
/// assert_eq!(far.recv().await?.unwrap().to_text(), Some("hello"));
/// # Ok(())
/// # }
/// ```
pub async fn pair() -> (Connection, Connection) {
    let transports = Transports::new().with(MemTransport::new());
    let pair = pair_over(&transports, "mem://pair", |connect| connect, |listen| listen).await;
    pair.expect("nothing stands between two ends of the same process")
}

/// Both ends of a connection over one of `transports`, with settings of your own: the connecting one first.
///
/// Each side lets this process in unless its settings say otherwise; over other transports than `mem` they must.
///
/// # Errors
///
/// When one side turns the other away: so this is for tests of policies and mechanisms too.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use transport_core::mechanism::{Passwords, PlainClient, PlainServer};
/// use transport_core::test_util::pair_over;
/// use transport_core::{Policy, Transports, mem::MemTransport};
///
/// let transports = Transports::new().with(MemTransport::new());
/// let passwords = Passwords::new().with_user("alice", "wonderland");
/// let alice = PlainClient::new("alice", "wonderland")?;
/// let (_near, far) = pair_over(
///     &transports,
///     "mem://login",
///     |connect| connect.mechanism(alice),
///     |listen| listen.mechanism(PlainServer::new(passwords)).policy(Policy::user("alice")),
/// )
/// .await?;
/// assert_eq!(far.identity().to_string(), "user:alice");
/// # Ok(())
/// # }
/// ```
pub async fn pair_over<A>(
    transports: &Transports,
    address: A,
    connect: impl FnOnce(Connect) -> Connect,
    listen: impl FnOnce(Listen) -> Listen,
) -> Result<(Connection, Connection), PairError>
where
    A: TryInto<Address>,
    AddressError: From<A::Error>,
{
    let listen = listen(Listen::new(transports, address).policy(Policy::same_process()));
    let mut server = listen.start().await?;
    let mut events = server.events();
    let connect = connect(
        Connect::new::<Address>(transports, server.local_address().clone()).server(Policy::same_process()),
    );
    let refused = async move {
        while let Some(event) = events.recv().await {
            if let ServerEvent::Refused { reason, .. } = event {
                return reason;
            }
        }
        std::future::pending().await
    };
    let both = async {
        let (near, far) = tokio::try_join!(async { connect.await.map_err(PairError::Connect) }, async {
            Ok(server.accept().await.expect("the server lives until both ends are there"))
        },)?;
        Ok((near, far))
    };
    tokio::select! {
        biased;
        pair = both => pair,
        reason = refused => Err(PairError::Refused(reason)),
    }
}

/// Why there is no pair.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PairError {
    /// The accepting side could not listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The connecting side found no connection.
    #[error(transparent)]
    Connect(ConnectError),
    /// The accepting side turned the connecting side away.
    #[error("the accepting side refused")]
    Refused(#[source] Arc<HandshakeError>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pair_that_may_not_meet_says_which_side_refused() {
        let transports = Transports::new().with(MemTransport::new());
        let refused = pair_over(&transports, "mem://a", |c| c, |l| l.policy(Policy::nobody())).await;
        assert!(matches!(refused, Err(PairError::Refused(_) | PairError::Connect(_))), "{refused:?}");
        let refused = pair_over(&transports, "mem://b", |c| c.server(Policy::nobody()), |l| l).await;
        assert!(matches!(refused, Err(PairError::Connect(_))), "{refused:?}");
    }
}
