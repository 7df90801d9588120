//! Metrics of servers and clients, through the facade of the crate `metrics` (feature `metrics`).
//!
//! Each follows from an event, so that metrics and events say the same, and no message costs more for them. Counts of a
//! connection's traffic are added when it ends. The whole table is in `docs/events-and-metrics.md`.
//!
//! What is told goes to the recorder that the program installed; without one it goes nowhere. [`describe`] gives the
//! recorder units and descriptions.

use std::sync::Arc;

use ::metrics::{Unit, counter, gauge, histogram};

use crate::client::{ClientEvent, Disconnect};
use crate::server::ServerEvent;

/// A metric.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Whether it counts, goes up and down, or gathers values.
    pub kind: MetricKind,
    /// What it counts.
    pub unit: Unit,
    /// What it is, in a sentence.
    pub description: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
}

/// What kind of number a [`Metric`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Gathers values.
    Histogram,
}

macro_rules! metrics {
    ($($constant:ident: $kind:ident $unit:ident $name:literal [$($label:literal),*] $description:literal;)*) => {
        $(const $constant: &str = $name;)*

        /// All metrics.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $name,
            kind: MetricKind::$kind,
            unit: Unit::$unit,
            description: $description,
            labels: &[$($label),*],
        }),*];
    };
}
metrics! {
    SERVER_ACCEPTED: Counter Count "transport_server_accepted_total" ["listener"]
        "peers that were authenticated and allowed";
    SERVER_REFUSED: Counter Count "transport_server_refused_total" ["listener", "reason"]
        "peers that were turned away";
    SERVER_CLOSED: Counter Count "transport_server_closed_total" ["listener", "reason"]
        "connections that have ended";
    SERVER_CONNECTIONS: Gauge Count "transport_server_connections" ["listener"]
        "connections that are open";
    SERVER_LASTED: Histogram Seconds "transport_server_connection_seconds" ["listener"]
        "how long connections lasted";
    SERVER_MESSAGES: Counter Count "transport_server_messages_total" ["listener", "direction"]
        "messages of connections that have ended";
    SERVER_BYTES: Counter Bytes "transport_server_bytes_total" ["listener", "direction"]
        "bytes of connections that have ended";
    SERVER_ACCEPT_FAILURES: Counter Count "transport_server_accept_failures_total" ["listener"]
        "failures to accept";
    CLIENT_ATTEMPTS: Counter Count "transport_client_attempts_total" ["address"]
        "attempts to connect";
    CLIENT_FAILURES: Counter Count "transport_client_failures_total" ["address"]
        "attempts to connect that failed";
    CLIENT_CONNECTED: Counter Count "transport_client_connected_total" ["address"]
        "connections made";
    CLIENT_CONNECTIONS: Gauge Count "transport_client_connections" []
        "clients that are connected";
    CLIENT_DISCONNECTED: Counter Count "transport_client_disconnected_total" ["reason"]
        "connections that have ended";
    CLIENT_LASTED: Histogram Seconds "transport_client_connection_seconds" []
        "how long connections lasted";
    CLIENT_RECEIVED: Counter Count "transport_client_received_total" []
        "messages received on connections that have ended";
    CLIENT_MAY_BE_LOST: Counter Count "transport_client_may_be_lost_total" []
        "messages that were under way when their connection ended";
    CLIENT_GAVE_UP: Counter Count "transport_client_gave_up_total" []
        "clients that ended by themselves";
}

/// Tells the recorder what each metric is and counts.
pub fn describe() {
    for metric in METRICS {
        let Metric { name, unit, description, .. } = *metric;
        match metric.kind {
            MetricKind::Counter => ::metrics::describe_counter!(name, unit, description),
            MetricKind::Gauge => ::metrics::describe_gauge!(name, unit, description),
            MetricKind::Histogram => ::metrics::describe_histogram!(name, unit, description),
        }
    }
}

/// What an event of the server at `listener` means for the metrics.
pub(crate) fn of_server(listener: &Arc<str>, event: &ServerEvent) {
    let listener = || Arc::clone(listener);
    match event {
        ServerEvent::Accepted { .. } => {
            counter!(SERVER_ACCEPTED, "listener" => listener()).increment(1);
            gauge!(SERVER_CONNECTIONS, "listener" => listener()).increment(1);
        }
        ServerEvent::Refused { reason, .. } => {
            counter!(SERVER_REFUSED, "listener" => listener(), "reason" => reason.name()).increment(1);
        }
        ServerEvent::Closed(closed) => {
            let traffic = closed.traffic;
            counter!(SERVER_CLOSED, "listener" => listener(), "reason" => closed.reason.name()).increment(1);
            gauge!(SERVER_CONNECTIONS, "listener" => listener()).decrement(1);
            histogram!(SERVER_LASTED, "listener" => listener()).record(closed.lasted);
            for (direction, messages, bytes) in [
                ("in", traffic.messages_in, traffic.bytes_in),
                ("out", traffic.messages_out, traffic.bytes_out),
            ] {
                counter!(SERVER_MESSAGES, "listener" => listener(), "direction" => direction)
                    .increment(messages);
                counter!(SERVER_BYTES, "listener" => listener(), "direction" => direction).increment(bytes);
            }
        }
        ServerEvent::AcceptFailed { .. } => {
            counter!(SERVER_ACCEPT_FAILURES, "listener" => listener()).increment(1);
        }
        ServerEvent::Stopped => {}
    }
}

/// What an event of a client means for the metrics.
pub(crate) fn of_client(event: &ClientEvent) {
    match event {
        ClientEvent::Connecting { address } => {
            counter!(CLIENT_ATTEMPTS, "address" => address.to_string()).increment(1);
        }
        ClientEvent::ConnectFailed { address, .. } => {
            counter!(CLIENT_FAILURES, "address" => address.to_string()).increment(1);
        }
        ClientEvent::Connected { address, .. } => {
            counter!(CLIENT_CONNECTED, "address" => address.to_string()).increment(1);
            gauge!(CLIENT_CONNECTIONS).increment(1);
        }
        ClientEvent::Disconnected { reason, lasted, received, may_be_lost, .. } => {
            counter!(CLIENT_DISCONNECTED, "reason" => disconnect_name(reason)).increment(1);
            gauge!(CLIENT_CONNECTIONS).decrement(1);
            histogram!(CLIENT_LASTED).record(*lasted);
            counter!(CLIENT_RECEIVED).increment(*received);
            counter!(CLIENT_MAY_BE_LOST).increment(*may_be_lost);
        }
        ClientEvent::GaveUp { .. } => counter!(CLIENT_GAVE_UP).increment(1),
        ClientEvent::Waiting { .. } | ClientEvent::Unencodable { .. } | ClientEvent::Closed { .. } => {}
    }
}

fn disconnect_name(reason: &Disconnect) -> &'static str {
    match reason {
        Disconnect::ByServer => "peer_closed",
        Disconnect::Receiving(_) => "receiving",
        Disconnect::Sending(_) => "sending",
        Disconnect::ByThisSide => "this_side",
    }
}
