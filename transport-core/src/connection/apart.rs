//! What a connection becomes: its halves, a stream, a codec's sink and stream, or the connection of another runtime.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Framed, FramedParts};

use super::group::SenderGroup;
use super::halves;
use super::pipe::Pipe;
use super::receiver::Receiver;
use super::sender::Sender;
use super::tracked::Tracked;
use super::whole::Connection;
use crate::framing::{FramedCodec, Halves};
use crate::message::Message;
use crate::transport::BoxStream;

impl Connection {
    /// Splits the connection for use by different tasks; [`Sender`] can be cloned for many of them.
    pub fn split(self) -> (Sender, Receiver) {
        halves::split(self, SenderGroup::new())
    }

    /// As [`split`](Connection::split), with a sender that belongs to `group`.
    pub fn split_into(self, group: &SenderGroup) -> (Sender, Receiver) {
        halves::split(self, group.clone())
    }

    /// Moves the connection to the tokio runtime of the calling thread: from now on that one must run for the connection to
    /// go on, and no other. For a program with a runtime in each of several threads, where one of them accepts.
    ///
    /// # Errors
    ///
    /// When its transport's streams cannot move, or the system refuses, such as for too many open descriptors; the
    /// connection is as it was then.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// # use transport_core::{Connection, Message};
    /// # use std::error::Error;
    /// /// Goes on in a thread of its own.
    /// fn serve_elsewhere(mut connection: Connection) -> std::thread::JoinHandle<Result<(), Box<dyn Error + Send + Sync>>> {
    ///     std::thread::spawn(move || {
    ///         let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    ///         runtime.block_on(async move {
    ///             connection.move_to_runtime()?;
    ///             while let Some(message) = connection.recv().await? {
    ///                 connection.send(&message).await?;
    ///             }
    ///             Ok(())
    ///         })
    ///     })
    /// }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn Error>> {
    /// # use transport_core::{Connect, Listen, Policy, Transports, tcp::TcpTransport};
    /// # let transports = Transports::new().with(TcpTransport::new());
    /// # let listen = Listen::new(&transports, "tcp://127.0.0.1:0").policy(Policy::danger_anyone());
    /// # let mut server = listen.start().await?;
    /// # let connect = Connect::new(&transports, server.local_address().to_string());
    /// # let mut near = connect.server(Policy::danger_anyone()).await?;
    /// # let thread = serve_elsewhere(server.accept().await.unwrap());
    /// # near.send("there and back").await?;
    /// # assert_eq!(near.recv().await?, Some(Message::from("there and back")));
    /// # near.close().await?;
    /// # assert!(thread.join().unwrap().is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn move_to_runtime(&mut self) -> io::Result<()> {
        self.pipe.stream.move_to_runtime()?;
        self.inbound.forget_timer();
        self.pipe.writer.forget_timer();
        Ok(())
    }

    /// Takes the connection apart into its stream and the bytes that arrived and were not yet received: for a
    /// protocol that goes on below messages, such as a relay. The stream still counts as one of its server's connections.
    ///
    /// # Errors
    ///
    /// Gives the connection back while something is queued for sending, or a message has been decoded in part: flush
    /// and receive first.
    pub fn into_stream(mut self) -> Result<(BoxStream, Bytes), Box<Connection>> {
        if !self.pipe.outbound.buffer.is_empty() || self.inbound.is_mid_message() {
            return Err(Box::new(self));
        }
        let _cut_shows_at_the_stream = self.pipe.life.set_unread(0);
        let (_decoder, input) = self.inbound.into_parts();
        Ok((Tracked::boxed(self.pipe.stream, self.pipe.life), input.freeze()))
    }

    /// Goes on as a `tokio_util` [`Framed`] stream and sink of messages.
    ///
    /// What is queued goes out first. There are no heartbeats and no deadlines any more.
    pub fn into_framed(self) -> Framed<BoxStream, FramedCodec> {
        let (decoder, input) = self.inbound.into_parts();
        let Pipe { stream, outbound, life, .. } = self.pipe;
        let _cut_shows_at_the_stream = life.set_unread(0);
        let codec = FramedCodec::new(Halves { encoder: outbound.encoder, decoder });
        let mut parts = FramedParts::new::<Message>(Tracked::boxed(stream, life), codec);
        parts.read_buf = input;
        parts.write_buf = BytesMut::from(&outbound.buffer.to_vec()[..]);
        Framed::from_parts(parts)
    }
}
