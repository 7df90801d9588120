//! What a call costs, both sides within one thread: one at a time, and a thousand under way.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench, not an API")]

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use transport::call::{self, CallLimits, Caller, LoneCaller};
use transport::{Connection, Message, Policy};

const ADDRESSES: [(&str, &str); 3] =
    [("mem", "mem://bench-call"), ("tcp", "tcp://127.0.0.1:0"), ("unix", "unix:@transport-bench-call")];
const COUNT: u64 = 1000;
/// Calls of each task one after the other, so that starting the tasks does not count.
const ROUNDS: u64 = 20;
const BODY: [u8; 64] = [7; 64];

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The connecting side; the other one is given to `serve`, in a task.
async fn connect<F>(address: &str, serve: impl FnOnce(Connection) -> F) -> Connection
where
    F: Future<Output = Result<(), call::ServeError>> + Send + 'static,
{
    let mut server = transport::listen(address).policy(Policy::danger_anyone()).start().await.unwrap();
    let address = server.local_address().to_string();
    let connecting = transport::connect(address).server(Policy::danger_anyone());
    let (client, accepted) = tokio::join!(connecting.into_future(), server.accept());
    tokio::spawn(serve(accepted.unwrap()));
    // The address is free for the next one.
    server.handle().retire().await;
    client.unwrap()
}

/// Replies at once with what was asked.
async fn echo(connection: Connection) -> Result<(), call::ServeError> {
    call::serve_with(connection, CallLimits::default(), |request| {
        let message = request.message();
        request.reply(message)
    })
    .await
}

/// The same with an async handler.
async fn echo_async(connection: Connection) -> Result<(), call::ServeError> {
    call::serve(connection, CallLimits::default(), async |request: Message| Ok(request)).await
}

fn one_at_a_time(c: &mut Criterion) {
    let mut group = c.benchmark_group("call");
    for (name, address) in ADDRESSES {
        let runtime = runtime();
        let mut lone = LoneCaller::new(runtime.block_on(connect(address, echo)), CallLimits::default());
        group.bench_function(format!("{name}/lone"), |b| {
            b.iter(|| runtime.block_on(lone.call(&BODY)).unwrap());
        });
        let connection = runtime.block_on(connect(address, echo));
        let shared = runtime.block_on(async { Caller::new(connection, CallLimits::default()) });
        group.bench_function(format!("{name}/shared"), |b| {
            b.iter(|| runtime.block_on(shared.call(&BODY)).unwrap());
        });
    }
}

fn a_thousand_under_way(c: &mut Criterion) {
    let mut group = c.benchmark_group("calls-1000");
    for (name, address) in ADDRESSES {
        let runtime = runtime();
        group.throughput(Throughput::Elements(COUNT));
        for (handler, connection) in [
            ("at-once", runtime.block_on(connect(address, echo))),
            ("async", runtime.block_on(connect(address, echo_async))),
        ] {
            let mut lone = LoneCaller::new(connection, CallLimits::default());
            group.bench_function(format!("{name}/lone/{handler}"), |b| {
                b.iter(|| {
                    runtime.block_on(async {
                        for _ in 0..COUNT {
                            lone.start(&BODY).await.unwrap();
                        }
                        while lone.count() > 0 {
                            lone.each_reply(|_, reply| assert!(reply.is_ok())).await.unwrap();
                        }
                    });
                });
            });
        }
        let connection = runtime.block_on(connect(address, echo));
        let shared = runtime.block_on(async { Caller::new(connection, CallLimits::default()) });
        group.throughput(Throughput::Elements(COUNT * ROUNDS));
        group.bench_function(format!("{name}/shared"), |b| {
            b.iter(|| {
                runtime.block_on(async {
                    let mut tasks = JoinSet::new();
                    for _ in 0..COUNT {
                        let caller = shared.clone();
                        tasks.spawn(async move {
                            for _ in 0..ROUNDS {
                                assert!(caller.call(&BODY).await.is_ok());
                            }
                        });
                    }
                    tasks.join_all().await;
                });
            });
        });
    }
}

criterion_group! {
    name = calls;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    targets = one_at_a_time, a_thousand_under_way
}
criterion_main!(calls);
