//! Subject `openssl`: the crate `openssl` over blocking std sockets, without any framing; the same cipher first as the others.
//!
//! OpenSSL 3.0 knows no post-quantum key exchange, so that its handshakes have less to do.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use ::openssl::pkey::PKey;
use ::openssl::ssl::{
    ShutdownResult, SslAcceptor, SslConnector, SslMethod, SslStream, SslVerifyMode, SslVersion,
};
use ::openssl::x509::X509;

use super::certificates::{Certificates, NAME, certificates};
use super::raw;
use crate::job::{IN_FLIGHT, Job, Outcome, Result};
use crate::{pair, sockets};

/// Bytes one way, counted as messages.
pub(crate) fn throughput(job: &Job) -> Result<Outcome> {
    let ((near, far), (connector, acceptor)) = (sockets::tcp()?, sides()?);
    raw::flow(move || connect(&connector, near), move || accept(&acceptor, far), *job)
}

/// Round trips.
pub(crate) fn rtt(job: &Job) -> Result<Outcome> {
    let ((near, far), (connector, acceptor)) = (sockets::tcp()?, sides()?);
    raw::trips(move || connect(&connector, near), move || accept(&acceptor, far), *job)
}

/// Full handshakes, on as many threads on either side as others have under way.
pub(crate) fn handshakes(job: &Job) -> Result<Outcome> {
    let job = *job;
    let (connector, acceptor) = sides()?;
    let (bound, is_bound) = mpsc::channel::<SocketAddr>();
    let (started, (finished, received)) = pair::run(
        move || {
            let address = is_bound.recv()?;
            let connect_once = |connector: &SslConnector| {
                let mut stream = connect(connector, TcpStream::connect(address)?)?;
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                let _end = stream.read(&mut byte);
                Result::Ok(())
            };
            connect_once(&connector)?;
            let started = Instant::now();
            thread::scope(|threads| {
                let side = |share| {
                    let connector = &connector;
                    threads.spawn(move || (0..share).try_for_each(|_| connect_once(connector)))
                };
                let sides: Vec<_> = shares(job.count).map(side).collect();
                sides.into_iter().try_for_each(|side| side.join().map_err(|_| "a thread panicked")?)
            })?;
            Ok(started)
        },
        move || {
            let listener = TcpListener::bind(("127.0.0.1", 0))?;
            bound.send(listener.local_addr()?)?;
            let accept_once = || {
                let mut stream = accept(&acceptor, listener.accept()?.0)?;
                stream.write_all(&[0])?;
                Result::Ok(())
            };
            accept_once()?;
            thread::scope(|threads| {
                let side = |share| threads.spawn(move || (0..share).try_for_each(|_| accept_once()));
                let sides: Vec<_> = shares(job.count).map(side).collect();
                sides.into_iter().try_for_each(|side| side.join().map_err(|_| "a thread panicked")?)
            })?;
            Ok((Instant::now(), job.count))
        },
    )?;
    Ok(Outcome::Flow { elapsed: finished - started, received })
}

/// How many of `count` each of the threads does.
fn shares(count: u64) -> impl Iterator<Item = u64> {
    let threads = IN_FLIGHT as u64;
    (0..threads).map(move |thread| count / threads + u64::from(thread < count % threads))
}

/// Both sides' settings.
fn sides() -> Result<(SslConnector, SslAcceptor)> {
    const CIPHER: &str = "TLS_AES_128_GCM_SHA256";
    let Certificates { authority, server, client } = certificates()?;
    let authority = X509::from_pem(authority.as_bytes())?;

    let mut acceptor = SslAcceptor::mozilla_modern_v5(SslMethod::tls_server())?;
    acceptor.set_ciphersuites(CIPHER)?;
    acceptor.set_certificate(&*X509::from_pem(server.as_bytes())?)?;
    acceptor.set_private_key(&*PKey::private_key_from_pem(server.as_bytes())?)?;
    acceptor.cert_store_mut().add_cert(authority.clone())?;
    acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    acceptor.set_num_tickets(1)?;

    let mut connector = SslConnector::builder(SslMethod::tls_client())?;
    connector.set_min_proto_version(Some(SslVersion::TLS1_3))?;
    connector.set_ciphersuites(CIPHER)?;
    connector.set_certificate(&*X509::from_pem(client.as_bytes())?)?;
    connector.set_private_key(&*PKey::private_key_from_pem(client.as_bytes())?)?;
    connector.cert_store_mut().add_cert(authority)?;
    Ok((connector.build(), acceptor.build()))
}

fn connect(connector: &SslConnector, socket: TcpStream) -> Result<Tls> {
    socket.set_nodelay(true)?;
    Ok(Tls(connector.connect(NAME, socket)?))
}

fn accept(acceptor: &SslAcceptor, socket: TcpStream) -> Result<Tls> {
    socket.set_nodelay(true)?;
    Ok(Tls(acceptor.accept(socket)?))
}

/// A stream that says goodbye, and reads to the end: closing a socket in which a ticket is unread resets it.
struct Tls(SslStream<TcpStream>);

impl io::Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl io::Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _said: std::result::Result<ShutdownResult, _> = self.0.shutdown();
        while self.0.read(&mut [0; 256]).is_ok_and(|length| length > 0) {}
    }
}
