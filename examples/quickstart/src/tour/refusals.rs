//! Peers that are turned away, as the server's log and the client's program learn it.

use serde::Serialize;
use transport::core::mechanism::{Passwords, PlainClient, PlainServer};
use transport::{Connect, Listen, Policy, ServerEvent};

use super::places::{Kind, Places};
use crate::problem::{Problem, chain};

/// A connection that did not come about.
#[derive(Serialize)]
pub(super) struct Refusal {
    pub(super) case: String,
    pub(super) transport: &'static str,
    /// The reason in the server's event.
    pub(super) server: String,
    /// The error that the client got.
    pub(super) client: String,
}

pub(super) async fn provoke(places: &mut Places) -> Result<Vec<Refusal>, Problem> {
    let me = rustix::process::geteuid().as_raw();
    let other = if me == 1 { 2 } else { 1 };
    let alice = || PlainServer::new(Passwords::new().with_user("alice", "open sesame"));
    let login = PlainClient::new("alice", "guessed")?;
    let guess = || login.clone();
    let same_user = |connect: Connect| connect.server(Policy::same_user());

    let stranger = places.certificates().stranger.clone();

    let mut refusals = Vec::new();
    let mut refuse = async |case: String,
                            kind: Kind,
                            listen: &dyn Fn(Listen) -> Listen,
                            connect: &dyn Fn(Connect) -> Connect| {
        let listen = listen(places.listen(kind)?);
        let (server, client) = refused(listen, connect).await?;
        let transport = kind.name();
        refusals.push(Refusal { case, transport, server, client });
        Ok::<(), Problem>(())
    };
    refuse("The server was given no policy.".to_owned(), Kind::UnixFile, &|listen| listen, &same_user)
        .await?;
    refuse(
        format!("The server allows uid:{other} alone, the client is uid:{me}."),
        Kind::UnixFile,
        &|listen| listen.policy(Policy::uid(other)),
        &same_user,
    )
    .await?;
    refuse(
        "The client gives a wrong password.".to_owned(),
        Kind::UnixFile,
        &|listen| listen.policy(Policy::user("alice")).mechanism(alice()),
        &|connect| connect.server(Policy::same_user()).mechanism(guess()),
    )
    .await?;
    refuse(
        format!("The client wants a server of uid:{other}, and finds one of uid:{me}."),
        Kind::UnixAbstract,
        &|listen| listen.policy(Policy::same_user()),
        &|connect| connect.server(Policy::uid(other)),
    )
    .await?;
    refuse(
        "The client's certificate is from an authority that the server does not know.".to_owned(),
        Kind::Tls,
        &|listen| listen.policy(Kind::Tls.client()),
        &|connect| connect.server(Kind::Tls.server()).transport(stranger.clone()),
    )
    .await?;
    refuse(
        "The client would send a password where any program could be listening.".to_owned(),
        Kind::Tcp,
        &|listen| listen.policy(Policy::danger_anyone()),
        &|connect| connect.server(Policy::danger_anyone()).mechanism(guess()),
    )
    .await?;
    Ok(refusals)
}

/// Why the server and the client say that there is no connection.
async fn refused(listen: Listen, prepare: &dyn Fn(Connect) -> Connect) -> Result<(String, String), Problem> {
    let mut server = listen.start().await?;
    let mut events = server.events();
    let address = server.local_address().to_string();
    let Err(error) = prepare(transport::connect(address)).await else {
        return Err("a client that should be refused was let in".into());
    };
    match events.recv().await {
        Some(ServerEvent::Refused { reason, .. }) => Ok((chain(&*reason), chain(&error))),
        event => Err(format!("the server should have refused a client, but told {event:?}").into()),
    }
}
