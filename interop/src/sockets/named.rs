//! The commands, for sockets of any kind in this process.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use transport::Message;

use super::{Command, Settings, to_bytes, to_text};

/// Sockets of one kind, by their names.
pub struct NamedSockets<S> {
    sockets: HashMap<String, S>,
}

/// A socket as ZeroMQ programs see it: a ROUTER's messages begin with a routing id, and an XSUB's subscriptions are
/// messages. What goes wrong is told in words.
pub trait AnySocket: Sized {
    fn open(r#type: &str, settings: &Settings) -> impl Future<Output = Result<Self, String>> + Send;

    /// Binds, and tells where.
    fn bind(&mut self, to: &str) -> impl Future<Output = Result<String, String>> + Send;

    fn connect(&mut self, to: &str) -> impl Future<Output = Result<(), String>> + Send;

    fn close(self) -> impl Future<Output = ()> + Send;

    fn send(&mut self, message: Message) -> impl Future<Output = Result<(), String>> + Send;

    /// Sends if that can be done at once.
    fn try_send(&mut self, message: &Message) -> impl Future<Output = Result<Outcome, String>> + Send;

    /// Cancel-safe.
    fn recv(&mut self) -> impl Future<Output = Result<Message, String>> + Send;

    fn subscribe(&mut self, topic: Vec<u8>) -> impl Future<Output = Result<(), String>> + Send;

    fn unsubscribe(&mut self, topic: Vec<u8>) -> impl Future<Output = Result<(), String>> + Send;
}

/// What became of a message that was not to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Sent,
    Full,
    NoPeer,
}

impl<S: AnySocket> NamedSockets<S> {
    /// Does what the command says, and answers; or says what went wrong.
    ///
    /// # Errors
    ///
    /// When it fails or takes too long.
    pub async fn run(&mut self, command: Command) -> Result<Value, String> {
        let done = tokio::time::timeout(PATIENCE, self.run_unbounded(command)).await;
        done.unwrap_or_else(|_| Err(format!("it takes longer than {PATIENCE:?}")))
    }

    /// A socket.
    ///
    /// # Panics
    ///
    /// When there is none of this name.
    pub fn socket(&mut self, name: &str) -> &mut S {
        self.sockets.get_mut(name).unwrap_or_else(|| panic!("there is no socket {name}"))
    }

    async fn run_unbounded(&mut self, command: Command) -> Result<Value, String> {
        match command {
            Command::Nothing {} => {}
            Command::Open { name, r#type, settings } => {
                let socket = S::open(&r#type, &settings).await?;
                self.sockets.insert(name, socket);
            }
            Command::Close { name } => {
                self.sockets.remove(&name).ok_or_else(|| format!("there is no socket {name}"))?.close().await;
            }
            Command::Bind { name, to } => {
                return Ok(json!({"endpoint": bind(self.find(&name)?, &to).await?}));
            }
            Command::Connect { name, to } => {
                self.find(&name)?.connect(&to).await?;
            }
            Command::Subscribe { name, topic } => self.find(&name)?.subscribe(to_bytes(&topic)).await?,
            Command::Unsubscribe { name, topic } => self.find(&name)?.unsubscribe(to_bytes(&topic)).await?,
            Command::Send { name, parts } => self.find(&name)?.send(message(&parts)).await?,
            Command::TrySend { name, parts } => {
                let outcome = match self.find(&name)?.try_send(&message(&parts)).await? {
                    Outcome::Sent => "sent",
                    Outcome::Full => "full",
                    Outcome::NoPeer => "no peer",
                };
                return Ok(json!({"outcome": outcome}));
            }
            Command::Recv { name, within } => {
                let receiving = self.find(&name)?.recv();
                let received = match within {
                    None => Some(receiving.await?),
                    Some(within) => {
                        let received = tokio::time::timeout(Duration::from_millis(within), receiving).await;
                        received.ok().transpose()?
                    }
                };
                return Ok(json!({"parts": received.map(|message| texts(message.parts()))}));
            }
            Command::SendShape { name, front, sizes } => {
                let parts = list(&front).into_iter().chain(sizes.into_iter().map(pattern));
                self.find(&name)?.send(parts.collect()).await?;
            }
            Command::RecvShape { name, sizes } => {
                let message = self.find(&name)?.recv().await?;
                return Ok(json!({"front": texts(in_front_of_shape(&message, &sizes)?)}));
            }
            Command::SendNumbers { name, front, count, first, size } => {
                let (socket, front) = (self.find(&name)?, list(&front));
                for number in first..first + count {
                    socket.send(numbered(&front, number, size)).await?;
                }
            }
            Command::RecvNumbers { name, count, first } => {
                let socket = self.find(&name)?;
                for expected in first..first + count {
                    check(&socket.recv().await?, expected)?;
                }
            }
            Command::RecvGrowing { name, quiet } => {
                return Ok(
                    json!({"count": recv_growing(self.find(&name)?, Duration::from_millis(quiet)).await?}),
                );
            }
            Command::RecvUpTo { name, last } => {
                return Ok(json!({"count": recv_up_to(self.find(&name)?, last).await?}));
            }
            Command::Fill { name, front, size, most } => {
                return Ok(json!({"count": fill(self.find(&name)?, &list(&front), size, most).await?}));
            }
            Command::ExchangeNumbers { name, front, count, ahead } => {
                let (socket, front, mut sent) = (self.find(&name)?, list(&front), 0);
                for expected in 0..count {
                    while sent < count && sent < expected + ahead {
                        socket.send(numbered(&front, sent, 0)).await?;
                        sent += 1;
                    }
                    check(&socket.recv().await?, expected)?;
                }
            }
            Command::Echo { name, count } => {
                let socket = self.find(&name)?;
                for _ in 0..count {
                    let message = socket.recv().await?;
                    socket.send(message).await?;
                }
            }
        }
        Ok(json!({}))
    }

    fn find(&mut self, name: &str) -> Result<&mut S, String> {
        self.sockets.get_mut(name).ok_or_else(|| format!("there is no socket {name}"))
    }
}

/// A port that somebody had before may take its time to be free again.
async fn bind(socket: &mut impl AnySocket, to: &str) -> Result<String, String> {
    loop {
        match socket.bind(to).await {
            Err(error) if error.contains("in use") => tokio::time::sleep(Duration::from_millis(10)).await,
            bound => return bound,
        }
    }
}

impl<S> Default for NamedSockets<S> {
    fn default() -> NamedSockets<S> {
        NamedSockets { sockets: HashMap::new() }
    }
}

impl<S> fmt::Debug for NamedSockets<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.sockets.keys()).finish()
    }
}

async fn recv_growing(socket: &mut impl AnySocket, quiet: Duration) -> Result<u64, String> {
    let (mut count, mut before) = (0, None);
    while let Ok(message) = tokio::time::timeout(quiet, socket.recv()).await {
        before = Some(larger(&message?, before)?);
        count += 1;
    }
    Ok(count)
}

async fn recv_up_to(socket: &mut impl AnySocket, last: u64) -> Result<u64, String> {
    let (mut count, mut before) = (0, None);
    while before != Some(last) {
        before = Some(larger(&socket.recv().await?, before)?);
        count += 1;
    }
    Ok(count)
}

/// The number of a message, which must be larger than the one before.
fn larger(message: &Message, before: Option<u64>) -> Result<u64, String> {
    let number = number(message);
    number.filter(|_| number > before).ok_or_else(|| format!("{number:?} came after {before:?}"))
}

async fn fill(socket: &mut impl AnySocket, front: &[Bytes], size: usize, most: u64) -> Result<u64, String> {
    for number in 0..most {
        let message = numbered(front, number, size);
        let mut tries = 20;
        while socket.try_send(&message).await? != Outcome::Sent {
            // The kernel may take some more in a moment.
            tries -= 1;
            if tries == 0 {
                return Ok(number);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(most)
}

fn in_front_of_shape<'m>(message: &'m Message, sizes: &[usize]) -> Result<&'m [Bytes], String> {
    let parts = message.parts();
    let front = parts.len().checked_sub(sizes.len()).ok_or("there are too few parts")?;
    for (part, size) in parts[front..].iter().zip(sizes) {
        if *part != pattern(*size) {
            return Err(format!("{} bytes came instead of {size}, or others", part.len()));
        }
    }
    Ok(&parts[..front])
}

/// As many bytes as that, which repeat after 251; the first is none that makes a subscription.
fn pattern(size: usize) -> Bytes {
    let bytes: Vec<u8> = (5..=255).collect();
    let mut repeated = bytes.repeat(size / 251 + 1);
    repeated.truncate(size);
    repeated.into()
}

fn numbered(front: &[Bytes], number: u64, size: usize) -> Message {
    // The first byte is none that makes a subscription.
    let mut body = [b"#", &number.to_be_bytes()[..]].concat();
    body.resize(body.len() + size, 0);
    front.iter().cloned().chain([body.into()]).collect()
}

fn number(message: &Message) -> Option<u64> {
    let (_, body) = message.parts().last()?.split_first()?;
    body.first_chunk().map(|number| u64::from_be_bytes(*number))
}

fn check(message: &Message, expected: u64) -> Result<(), String> {
    match number(message) {
        Some(number) if number == expected => Ok(()),
        other => Err(format!("{other:?} came instead of {expected}")),
    }
}

fn message(parts: &[String]) -> Message {
    list(parts).into_iter().collect()
}

fn list(parts: &[String]) -> Vec<Bytes> {
    parts.iter().map(|part| Bytes::from(to_bytes(part))).collect()
}

fn texts(parts: &[Bytes]) -> Vec<String> {
    parts.iter().map(|part| to_text(part)).collect()
}

const PATIENCE: Duration = Duration::from_secs(30);
