//! Connections with other framings than ZMTP, and ZMTP as a `tokio_util` codec.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_util::codec::{LengthDelimitedCodec, LinesCodec};
use transport_core::framing::{CodecFraming, FramingFactory, LengthPrefixed};
use transport_core::mechanism::PlainClient;
use transport_core::mem::MemTransport;
use transport_core::{
    Connect, Connection, FramingError, HandshakeError, Limits, Listen, Message, MessageRef, Policy,
    RecvError, SendError, Transports,
};

async fn pair<F: FramingFactory + 'static>(framing: impl Fn() -> F) -> (Connection, Connection) {
    let transports = Transports::new().with(MemTransport::new());
    let limits = Limits::default().with_message(1000);
    let listen = Listen::new(&transports, "mem://framings").policy(Policy::same_process()).framing(framing());
    let mut server = listen.limits(limits).start().await.unwrap();
    let connect =
        Connect::new(&transports, "mem://framings").server(Policy::same_process()).framing(framing());
    let client = connect.await.unwrap();
    (client, server.accept().await.unwrap())
}

fn lines() -> impl FramingFactory + 'static {
    CodecFraming::new(
        || LinesCodec::new_with_max_length(500),
        |line: String| Message::from(line),
        |message: MessageRef<'_>| match message.parts().next().map(|part| String::from_utf8(part.to_vec())) {
            Some(Ok(line)) if message.part_count() == 1 && !line.contains('\n') => Ok(line),
            _ => Err("it is not one line of text".to_owned()),
        },
    )
}

#[tokio::test]
async fn length_prefixed_messages_pass_without_a_handshake() {
    let (mut client, mut server) = pair(|| LengthPrefixed).await;
    assert_eq!(server.identity().to_string(), "process");
    for size in [0, 1, 900] {
        client.send(&vec![7; size]).await.unwrap();
        assert_eq!(server.recv().await.unwrap().unwrap()[0].len(), size);
    }
    let two: Message = ["a", "b"].into_iter().collect();
    assert!(matches!(client.send(&two).await, Err(SendError::Unencodable(_))));
    client.send("goes on").await.unwrap();
    assert_eq!(server.recv().await.unwrap().unwrap().to_text(), Some("goes on"));
    client.send(&vec![7; 1001]).await.unwrap();
    assert!(matches!(server.recv().await, Err(RecvError::Framing(FramingError::TooLarge { .. }))));
}

#[tokio::test]
async fn a_length_prefixed_peer_is_understood_by_a_tokio_codec() {
    let (client, mut server) = pair(|| LengthPrefixed).await;
    let (stream, early) = client.into_stream().unwrap();
    assert!(early.is_empty());
    let mut framed = LengthDelimitedCodec::builder().length_field_length(4).new_framed(stream);
    framed.send(bytes::Bytes::from_static(b"from the codec")).await.unwrap();
    assert_eq!(server.recv().await.unwrap().unwrap().to_text(), Some("from the codec"));
    server.send("from the connection").await.unwrap();
    assert_eq!(framed.next().await.unwrap().unwrap(), "from the connection");
}

#[tokio::test]
async fn any_codec_is_a_framing() {
    let (mut client, mut server) = pair(lines).await;
    client.feed("one").await.unwrap();
    client.send("two").await.unwrap();
    let mut messages = Vec::new();
    while messages.len() < 2 {
        server.recv_many(&mut messages, 10).await.unwrap();
    }
    assert_eq!(messages, [Message::from("one"), Message::from("two")]);
    assert!(matches!(client.send("no\nline").await, Err(SendError::Unencodable(_))));
    // The codec's own limit.
    let (mut stream, _) = client.into_stream().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &[b'x'; 600]).await.unwrap();
    assert!(matches!(server.recv().await, Err(RecvError::Framing(FramingError::Codec(_)))));
}

#[tokio::test]
async fn a_framing_without_tokens_refuses_mechanisms_that_need_them() {
    let transports = Transports::new().with(MemTransport::new());
    let _server =
        Listen::new(&transports, "mem://tokens").policy(Policy::same_process()).start().await.unwrap();
    let connect =
        Connect::new(&transports, "mem://tokens").framing(LengthPrefixed).server(Policy::same_process());
    let error = connect.mechanism(PlainClient::new("a", "b").unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), "this framing cannot carry any mechanism but NULL");
}

#[tokio::test]
async fn a_connection_goes_on_as_a_framed_stream_and_sink() {
    let (mut client, mut server) = pair(transport_core::framing::zmtp::Zmtp::new).await;
    server.send("early").await.unwrap();
    client.feed("queued").await.unwrap();
    let mut framed = client.into_framed();
    framed.send(["a", "b"].into_iter().collect()).await.unwrap();
    assert_eq!(server.recv().await.unwrap().unwrap().to_text(), Some("queued"));
    assert_eq!(server.recv().await.unwrap().unwrap().part_count(), 2);
    assert_eq!(framed.next().await.unwrap().unwrap().to_text(), Some("early"));
    drop(server);
    assert!(framed.next().await.is_none());
}

#[tokio::test]
async fn peers_with_different_framings_do_not_understand_each_other() {
    let transports = Transports::new().with(MemTransport::new());
    let listen = Listen::new(&transports, "mem://differ").policy(Policy::same_process());
    let mut server = listen.start().await.unwrap();
    let mut events = server.events();
    let connect =
        Connect::new(&transports, "mem://differ").framing(LengthPrefixed).server(Policy::same_process());
    let mut client = connect.await.unwrap();
    client.send("hello").await.unwrap();
    let Some(transport_core::ServerEvent::Refused { reason, .. }) = events.recv().await else {
        panic!("refused")
    };
    assert!(matches!(&*reason, HandshakeError::Framing(FramingError::Protocol { .. })), "{reason}");
}
