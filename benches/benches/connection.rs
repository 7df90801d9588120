//! What a whole connection costs: round trips, streams of messages, and opening one, over each transport, within one
//! thread. Side by side with other libraries, and with a thread for each side, is what `compare` is for.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench, not an API")]

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use transport::{Connection, Policy, Server};

const ADDRESSES: [(&str, &str); 3] =
    [("mem", "mem://bench"), ("tcp", "tcp://127.0.0.1:0"), ("unix", "unix:@transport-bench")];

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn server(address: &str) -> Server {
    transport::listen(address).policy(Policy::danger_anyone()).start().await.unwrap()
}

async fn connect(server: &mut Server) -> (Connection, Connection) {
    let address = server.local_address().to_string();
    let connecting = transport::connect(address).server(Policy::danger_anyone());
    let (client, accepted) = tokio::join!(connecting.into_future(), server.accept());
    (client.unwrap(), accepted.unwrap())
}

fn round_trip(c: &mut Criterion) {
    let mut group = c.benchmark_group("round-trip");
    for (name, address) in ADDRESSES {
        let runtime = runtime();
        let (mut near, mut far) = runtime.block_on(async { connect(&mut server(address).await).await });
        group.bench_function(name, |b| {
            b.iter(|| {
                runtime.block_on(async {
                    near.send(&[7; 64]).await.unwrap();
                    let message = far.recv().await.unwrap().unwrap();
                    far.send(&message).await.unwrap();
                    near.recv().await.unwrap().unwrap()
                })
            });
        });
    }
}

fn stream(c: &mut Criterion) {
    const COUNT: u64 = 1000;
    let mut group = c.benchmark_group("stream");
    for (name, address) in ADDRESSES {
        for size in [64, 1024] {
            let runtime = runtime();
            let (mut near, mut far) = runtime.block_on(async { connect(&mut server(address).await).await });
            let message = vec![7; size];
            group.throughput(Throughput::Elements(COUNT));
            group.bench_function(format!("{name}/{size}"), |b| {
                b.iter(|| {
                    runtime.block_on(async {
                        let sending = async {
                            for _ in 0..COUNT {
                                near.feed(&message).await.unwrap();
                            }
                            near.flush().await.unwrap();
                        };
                        let receiving = async {
                            let mut received = 0;
                            while received < COUNT {
                                received += far.recv_each(|_| {}).await.unwrap() as u64;
                            }
                        };
                        tokio::join!(sending, receiving);
                    });
                });
            });
        }
    }
}

fn open(c: &mut Criterion) {
    let mut group = c.benchmark_group("open");
    for (name, address) in ADDRESSES {
        let runtime = runtime();
        let mut server = runtime.block_on(server(address));
        group.bench_function(name, |b| b.iter(|| runtime.block_on(connect(&mut server))));
    }
}

criterion_group! {
    name = connection;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    targets = round_trip, stream, open
}
criterion_main!(connection);
