//! Who each side proves to be, and a few messages between them.

use serde::Serialize;
use transport::core::mechanism::{Passwords, PlainClient, PlainServer};
use transport::{Connection, Message, Policy};

use super::places::{Ends, Kind, Places, ends};
use crate::echo::echo;
use crate::problem::Problem;
use crate::proofs::Seen;

/// A client and a server that met.
#[derive(Serialize)]
pub(super) struct Meeting {
    pub(super) transport: &'static str,
    pub(super) address: String,
    pub(super) mechanism: &'static str,
    pub(super) client_sees: Seen,
    pub(super) server_sees: Seen,
    /// What went to the server and came back unchanged.
    pub(super) messages: Vec<Exchanged>,
}

/// A message that came back as it went.
#[derive(Serialize)]
pub(super) struct Exchanged {
    pub(super) what: &'static str,
    pub(super) parts: usize,
    pub(super) bytes: usize,
}

pub(super) async fn meet(places: &mut Places) -> Result<Vec<Meeting>, Problem> {
    let mut meetings = Vec::new();
    for kind in Kind::ALL {
        let listen = places.listen(kind)?.policy(kind.client());
        let ends = ends(places, listen, |connect| connect.server(kind.server())).await?;
        meetings.push(meeting(kind, "NULL", ends).await?);
        if kind == Kind::UnixAbstract {
            meetings.push(alice(places).await?);
        }
    }
    Ok(meetings)
}

/// A user with a password, over unix: the mechanism proves more than the kernel.
async fn alice(places: &mut Places) -> Result<Meeting, Problem> {
    let passwords = Passwords::new().with_user("alice", "open sesame");
    let listen =
        places.listen(Kind::UnixFile)?.policy(Policy::user("alice")).mechanism(PlainServer::new(passwords));
    let login = PlainClient::new("alice", "open sesame")?;
    let ends = ends(places, listen, |connect| connect.server(Policy::same_user()).mechanism(login));
    meeting(Kind::UnixFile, "PLAIN", ends.await?).await
}

async fn meeting(kind: Kind, mechanism: &'static str, ends: Ends) -> Result<Meeting, Problem> {
    let Ends { address, mut client, mut server } = ends;
    let client_sees = Seen::of(client.identity());
    let server_sees = Seen::of(server.identity());
    let echoing = tokio::spawn(async move { echo(&mut server).await });
    let messages = exchange(&mut client).await?;
    client.close().await?;
    echoing.await??;
    Ok(Meeting { transport: kind.name(), address, mechanism, client_sees, server_sees, messages })
}

async fn exchange(client: &mut Connection) -> Result<Vec<Exchanged>, Problem> {
    let mut exchanged = Vec::new();
    for (what, message) in [
        ("a text", Message::from("hello")),
        ("three parts", ["buy", "3 apples", ""].into_iter().collect()),
        ("1 MiB", Message::from(vec![7; 1 << 20])),
    ] {
        client.send(&message).await?;
        let answer = client.recv().await?;
        if answer.as_ref() != Some(&message) {
            return Err(format!("{what} did not come back as it went").into());
        }
        exchanged.push(Exchanged { what, parts: message.part_count(), bytes: message.byte_count() });
    }
    Ok(exchanged)
}
