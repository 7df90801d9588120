//! What axum takes.

use std::io;

use ::axum::extract::connect_info::Connected;
use ::axum::serve::{IncomingStream, Listener};
use transport_core::RawServer;

use super::stream::{HttpPeer, HttpStream};

/// A [`RawServer`] as a listener of axum.
///
/// With `into_make_service_with_connect_info::<HttpPeer>()`, each request has a `ConnectInfo<HttpPeer>` in its extensions.
/// When the server is shut down, no further connection comes; axum's own graceful shutdown ends `serve`.
///
/// # Examples
///
/// ```no_run
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, extract::ConnectInfo, routing::get};
/// use transport::Policy;
/// use transport::http::{HttpListener, HttpPeer};
///
/// let server = transport::listen("unix:///run/web.sock").policy(Policy::uid(1000)).start_raw().await?;
/// let hello = |ConnectInfo(peer): ConnectInfo<HttpPeer>| async move { format!("hello {}", peer.identity) };
/// let app = Router::new().route("/", get(hello)).into_make_service_with_connect_info::<HttpPeer>();
/// axum::serve(HttpListener::new(server), app).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct HttpListener {
    server: RawServer,
}

impl HttpListener {
    /// Serves HTTP to whom this server lets in.
    pub fn new(server: RawServer) -> HttpListener {
        HttpListener { server }
    }
}

impl Listener for HttpListener {
    type Io = HttpStream;
    type Addr = HttpPeer;

    async fn accept(&mut self) -> (HttpStream, HttpPeer) {
        match self.server.accept().await {
            Some(connection) => {
                let stream = HttpStream::from(connection);
                let peer = stream.peer().clone();
                (stream, peer)
            }
            // axum has no word for the end of a listener.
            None => std::future::pending().await,
        }
    }

    /// Not known as a peer: ask [`RawServer::local_address`] before.
    fn local_addr(&self) -> io::Result<HttpPeer> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "ask the server for its local_address instead"))
    }
}

impl Connected<IncomingStream<'_, HttpListener>> for HttpPeer {
    fn connect_info(stream: IncomingStream<'_, HttpListener>) -> HttpPeer {
        stream.remote_addr().clone()
    }
}
