//! Subject `ours`: this workspace's connections, as any program would use them; ZMTP with the NULL mechanism where
//! nothing else is said.

mod calls;
mod flow;
mod idle;
mod login;
mod patterns;
mod trips;

use std::path::Path;
use std::time::Duration;

use tokio::sync::oneshot;
use transport::{Connection, Policy};

use crate::job::{Result, Wire};

pub(crate) use calls::{call_rtt, call_rtt_shared, calls, calls_shared};
pub(crate) use flow::{senders16, throughput};
pub(crate) use idle::{CLIENTS, SERVER, idle_null, idle_scram};
pub(crate) use login::{login_null, login_scram};
pub(crate) use patterns::ENDS;
pub(crate) use trips::{rtt, rtt_spin};

const PEER_GONE: &str = "the peer is gone";

async fn connect(address: &str, spin: Duration) -> Result<Connection> {
    Ok(transport::connect(address).server(Policy::danger_anyone()).spin(spin).await?)
}

async fn accept(address: &str, bound: oneshot::Sender<String>, spin: Duration) -> Result<Connection> {
    let listen = transport::listen(address).policy(Policy::danger_anyone()).spin(spin);
    let mut server = listen.start().await?;
    bound.send(server.local_address().to_string()).map_err(|_| PEER_GONE)?;
    Ok(server.accept().await.ok_or(PEER_GONE)?)
}

fn address(wire: Wire, folder: &Path) -> String {
    match wire {
        Wire::Tcp => "tcp://127.0.0.1:0".into(),
        Wire::Unix => format!("unix://{}", folder.join("socket").display()),
    }
}
