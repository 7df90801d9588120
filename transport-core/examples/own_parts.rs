//! A transport, a framing and a mechanism made outside of transport-core, used together.
//!
//! ```text
//! pair://demo   a transport over socket pairs within the process    own_parts/pair.rs
//! 5:hello,      netstrings as the framing                           own_parts/netstring.rs
//! TICKET        a mechanism that knows its users by a ticket        own_parts/ticket.rs
//! ```
//!
//! Run it with `cargo run -p transport-core --example own_parts`; it ends by itself.

#[path = "own_parts/netstring.rs"]
pub(crate) mod netstring;
#[path = "own_parts/pair.rs"]
pub(crate) mod pair;
#[path = "own_parts/ticket.rs"]
pub(crate) mod ticket;

use std::error::Error;

use tokio::io::AsyncWriteExt as _;
use transport_core::{Connect, Connection, Listen, Policy, Server, ServerEvent, ServerEvents, Transports};

use netstring::Netstrings;
use pair::PairTransport;
use ticket::{TicketClient, TicketServer};

// A test runs the same thing, see tests/own_parts.rs.
#[cfg(not(test))]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    for line in run().await? {
        println!("{line}");
    }
    Ok(())
}

/// Does everything once, and says what that shows.
pub(crate) async fn run() -> Result<Vec<String>, Box<dyn Error>> {
    let transports = Transports::new().with(PairTransport::new());
    let mut server = Listen::new(&transports, "pair://demo")
        .framing(Netstrings)
        .mechanism(
            TicketServer::new().with_ticket("alice", "row 7 seat 12").with_ticket("bob", "row 1 seat 1"),
        )
        .policy(Policy::other("ticket", "alice"))
        .start()
        .await?;
    let mut events = server.events();
    let mut shown = Vec::new();

    let (mut client, mut served) = meet(&transports, &mut server, "row 7 seat 12").await?;
    shown.push(format!("the server knows its client as {}", served.identity()));
    shown.push(format!("the client knows its server as {}", client.identity()));
    let _accepted = events.recv().await;

    client.send("hello").await?;
    let message = served.recv().await?.ok_or("the client is gone")?;
    shown.push(format!("a message arrived: {:?}", message.to_text()));

    for (whose, ticket) in [("nobody's", "row 0 seat 0"), ("bob's", "row 1 seat 1")] {
        let error = connect(&transports, ticket).await.err().ok_or("that ticket must not do")?;
        shown.push(format!("with {whose} ticket the client is told: {error}"));
        shown.push(format!("and the server logs: {}", refusal(&mut events).await?));
    }

    let (mut stream, _early) = client.into_stream().map_err(|_| "something is queued")?;
    stream.write_all(b"999999999:").await?;
    let error = served.recv().await.err().ok_or("that is too large")?;
    shown.push(format!("of a large message its length is enough: {error}"));
    Ok(shown)
}

async fn connect(transports: &Transports, ticket: &str) -> Result<Connection, Box<dyn Error>> {
    let connect = Connect::new(transports, "pair://demo").framing(Netstrings);
    Ok(connect.mechanism(TicketClient::new(ticket)).server(Policy::same_process()).await?)
}

async fn meet(
    transports: &Transports,
    server: &mut Server,
    ticket: &str,
) -> Result<(Connection, Connection), Box<dyn Error>> {
    let (client, served) = tokio::join!(connect(transports, ticket), server.accept());
    Ok((client?, served.ok_or("the server has stopped")?))
}

async fn refusal(events: &mut ServerEvents) -> Result<String, Box<dyn Error>> {
    match events.recv().await {
        Some(ServerEvent::Refused { reason, .. }) => Ok(reason.to_string()),
        other => Err(format!("not a refusal: {other:?}").into()),
    }
}
