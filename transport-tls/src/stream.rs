//! The open stream.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use rustls::ProtocolVersion;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncBufRead as _, AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream as Rustls;
use transport_core::{BoxRead, BoxStream, BoxWrite, ChannelBinding, ReadHalf, Stream, WriteHalf};

use crate::error::TlsError;
use crate::open_connections::Membership;

/// A TLS stream over any other.
///
/// Dropping it says goodbye (close_notify) as far as the stream below takes it without waiting: the peer can tell that from
/// a stream which somebody on the way has cut off.
pub(crate) struct TlsStream {
    rustls: Rustls<BoxStream>,
    /// Absent when the peer has no certificate that could be refused later.
    membership: Option<Membership>,
    /// An error that came behind bytes, which were handed over first.
    late_error: Option<io::Error>,
    /// All that was written has gone out, and the goodbye is being said.
    is_leaving: bool,
}

/// A read hands over when it has so many bytes, two records: their reader then finds them in the cache, and decodes them while
/// the next ones come.
const HAND_OVER: usize = 32 << 10;

impl TlsStream {
    pub(crate) fn new(rustls: Rustls<BoxStream>) -> TlsStream {
        TlsStream { rustls, membership: None, late_error: None, is_leaving: false }
    }

    pub(crate) fn with_membership(mut self, membership: Membership) -> TlsStream {
        self.membership = Some(membership);
        self
    }

    /// The chain that the peer has presented, leaf first.
    pub(crate) fn peer_chain(&self) -> Option<&[CertificateDer<'static>]> {
        self.rustls.get_ref().1.peer_certificates()
    }

    /// The protocol that was agreed.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.rustls.get_ref().1.alpn_protocol()
    }

    /// The value that ties an authentication to this stream (RFC 9266): for TLS 1.3 only, where it cannot be that of
    /// another stream. Early data, for which it would not hold, is never accepted.
    pub(crate) fn channel_binding(&self) -> Option<ChannelBinding> {
        const LABEL: &[u8] = b"EXPORTER-Channel-Binding";
        const LENGTH: usize = 32;
        if self.rustls.get_ref().1.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return None;
        }
        let exported = match &self.rustls {
            Rustls::Client(stream) => stream.get_ref().1.export_keying_material([0; LENGTH], LABEL, None),
            Rustls::Server(stream) => stream.get_ref().1.export_keying_material([0; LENGTH], LABEL, None),
        };
        exported.ok().map(|value| ChannelBinding { kind: "tls-exporter", value: value.to_vec() })
    }

    fn refused(&self) -> Result<(), io::Error> {
        self.membership.as_ref().and_then(Membership::refused).map_or(Ok(()), |refusal| Err(closed(refusal)))
    }

    fn read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.refused()?;
        match self.poll_decrypt(cx, buf) {
            Poll::Pending => {
                let refused = self.membership.as_ref().and_then(|member| member.poll_refused_for_read(cx));
                refused.map_or(Poll::Pending, |refusal| Poll::Ready(Err(closed(refusal))))
            }
            Poll::Ready(result) => Poll::Ready(result.map_err(in_our_words)),
        }
    }

    /// Reads until there is enough to hand over, or no more has come.
    fn poll_decrypt(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.late_error.take() {
            return Poll::Ready(Err(error));
        }
        let mut taken = 0;
        while taken < HAND_OVER && buf.remaining() > 0 {
            let decrypted = match Pin::new(&mut self.rustls).poll_fill_buf(cx) {
                Poll::Ready(Ok(decrypted)) => decrypted,
                Poll::Ready(Err(error)) if taken > 0 => {
                    self.late_error = Some(error);
                    break;
                }
                Poll::Pending if taken > 0 => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            };
            let length = decrypted.len().min(buf.remaining());
            if length == 0 {
                // The end, which the next read finds again.
                break;
            }
            buf.put_slice(&decrypted[..length]);
            Pin::new(&mut self.rustls).consume(length);
            taken += length;
        }
        Poll::Ready(Ok(()))
    }

    fn write<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Rustls<BoxStream>>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.refused()?;
        match write(Pin::new(&mut self.rustls), cx) {
            Poll::Pending => {
                let refused = self.membership.as_ref().and_then(|member| member.poll_refused_for_write(cx));
                refused.map_or(Poll::Pending, |refusal| Poll::Ready(Err(closed(refusal))))
            }
            Poll::Ready(result) => Poll::Ready(result.map_err(in_our_words)),
        }
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        self.rustls.get_mut().1.send_close_notify();
        let mut cx = Context::from_waker(Waker::noop());
        // Nobody is left to wait for it.
        let _ = Pin::new(&mut self.rustls).poll_flush(&mut cx);
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.read(cx, buf)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |rustls, cx| rustls.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |rustls, cx| rustls.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(cx, |rustls, cx| rustls.poll_flush(cx))
    }

    /// A peer that has gone does not hear the goodbye and misses nothing by that: closing what the other end has closed is no
    /// error, as it is none on the streams below. (Over TCP it would not be noticed.)
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_leaving {
            ready!(self.as_mut().poll_flush(cx))?;
            self.is_leaving = true;
        }
        match self.write(cx, |rustls, cx| rustls.poll_shutdown(cx)) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Poll::Ready(Ok(())),
            said => said,
        }
    }
}

impl Stream for TlsStream {
    /// A read that finds nothing has emptied what rustls had decrypted, so what is left can only be below. Part of a record
    /// that rustls holds is no more than part of a message in the kernel: the rest of it has not arrived.
    fn has_arrived(&self) -> bool {
        self.rustls.get_ref().0.has_arrived()
    }

    fn move_to_runtime(&mut self) -> io::Result<()> {
        self.rustls.get_mut().0.move_to_runtime()
    }

    fn into_split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let shared = Arc::new(Mutex::new(*self));
        (Box::new(TlsRead(Arc::clone(&shared))), Box::new(TlsWrite(shared)))
    }
}

/// Both directions share the state of one TLS connection, so they share a lock, which is held for single polls only.
struct TlsRead(Arc<Mutex<TlsStream>>);
struct TlsWrite(Arc<Mutex<TlsStream>>);

fn lock(shared: &Mutex<TlsStream>) -> MutexGuard<'_, TlsStream> {
    // A panic within rustls would leave its state as it was between two calls.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncRead for TlsRead {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        lock(&self.0).read(cx, buf)
    }
}

impl ReadHalf for TlsRead {
    fn has_arrived(&self) -> bool {
        lock(&self.0).has_arrived()
    }
}

impl AsyncWrite for TlsWrite {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *lock(&self.0)).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *lock(&self.0)).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.0)).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.0)).poll_shutdown(cx)
    }
}

impl WriteHalf for TlsWrite {}

fn closed(refusal: &crate::refusal::Refusal) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, TlsError::Refused(refusal.clone()))
}

/// The library's errors become ours; those of the stream below, and a missing goodbye (`UnexpectedEof`), stay as they are.
fn in_our_words(error: io::Error) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner) => io::Error::new(error.kind(), TlsError::of_rustls(inner)),
        None => error,
    }
}
