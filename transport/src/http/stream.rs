//! A stream, and whose it is.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use transport_core::{BoxStream, Claims, Identity, RawConnection, Source};

/// Who sends the requests of a connection: in the extensions of each of them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpPeer {
    /// Who the peer has proven to be.
    pub identity: Identity,
    /// What it says of itself: nothing of it is proven.
    pub claims: Claims,
    /// Where it is.
    pub source: Source,
}

/// A stream whose peer is allowed, with that peer.
pub struct HttpStream {
    stream: BoxStream,
    peer: HttpPeer,
}

impl HttpStream {
    /// Whose it is.
    pub fn peer(&self) -> &HttpPeer {
        &self.peer
    }
}

impl From<RawConnection> for HttpStream {
    fn from(connection: RawConnection) -> HttpStream {
        let peer = HttpPeer {
            identity: connection.identity().clone(),
            claims: connection.claims().clone(),
            source: connection.source().clone(),
        };
        HttpStream { stream: connection.into_stream(), peer }
    }
}

impl AsyncRead for HttpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for HttpStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl fmt::Debug for HttpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpStream").field("peer", &self.peer).finish_non_exhaustive()
    }
}
