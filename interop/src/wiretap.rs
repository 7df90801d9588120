//! What both sides really say.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Stands between the two sides of TCP connections, passes everything on and keeps a copy.
#[derive(Debug)]
pub struct Wiretap {
    address: SocketAddr,
    heard: Arc<Heard>,
    task: JoinHandle<()>,
}

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The connecting side.
    FromClient,
    /// The accepting side.
    FromServer,
}

#[derive(Debug, Default)]
struct Heard {
    from_client: Mutex<Vec<u8>>,
    from_server: Mutex<Vec<u8>>,
}

impl Wiretap {
    /// In front of the server at `tcp://host:port`.
    ///
    /// # Panics
    ///
    /// When the address is not of that form, or there is no port left.
    pub async fn before(server: &str) -> Wiretap {
        let server = server.strip_prefix("tcp://").and_then(|address| address.parse().ok());
        let server: SocketAddr = server.expect("the address is of the form tcp://ip:port");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let heard = Arc::<Heard>::default();
        let task = tokio::spawn(relay_all(listener, server, Arc::clone(&heard)));
        Wiretap { address, heard, task }
    }

    /// Where the client shall connect.
    pub fn address(&self) -> String {
        format!("tcp://{}", self.address)
    }

    /// How often a side sent the command with this name, such as `PING`.
    pub fn count(&self, direction: Direction, command: &str) -> usize {
        let name = [&[u8::try_from(command.len()).unwrap_or(0)], command.as_bytes()].concat();
        let heard = self.heard.of(direction);
        let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.windows(name.len()).filter(|window| *window == name).count()
    }
}

impl Drop for Wiretap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Heard {
    fn of(&self, direction: Direction) -> &Mutex<Vec<u8>> {
        match direction {
            Direction::FromClient => &self.from_client,
            Direction::FromServer => &self.from_server,
        }
    }
}

async fn relay_all(listener: TcpListener, server: SocketAddr, heard: Arc<Heard>) {
    while let Ok((client, _)) = listener.accept().await {
        let heard = Arc::clone(&heard);
        tokio::spawn(async move {
            // A side that cannot be reached or breaks off shows in the test.
            let _ended = relay(client, server, &heard).await;
        });
    }
}

async fn relay(mut client: TcpStream, server: SocketAddr, heard: &Heard) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    // Until both have ended, since a side that closes one direction may still be told something; or one has failed.
    tokio::try_join!(
        copy(from_client, to_server, &heard.from_client),
        copy(from_server, to_client, &heard.from_server),
    )?;
    Ok(())
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    heard: &Mutex<Vec<u8>>,
) -> io::Result<()> {
    let mut buffer = vec![0; 8192];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        let bytes = &buffer[..length];
        heard.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        to.write_all(bytes).await?;
    }
}
