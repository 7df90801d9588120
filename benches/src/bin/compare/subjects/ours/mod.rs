//! Subject `ours`: this workspace's connections, as any program would use them; ZMTP with the NULL mechanism where
//! nothing else is said.

mod calls;
mod flow;
mod idle;
mod login;
mod meeting;
mod patterns;
mod trips;

use std::time::Duration;

use tokio::sync::oneshot;
use transport::Connection;

use crate::job::Result;

use meeting::Meeting;

pub(crate) use calls::{call_rtt, call_rtt_shared, calls, calls_shared};
pub(crate) use flow::{senders16, throughput, throughput_tls};
pub(crate) use idle::{CLIENTS, SERVER, idle_null, idle_scram, idle_tls};
pub(crate) use login::{handshakes_tls, login_null, login_scram, resumptions_tls};
pub(crate) use patterns::{ENDS, ENDS_SINGLE, PROXY};
pub(crate) use trips::{rtt, rtt_spin, rtt_tls};

const PEER_GONE: &str = "the peer is gone";

async fn connect(meeting: &Meeting, address: &str, spin: Duration) -> Result<Connection> {
    Ok(meeting.connect(address).spin(spin).await?)
}

async fn accept(meeting: &Meeting, bound: oneshot::Sender<String>, spin: Duration) -> Result<Connection> {
    let mut server = meeting.listen().spin(spin).start().await?;
    bound.send(server.local_address().to_string()).map_err(|_| PEER_GONE)?;
    Ok(server.accept().await.ok_or(PEER_GONE)?)
}
