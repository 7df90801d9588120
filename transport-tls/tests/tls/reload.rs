//! Files that change while a program runs.

use std::error::Error as _;
use std::future::poll_fn;
use std::task::Poll;

use certgen::{Credentials, Validity};
use transport_core::{Incoming, Policy, Proof, RecvError, Transport as _};
use transport_tls::{LoadError, Refusal, TlsConfig, TlsEvent, TlsEvents, TlsTransport, Trust};

use crate::common::{Authority, write};
use crate::meet::{bounded, meet, part, serve, serve_for};

/// A server whose files can be replaced.
struct Files {
    authority: Authority,
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Files {
        let files = Files { authority: Authority::new(), directory: tempfile::tempdir().unwrap() };
        files.write("ca.pem", &files.authority.pem());
        files.write("own.pem", &files.authority.leaf("db.example").combined_pem());
        files.write("crl.pem", &files.authority.revocation_list(&[], Validity::Days(1)));
        files
    }

    fn write(&self, name: &str, text: &str) {
        write(&self.path(name), text);
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn config(&self) -> TlsConfig {
        TlsConfig::new()
            .with_certificate(self.path("own.pem"))
            .with_trust(Trust::ca_file(self.path("ca.pem")))
            .with_revocation_lists(self.path("crl.pem"))
    }

    fn tls(&self) -> TlsTransport {
        TlsTransport::with_config(self.config()).unwrap()
    }
}

async fn next(events: &mut TlsEvents) -> TlsEvent {
    bounded(events.recv()).await.expect("the transport goes on")
}

fn key_of(connection: &transport_core::Connection) -> [u8; 32] {
    let certificate = connection.identity().proofs().iter().find_map(|proof| match proof {
        Proof::Certificate(certificate) => Some(certificate.spki_sha256),
        _ => None,
    });
    certificate.unwrap()
}

fn pin_policy(credentials: &Credentials) -> Policy {
    format!("pin:{}", credentials.certificate().pin()).parse().unwrap()
}

#[tokio::test]
async fn a_new_certificate_is_used_for_new_connections_and_old_ones_go_on() {
    let files = Files::new();
    let tls = files.tls();
    let mut events = tls.events();
    let (mut server, _refusals) = serve(&tls).await;
    let client = files.authority.tls(&files.authority.leaf("alice"));
    let (mut old_near, mut old_far) = meet(&client, &mut server, "db.example").await;

    let new = files.authority.leaf("db.example");
    files.write("own.pem", &new.combined_pem());
    let event = next(&mut events).await;
    assert!(matches!(event, TlsEvent::Reloaded { not_after: Some(_) }), "{event:?}");
    // The client has a ticket of the old one, which is of no use any more.
    let (near, _far) = meet(&client, &mut server, "db.example").await;
    assert_ne!(key_of(&near), key_of(&old_near));
    assert_eq!(Policy::spki_pin(key_of(&near)).to_string(), pin_policy(&new).to_string());

    old_near.send("still here").await.unwrap();
    assert_eq!(bounded(old_far.recv()).await.unwrap().unwrap().to_text(), Some("still here"));
}

#[tokio::test]
async fn the_last_good_pair_stays_when_the_new_one_is_broken() {
    let files = Files::new();
    let tls = files.tls();
    let mut events = tls.events();
    let (mut server, _refusals) = serve(&tls).await;
    let client = files.authority.tls(&files.authority.leaf("alice"));
    let (near, _far) = meet(&client, &mut server, "db.example").await;
    let key = key_of(&near);
    let (one, two) = (files.authority.leaf("a"), files.authority.leaf("a"));
    let mixed = format!("{}{}", one.certificate().pem(), *two.key().pem());
    files.write("own.pem", &mixed);
    let event = next(&mut events).await;
    let TlsEvent::ReloadFailed { error } = event else { panic!("{event:?}") };
    assert!(matches!(*error, LoadError::KeyMismatch { .. }), "{error}");
    assert!(tls.reload().is_err(), "on request too");
    next(&mut events).await;
    let (near, _far) = meet(&client, &mut server, "db.example").await;
    assert_eq!(key_of(&near), key);
    files.write("crl.pem", "nothing");
    assert!(matches!(next(&mut events).await, TlsEvent::ReloadFailed { .. }));
}

#[tokio::test]
async fn files_are_loaded_on_request_where_they_are_not_watched() {
    let files = Files::new();
    let tls = TlsTransport::with_config(files.config().with_watch(false)).unwrap();
    assert!(!tls.reload().unwrap(), "nothing has changed");
    files.write("own.pem", &files.authority.leaf("db.example").combined_pem());
    assert!(tls.reload().unwrap());
}

#[tokio::test]
async fn a_revoked_client_is_cut_off_and_does_not_come_back_by_resuming() {
    let files = Files::new();
    let tls = files.tls();
    let mut events = tls.events();
    let (mut server, mut refusals) = serve_for(&tls, Policy::san_dns("*")).await;
    let (mallory, alice) = (files.authority.leaf("mallory"), files.authority.leaf("alice"));
    let (mallorys, alices) = (files.authority.tls(&mallory), files.authority.tls(&alice));
    let (mut mallory_near, mut mallory_far) = meet(&mallorys, &mut server, "db.example").await;
    let (mut alice_near, mut alice_far) = meet(&alices, &mut server, "db.example").await;
    // Both have a ticket once they have received something.
    for far in [&mut mallory_far, &mut alice_far] {
        far.send("a ticket came before this").await.unwrap();
    }
    for near in [&mut mallory_near, &mut alice_near] {
        bounded(near.recv()).await.unwrap().unwrap();
    }
    files.write("crl.pem", &files.authority.revocation_list(&[&mallory], Validity::Days(1)));
    assert!(matches!(next(&mut events).await, TlsEvent::Reloaded { .. }));
    let event = next(&mut events).await;
    assert!(matches!(&event, TlsEvent::Closed { reason: Refusal::Revoked { .. }, .. }), "{event:?}");
    let error = bounded(mallory_far.recv()).await.unwrap_err();
    assert!(matches!(error, RecvError::Io(_)), "{error:?}");
    drop(mallory_far);
    let (_told, logged) = part(&mallorys, &server, &mut refusals, "db.example").await;
    assert!(logged.contains("is revoked"), "{logged}");
    // Nobody else notices anything.
    alice_near.send("still here").await.unwrap();
    assert!(bounded(alice_far.recv()).await.unwrap().is_some());
    meet(&alices, &mut server, "db.example").await;
}

/// The server has verified the certificate with the old list, or is about to, when the new one comes.
#[tokio::test]
async fn a_client_that_is_revoked_in_the_middle_of_its_handshake_does_not_slip_in() {
    let files = Files::new();
    let tls = TlsTransport::with_config(files.config().with_watch(false)).unwrap();
    let mallory = files.authority.leaf("mallory");
    let mut listener = tls.listen(&"tls://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_address().with_parameter("name", "db.example");
    let client = files.authority.tls(&mallory);
    let mut connecting = client.connect(&address);
    let mut opening = None;
    // Until the client is done, and no further: its certificate is on the way to the server then.
    let near = bounded(poll_fn(|cx| {
        if let Poll::Ready(near) = connecting.as_mut().poll(cx) {
            return Poll::Ready(near);
        }
        if opening.is_none()
            && let Poll::Ready(incoming) = listener.poll_accept(cx)
        {
            let Ok(Incoming::Handshake { opening: handshake, .. }) = incoming else { panic!("a handshake") };
            opening = Some(handshake);
        }
        if let Some(handshake) = &mut opening {
            assert!(handshake.as_mut().poll(cx).is_pending(), "the client has not sent its certificate");
        }
        Poll::Pending
    }));
    let _near = near.await.unwrap();
    files.write("crl.pem", &files.authority.revocation_list(&[&mallory], Validity::Days(1)));
    assert!(tls.reload().unwrap());
    let error = bounded(opening.unwrap()).await.expect_err("it is revoked");
    let reason = error.source().unwrap().to_string();
    assert!(reason.contains("is revoked"), "{reason}");
}

#[tokio::test]
async fn an_authority_that_is_no_longer_trusted_takes_its_clients_with_it() {
    let files = Files::new();
    let former = Authority::new();
    files.write("ca.pem", &format!("{}{}", files.authority.pem(), former.pem()));
    let config = TlsConfig::new()
        .with_certificate(files.path("own.pem"))
        .with_trust(Trust::ca_file(files.path("ca.pem")));
    let keep = config.clone().with_open_connections_kept(true);
    let client = TlsConfig::new()
        .with_certificate(crate::common::own(&former.leaf("bob")))
        .with_trust(files.authority.trust());
    let client = TlsTransport::with_config(client).unwrap();
    let (closing, keeping) =
        (TlsTransport::with_config(config).unwrap(), TlsTransport::with_config(keep).unwrap());
    let (mut server, mut refusals) = serve(&closing).await;
    let (mut lenient, _events) = serve(&keeping).await;
    let (_near, mut far) = meet(&client, &mut server, "db.example").await;
    let (mut kept_near, mut kept_far) = meet(&client, &mut lenient, "db.example").await;
    let (mut events, mut kept_events) = (closing.events(), keeping.events());
    files.write("ca.pem", &files.authority.pem());
    for events in [&mut events, &mut kept_events] {
        assert!(matches!(next(events).await, TlsEvent::Reloaded { .. }));
    }
    bounded(far.recv()).await.unwrap_err();
    let (_told, logged) = part(&client, &server, &mut refusals, "db.example").await;
    assert!(logged.contains("no trusted authority"), "{logged}");
    kept_near.send("kept").await.unwrap();
    assert!(bounded(kept_far.recv()).await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_broken_does_not_keep_a_revocation_from_being_read() {
    let files = Files::new();
    let others = Authority::new().revocation_list(&[], Validity::Days(1));
    files.write("others.pem", &others);
    let config = files.config().with_revocation_lists(files.path("others.pem"));
    let tls = TlsTransport::with_config(config).unwrap();
    let mut events = tls.events();
    let (mut server, mut refusals) = serve(&tls).await;
    let mallory = files.authority.leaf("mallory");
    let mallorys = files.authority.tls(&mallory);
    let (near, mut far) = meet(&mallorys, &mut server, "db.example").await;
    let key = key_of(&near);
    files.write("own.pem", "half of a renewal");
    let event = next(&mut events).await;
    assert!(matches!(event, TlsEvent::ReloadFailed { .. }), "{event:?}");
    files.write("others.pem", "");
    for _both in 0..2 {
        let event = next(&mut events).await;
        assert!(matches!(event, TlsEvent::ReloadFailed { .. }), "{event:?}");
    }

    files.write("crl.pem", &files.authority.revocation_list(&[&mallory], Validity::Days(1)));
    for _both in 0..2 {
        let event = next(&mut events).await;
        assert!(matches!(event, TlsEvent::ReloadFailed { .. }), "{event:?}");
    }
    assert!(matches!(next(&mut events).await, TlsEvent::Reloaded { .. }));
    bounded(far.recv()).await.unwrap_err();
    let (_told, logged) = part(&mallorys, &server, &mut refusals, "db.example").await;
    assert!(logged.contains("is revoked"), "{logged}");
    // With the last good pair.
    let alices = files.authority.tls(&files.authority.leaf("alice"));
    let (near, _far) = meet(&alices, &mut server, "db.example").await;
    assert_eq!(key_of(&near), key);
    assert!(tls.reload().is_err(), "it is still broken");
}
