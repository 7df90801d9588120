//! axum.

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use transport::http::{HttpListener, HttpPeer};

use crate::places::{bounded, places};

#[tokio::test]
async fn axum_knows_who_sends_a_request() {
    for mut place in places(&["http/1.1"]).await {
        let who = |ConnectInfo(peer): ConnectInfo<HttpPeer>| async move { peer.identity.to_string() };
        let app = Router::new().route("/who", get(who)).into_make_service_with_connect_info::<HttpPeer>();
        let listener = HttpListener::new(place.server.take().unwrap());
        let serving = tokio::spawn(axum::serve(listener, app).into_future());

        let stream = TokioIo::new(place.door.enter().await);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = http::Request::get("/who").header("host", "web.example");
        let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
        let response = bounded(sender.send_request(request)).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = bounded(response.into_body().collect()).await.unwrap().to_bytes();
        assert_eq!(body, place.client);
        drop(sender);
        bounded(connection).await.unwrap().unwrap();
        serving.abort();
    }
}
