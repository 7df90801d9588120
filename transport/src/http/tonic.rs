//! What tonic takes.

use std::io;

use ::tonic::transport::server::Connected;
use futures_util::Stream;
use transport_core::RawServer;

use super::stream::{HttpPeer, HttpStream};

/// The connections of a [`RawServer`] as tonic takes them: for `Server::serve_with_incoming`.
///
/// Each request has the [`HttpPeer`] in its extensions. The stream ends when the server is shut down.
pub fn incoming(server: RawServer) -> impl Stream<Item = io::Result<HttpStream>> + Send {
    futures_util::stream::unfold(server, |mut server| async {
        let connection = server.accept().await?;
        Some((Ok(HttpStream::from(connection)), server))
    })
}

impl Connected for HttpStream {
    type ConnectInfo = HttpPeer;

    fn connect_info(&self) -> HttpPeer {
        self.peer().clone()
    }
}
