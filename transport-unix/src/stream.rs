//! The open stream.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream as TokioStream;
use transport_core::{
    BoxRead, BoxWrite, Claims, Established, Evidence, PeerCredentials, Proof, Protection, Source, Stream,
};

/// A tokio stream of our own name, since both the trait and tokio's type are foreign here.
struct UnixStream(TokioStream);

pub(crate) fn establish(stream: TokioStream) -> io::Result<Established> {
    let peer = stream.peer_cred()?;
    let credentials = PeerCredentials::new(peer.uid(), peer.gid()).with_pid(peer.pid());
    Ok(Established {
        stream: Box::new(UnixStream(stream)),
        evidence: Evidence::new(Protection::SameHost).with_proof(Proof::Unix(credentials)),
        claims: Claims::new(),
        source: Source::Process {
            uid: peer.uid(),
            pid: peer.pid(),
        },
    })
}

impl Stream for UnixStream {
    fn plain_socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn into_split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (read, write) = self.0.into_split();
        (Box::new(read), Box::new(write))
    }
}

impl AsyncRead for UnixStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for UnixStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
