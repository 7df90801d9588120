//! Subject `codec-tls`: tokio-util's `LengthDelimitedCodec` over tokio-rustls, with its default settings.

use super::certificates::NAME;
use super::codec;
use super::rustls_streams::{accept, connect, sides};
use crate::job::{Job, Outcome, Result};
use crate::sockets;

/// Messages one way: `feed` for each, one `flush` at the end.
pub(crate) fn throughput(job: &Job) -> Result<Outcome> {
    let ((near, far), (connector, acceptor)) = (sockets::tcp()?, sides()?);
    codec::flow(
        async move || connect(&connector, near, NAME.into()).await,
        async move || accept(&acceptor, far).await,
        *job,
    )
}

/// Round trips: `send` and the next frame.
pub(crate) fn rtt(job: &Job) -> Result<Outcome> {
    let ((near, far), (connector, acceptor)) = (sockets::tcp()?, sides()?);
    codec::trips(
        async move || connect(&connector, near, NAME.into()).await,
        async move || accept(&acceptor, far).await,
        *job,
    )
}
