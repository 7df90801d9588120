//! Last words to a peer that is turned away.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};

use crate::transport::BoxStream;

/// Sends the last words to a peer that is turned away, closes this direction and waits up to half a second for the peer to
/// close the other: closing first, with bytes of the peer unread, would reset the connection and take the words back.
///
/// For a [`Transport`](crate::Transport) with a handshake of its own, such as the alert of TLS; an empty slice is for words
/// that are in the stream already. Whether the peer has heard them is not known.
///
/// # Cancel safety
///
/// Dropping the future closes the stream, and what was written may be lost.
pub async fn say_farewell(mut stream: BoxStream, words: &[u8]) {
    let farewell = async {
        stream.write_all(words).await?;
        stream.flush().await?;
        stream.shutdown().await?;
        discard(&mut stream).await
    };
    let _unheard = tokio::time::timeout(LONGEST, farewell).await;
}

/// Reads until the peer closes. The buffer is on the stack for each read only: as a local of the future it would make
/// every task that ever closes a connection larger.
pub(crate) async fn discard(stream: &mut BoxStream) -> io::Result<()> {
    poll_fn(|cx| {
        loop {
            let mut stack = [0; 1024];
            let mut buffer = ReadBuf::new(&mut stack);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    })
    .await
}

const LONGEST: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn the_words_arrive_although_the_peer_is_still_sending() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        near.write_all(&[7; 4000]).await.unwrap();
        let farewell = tokio::spawn(async move { say_farewell(Box::new(far), b"no").await });
        let mut heard = Vec::new();
        near.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"no");
        drop(near);
        farewell.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_close_is_waited_for_half_a_second() {
        let (_near, far) = tokio::net::UnixStream::pair().unwrap();
        let start = tokio::time::Instant::now();
        say_farewell(Box::new(far), b"no").await;
        assert!(start.elapsed() >= LONGEST && start.elapsed() < LONGEST * 2, "{:?}", start.elapsed());
    }
}
