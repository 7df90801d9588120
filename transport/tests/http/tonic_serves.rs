//! tonic, with a service written by hand: bytes in, bytes out.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _, Bytes};
use hyper_util::rt::TokioIo;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::BoxFuture;
use tonic::server::{Grpc as ServerGrpc, UnaryService};
use tonic::transport::{Endpoint, Uri};
use tonic::{Request, Response, Status};
use transport::http::{HttpPeer, incoming};

use crate::places::{bounded, places};

/// Messages are their bytes.
#[derive(Clone, Copy, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Plain;
    type Decoder = Plain;

    fn encoder(&mut self) -> Plain {
        Plain
    }

    fn decoder(&mut self) -> Plain {
        Plain
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// Answers with the name of who asks.
#[derive(Clone)]
struct Who;

impl UnaryService<Bytes> for Who {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let peer = request.extensions().get::<HttpPeer>().cloned();
        Box::pin(async move {
            let peer = peer.ok_or_else(|| Status::internal("who is it?"))?;
            Ok(Response::new(peer.identity.to_string().into()))
        })
    }
}

impl tower::Service<http::Request<Body>> for Who {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move { Ok(ServerGrpc::new(Plain).unary(Who, request).await) })
    }
}

#[tokio::test]
async fn tonic_knows_who_sends_a_request() {
    for mut place in places(&["h2"]).await {
        let serving = tokio::spawn(
            tonic::transport::Server::builder()
                .serve_with_incoming(Who, incoming(place.server.take().unwrap())),
        );
        let door = place.door.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let door = door.clone();
            async move { std::io::Result::Ok(TokioIo::new(door.enter().await)) }
        });
        let endpoint = Endpoint::from_static("http://web.example");
        let channel = endpoint.connect_with_connector(connector);
        let mut client = tonic::client::Grpc::new(bounded(channel).await.unwrap());
        client.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/test.Who/Ask");
        let answer = client.unary(Request::new(Bytes::from_static(b"who am I?")), path, Plain);
        assert_eq!(bounded(answer).await.unwrap().into_inner(), place.client);
        serving.abort();
    }
}
