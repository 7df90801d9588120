//! `quickstart send`: the client of `quickstart serve`, or of any ZeroMQ program.

use std::io::{self, Write as _};

use transport::core::HandshakeError;
use transport::tls::ClientCertificates;
use transport::{ClientEvent, ClientEvents, Connect, ConnectError, Limits, Message, Policy};

use crate::cli::{SendOptions, any_of};
use crate::passwords;
use crate::problem::{Problem, chain};

/// Sends one message after the other, each once the one before has been answered.
pub(crate) async fn run(options: SendOptions) -> Result<(), Problem> {
    if options.retry {
        return run_with_retry(options).await;
    }
    let mut connection = connect(&options)?.await.map_err(explain)?;
    for message in messages(&options) {
        connection.send(&message).await?;
        let answer = tokio::time::timeout(options.timeout, connection.recv());
        let answer = answer.await.map_err(|_| no_answer(&options))??;
        let answer = answer.ok_or("the server closed the connection instead of answering")?;
        writeln!(io::stdout(), "{}", line(&answer, options.req)?)?;
    }
    Ok(connection.close().await?)
}

/// The same over a connection that comes back by itself. Nobody can tell whether the server has processed a message that it
/// has not answered, so that message is not sent again.
async fn run_with_retry(options: SendOptions) -> Result<(), Problem> {
    let mut client = connect(&options)?.keep().map_err(explain)?;
    let events = tokio::spawn(tell(client.events()));
    for message in messages(&options) {
        client.send(&message).await?;
        client.handle().flush().await?;
        let answer = tokio::time::timeout(options.timeout, client.recv()).await;
        let answer = answer.map_err(|_| no_answer(&options))??.ok_or("the client was closed")?;
        writeln!(io::stdout(), "{}", line(&answer, options.req)?)?;
    }
    client.close(options.timeout).await;
    Ok(events.await?)
}

/// Says on standard error what happens to the connection.
async fn tell(mut events: ClientEvents) {
    while let Some(event) = events.recv().await {
        let line = match event {
            ClientEvent::ConnectFailed { address, error, .. } => {
                format!("{address}: {}", chain(&*error))
            }
            ClientEvent::Waiting { time } => format!("next attempt in {:.1} s", time.as_secs_f64()),
            ClientEvent::Connected { address, identity, .. } => format!("connected to {address}: {identity}"),
            ClientEvent::Disconnected { reason, may_be_lost, kept, .. } => {
                format!("{reason}; {may_be_lost} messages may be lost, {kept} are kept")
            }
            _ => continue,
        };
        eprintln!("{line}");
    }
}

fn no_answer(options: &SendOptions) -> String {
    format!("no answer within {:?}", options.timeout)
}

fn connect(options: &SendOptions) -> Result<Connect, Problem> {
    let limits = Limits::default().with_connect_time(options.timeout).with_handshake_time(options.timeout);
    // Whether clients are asked for certificates is for the other side to say.
    let transports = options.tls.transports(ClientCertificates::default())?;
    let mut connect =
        Connect::new(&transports, &options.address).server(server_policy(options)?).limits(limits);
    if let Some(file) = &options.plain_file {
        connect = connect.mechanism(passwords::client(file)?);
    }
    if let Some(file) = &options.scram_file {
        connect =
            connect.mechanism(passwords::scram_client(file, options.address.scheme().starts_with("tls"))?);
    }
    if options.danger_plaintext {
        connect = connect.danger_plaintext();
    }
    Ok(connect)
}

fn server_policy(options: &SendOptions) -> Result<Policy, Problem> {
    if !options.server.is_empty() {
        return Ok(any_of(options.server.clone()));
    }
    match options.address.scheme() {
        "unix" => Ok(Policy::same_user()),
        scheme if scheme.starts_with("tls") => Ok(options.tls.server_policy()),
        scheme => Err(format!(
            "say who the server may be: {scheme} does not prove it, so write --server anyone to talk to whoever \
             listens there"
        )
        .into()),
    }
}

fn messages(options: &SendOptions) -> Vec<Message> {
    let delimiter = options.req.then(String::new);
    let message = |texts: &[String]| delimiter.iter().chain(texts).cloned().collect();
    if options.multipart {
        vec![message(&options.texts)]
    } else {
        options.texts.chunks(1).map(message).collect()
    }
}

/// The answer as one line: parts separated by tabs, and nothing in them that a terminal would act on.
fn line(answer: &Message, req: bool) -> Result<String, Problem> {
    let parts = match answer.parts() {
        [delimiter, parts @ ..] if req && delimiter.is_empty() => parts,
        _ if req => return Err("the answer has no empty part in front: it is not for --req".into()),
        parts => parts,
    };
    let parts: Vec<String> = parts.iter().map(|part| printable(part)).collect();
    Ok(parts.join("\t"))
}

fn printable(part: &[u8]) -> String {
    let escape = |c: char| {
        if c.is_control() { c.escape_default().to_string() } else { c.to_string() }
    };
    match std::str::from_utf8(part) {
        Ok(text) => text.chars().map(escape).collect(),
        Err(_) => part.escape_ascii().to_string(),
    }
}

/// Says the same in the words of this command line.
fn explain(error: ConnectError) -> Problem {
    match error {
        ConnectError::Handshake(HandshakeError::Denied(denied)) => {
            format!("the server is not whom --server allows: {denied}").into()
        }
        ConnectError::Handshake(HandshakeError::RefusedByPeer { reason }) if reason == NOT_ALLOWED => {
            "the server refused this client (400: not allowed, or wrong password); its log says why".into()
        }
        ConnectError::Handshake(HandshakeError::Unprotected(error)) => {
            format!("{error} (here: --danger-plaintext)").into()
        }
        error => error.into(),
    }
}

/// The status code for "not you" (RFC 27/ZAP).
const NOT_ALLOWED: &str = "400";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_would_act_on_is_printed() {
        let answer: Message = ["a\x1b[2J\nb", "grün"].into_iter().collect();
        assert_eq!(line(&answer, false).unwrap(), "a\\u{1b}[2J\\nb\tgrün");
        assert_eq!(printable(b"\xff\x1b"), "\\xff\\x1b");
    }

    #[test]
    fn the_delimiter_of_a_rep_socket_is_taken_off() {
        let answer: Message = ["", "a"].into_iter().collect();
        assert_eq!(line(&answer, true).unwrap(), "a");
        assert_eq!(line(&answer, false).unwrap(), "\ta");
        assert!(line(&Message::from("a"), true).is_err());
    }
}
