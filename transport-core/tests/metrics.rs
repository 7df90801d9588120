//! What reaches a recorder of metrics when servers and clients are at work.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use transport_core::mem::MemTransport;
use transport_core::metrics::{METRICS, describe};
use transport_core::{Connect, Listen, Policy, Transports};

/// Keeps everything, by name and labels.
#[derive(Clone, Default)]
struct Kept {
    values: Arc<Mutex<BTreeMap<String, f64>>>,
    described: Arc<Mutex<BTreeMap<String, Option<Unit>>>>,
}

/// One value; of a histogram the count of its values.
struct Value {
    kept: Kept,
    key: String,
}

impl Kept {
    fn value(&self, key: &Key) -> Arc<Value> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let key = [vec![key.name().to_owned()], labels].concat().join(" ");
        Arc::new(Value { kept: self.clone(), key })
    }

    fn describe(&self, key: &KeyName, unit: Option<Unit>) {
        self.described.lock().unwrap().insert(key.as_str().to_owned(), unit);
    }

    fn get(&self, key: &str) -> f64 {
        self.values.lock().unwrap().get(key).copied().unwrap_or_default()
    }
}

impl Value {
    fn change(&self, change: impl FnOnce(&mut f64)) {
        change(self.kept.values.lock().unwrap().entry(self.key.clone()).or_default());
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&key, unit);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&key, unit);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&key, unit);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.value(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.value(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.value(key))
    }
}

impl CounterFn for Value {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn increment(&self, value: u64) {
        self.change(|kept| *kept += value as f64);
    }

    fn absolute(&self, _: u64) {
        unreachable!("nothing here counts so");
    }
}

impl GaugeFn for Value {
    fn increment(&self, value: f64) {
        self.change(|kept| *kept += value);
    }

    fn decrement(&self, value: f64) {
        self.change(|kept| *kept -= value);
    }

    fn set(&self, value: f64) {
        self.change(|kept| *kept = value);
    }
}

impl HistogramFn for Value {
    fn record(&self, _: f64) {
        self.change(|kept| *kept += 1.0);
    }
}

#[tokio::test(start_paused = true)]
async fn servers_and_clients_tell_the_recorder_what_their_events_say() {
    let kept = Kept::default();
    let _recorder = ::metrics::set_default_local_recorder(&kept);
    let transports = Transports::new().with(MemTransport::new());
    let mut server =
        Listen::new(&transports, "mem://metrics").policy(Policy::same_process()).start().await.unwrap();
    let connect = Connect::new(&transports, "mem://metrics").server(Policy::same_process());
    let client = connect.keep().unwrap();
    let mut accepted = server.accept().await.unwrap();
    client.send("four").await.unwrap();
    accepted.recv().await.unwrap().unwrap();
    let listener = "listener=mem://metrics";
    assert_eq!(kept.get(&format!("transport_server_accepted_total {listener}")), 1.0);
    assert_eq!(kept.get(&format!("transport_server_connections {listener}")), 1.0);
    drop(accepted);
    assert_eq!(kept.get(&format!("transport_server_connections {listener}")), 0.0);
    assert_eq!(kept.get(&format!("transport_server_closed_total {listener} reason=this_side")), 1.0);
    assert_eq!(kept.get(&format!("transport_server_connection_seconds {listener}")), 1.0);
    assert_eq!(kept.get(&format!("transport_server_messages_total {listener} direction=in")), 1.0);
    assert_eq!(kept.get(&format!("transport_server_bytes_total {listener} direction=in")), 6.0);
    // It comes back.
    let _again = server.accept().await.unwrap();
    assert_eq!(kept.get("transport_client_disconnected_total reason=peer_closed"), 1.0);
    assert_eq!(kept.get("transport_client_connected_total address=mem://metrics"), 2.0);
    assert_eq!(kept.get("transport_client_attempts_total address=mem://metrics"), 2.0);
    assert_eq!(kept.get("transport_client_connections"), 1.0);
    let _unsent = client.close(Duration::ZERO).await;
    assert_eq!(kept.get("transport_client_connections"), 0.0);

    let mut strict = Listen::new(&transports, "mem://nobody").start().await.unwrap();
    let denied = Connect::new(&transports, "mem://nobody").server(Policy::same_process());
    let mut events = strict.events();
    let (denied, _refused) = tokio::join!(denied.into_future(), events.recv());
    assert!(denied.is_err());
    assert_eq!(kept.get("transport_server_refused_total listener=mem://nobody reason=denied"), 1.0);
}

#[test]
fn every_metric_can_be_described() {
    let kept = Kept::default();
    ::metrics::with_local_recorder(&kept, describe);
    let described = kept.described.lock().unwrap();
    assert!(METRICS.iter().all(|metric| described.get(metric.name) == Some(&Some(metric.unit))));
    assert_eq!(described.len(), METRICS.len());
}
