//! `quickstart serve`: an echo server that says who comes.

use std::io::{self, Write as _};
use std::time::Duration;

use transport::core::EventOrGap;
use transport::core::mechanism::scram::{PasswordFile, ScramServer};
use transport::tls::ClientCertificates;
use transport::{Connection, Listen, ListenError, Server, ServerEvent, ServerEvents};

use crate::cli::{ServeOptions, any_of};
use crate::echo::echo;
use crate::event_log::{self, Event, EventLog};
use crate::passwords;
use crate::problem::{Problem, chain};
use crate::proofs::Seen;
use crate::signals::StopSignals;

/// How long connections may take to end: a little more than closing one takes at most.
const GRACE: Duration = Duration::from_secs(3);

/// Serves until SIGINT or SIGTERM, or until nobody reads the log any more.
pub(crate) async fn run(options: ServeOptions) -> Result<(), Problem> {
    let mut signals = StopSignals::new()?;
    if options.allow.is_empty() {
        // Whoever closed stderr does not want to know.
        let _ = writeln!(io::stderr(), "{}", nobody_may_in(&options));
    }
    let mut server = listen(options)?.start().await.map_err(explain)?;
    let mut events = server.events();
    let (log, writer) = event_log::start();
    log.tell(Event::Listening { address: server.local_address().to_string() });
    tokio::select! {
        () = accept(&mut server) => {}
        () = tell(&mut events, &log) => {}
        () = signals.recv() => {}
        () = log.closed() => {}
    }
    let drained = server.shutdown(GRACE).await;
    // Connections that were cut still tell their end, and then there is nothing more to tell.
    let _some_hang = tokio::time::timeout(Duration::from_secs(1), tell(&mut events, &log)).await;
    log.tell(Event::Stopped { cut: drained.cut });
    Ok(log.finish(writer).await?)
}

fn listen(options: ServeOptions) -> Result<Listen, Problem> {
    let clients =
        if options.no_client_certs { ClientCertificates::NotAsked } else { ClientCertificates::Required };
    let transports = options.tls.transports(clients)?;
    let over_tls = options.address.scheme().starts_with("tls");
    let mut listen = Listen::new(&transports, &options.address).policy(any_of(options.allow));
    if let Some(file) = &options.plain_file {
        listen = listen.mechanism(passwords::server(file)?);
    }
    if let Some(file) = &options.password_file {
        let accounts = PasswordFile::open(file)?;
        // Over TLS the login is bound to the stream.
        listen = match over_tls {
            true => listen.mechanism(ScramServer::plus(accounts)),
            false => listen.mechanism(ScramServer::new(accounts)),
        };
    }
    if options.danger_plaintext {
        listen = listen.danger_plaintext();
    }
    Ok(listen)
}

/// Hands each peer to a task of its own.
async fn accept(server: &mut Server) {
    while let Some(connection) = server.accept().await {
        tokio::spawn(serve_peer(connection));
    }
}

async fn serve_peer(mut connection: Connection) {
    // What went wrong is the reason that the server's events give for the end.
    if echo(&mut connection).await.is_ok() {
        let _ = connection.close().await;
    }
}

/// Tells what the server does, until it and its connections are gone.
async fn tell(events: &mut ServerEvents, log: &EventLog) {
    while let Some(event) = events.next().await {
        match event {
            EventOrGap::Event(ServerEvent::Accepted { connection, source, identity }) => {
                log.tell(Event::Accepted {
                    connection: connection.to_u64(),
                    peer: Seen::of(&identity),
                    source: source.to_string(),
                })
            }
            EventOrGap::Event(ServerEvent::Closed(closed)) => log.tell(Event::from(&*closed)),
            EventOrGap::Event(ServerEvent::Refused { source, identity, reason }) => {
                log.tell(Event::Refused {
                    reason: chain(&*reason),
                    identity: identity.map(|identity| identity.to_string()),
                    source: source.to_string(),
                })
            }
            EventOrGap::Event(ServerEvent::AcceptFailed { error, .. }) => {
                log.tell(Event::AcceptFailed { reason: chain(&*error) })
            }
            EventOrGap::Gap(events) => log.lost(events),
            // Stopped is told at the very end.
            EventOrGap::Event(_) => {}
        }
    }
}

fn nobody_may_in(options: &ServeOptions) -> String {
    let example = if options.plain_file.is_some() || options.password_file.is_some() {
        "user:NAME".to_owned()
    } else if options.address.scheme() == "unix" {
        format!("uid:{}", rustix::process::geteuid().as_raw())
    } else if options.address.scheme().starts_with("tls") && !options.no_client_certs {
        "certified".to_owned()
    } else {
        "anyone".to_owned()
    };
    format!("quickstart: without --allow every peer is refused; write for example --allow {example}")
}

fn explain(error: ListenError) -> Problem {
    match error {
        ListenError::Unprotected(error) => format!("{error} (here: --danger-plaintext)").into(),
        error => error.into(),
    }
}
