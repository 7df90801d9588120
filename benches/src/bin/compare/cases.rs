//! The table of what is measured: a row a family of cases, with the subjects that can do it.
//!
//! To add a case, add a row; to add a subject, name its functions in the rows it can do. A subject named in
//! no row of a case is simply not run for it, and ratios to it are then null.

use crate::job::{Wire, Work};
use crate::patterns::{self, Pattern, Waiting};
use crate::subjects::{certgen, codec, codec_tls, libzmq, openssl, ours, raw, raw_tls, zeromq};

/// One case: a piece of work that all its subjects do alike.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) wire: Wire,
    pub(crate) size: usize,
    pub(crate) amount: Amount,
    pub(crate) subjects: &'static [(&'static str, Work)],
}

/// How much work a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    /// As much as takes the time that the plan gives a run.
    Timed,
    /// So much, however long it takes.
    Fixed(u64),
}

/// A row of the table: the cases `kind/wire/size` for every wire and size.
struct Family {
    kind: &'static str,
    unit: &'static str,
    /// The wires, by their names within the names of cases.
    wires: &'static [(&'static str, Wire)],
    /// The sizes of messages; where there is only [`NO_SIZE`], no size is in the names.
    sizes: &'static [usize],
    amount: Amount,
    subjects: &'static [(&'static str, Work)],
}

const STREAMS: &[(&str, Wire)] = &[("tcp", Wire::Tcp), ("unix", Wire::Unix)];
/// TLS over TCP, with certificates on both sides.
const TLS: &[(&str, Wire)] = &[("tls", Wire::Tcp)];
const SIZES: &[usize] = &[64, 1024, 65536];
const SOCKETS: &[(&str, Wire)] = &[("tcp", Wire::Tcp), ("ipc", Wire::Unix)];
const NO_SIZE: &[usize] = &[0];
const REQUESTS: Pattern = Pattern::ReqRep(Waiting::Default);

const FAMILIES: &[Family] = &[
    Family {
        kind: "throughput",
        unit: "messages/s",
        wires: STREAMS,
        sizes: SIZES,
        amount: Amount::Timed,
        subjects: &[
            ("ours", ours::throughput),
            ("raw", raw::throughput),
            ("codec", codec::throughput),
            ("libzmq", libzmq::throughput),
            ("zeromq", zeromq::throughput),
        ],
    },
    Family {
        kind: "rtt",
        unit: "us p50",
        wires: STREAMS,
        sizes: SIZES,
        amount: Amount::Timed,
        subjects: &[
            ("ours", ours::rtt),
            ("raw", raw::rtt),
            ("codec", codec::rtt),
            ("libzmq", libzmq::rtt),
            ("zeromq", zeromq::rtt),
        ],
    },
    Family {
        kind: "throughput",
        unit: "messages/s",
        wires: TLS,
        sizes: SIZES,
        amount: Amount::Timed,
        subjects: &[
            ("ours", ours::throughput_tls),
            ("raw-tls", raw_tls::throughput),
            ("codec-tls", codec_tls::throughput),
            ("openssl", openssl::throughput),
        ],
    },
    Family {
        kind: "rtt",
        unit: "us p50",
        wires: TLS,
        sizes: &[64],
        amount: Amount::Timed,
        subjects: &[
            ("ours", ours::rtt_tls),
            ("raw-tls", raw_tls::rtt),
            ("codec-tls", codec_tls::rtt),
            ("openssl", openssl::rtt),
            ("ours-tcp", ours::rtt),
        ],
    },
    Family {
        kind: "handshake",
        unit: "connections/s",
        wires: TLS,
        sizes: NO_SIZE,
        amount: Amount::Timed,
        subjects: &[
            ("ours", ours::handshakes_tls),
            ("raw-tls", raw_tls::handshakes),
            ("openssl", openssl::handshakes),
        ],
    },
    Family {
        kind: "handshake",
        unit: "connections/s",
        wires: &[("tls-resumed", Wire::Tcp)],
        sizes: NO_SIZE,
        amount: Amount::Timed,
        subjects: &[("ours", ours::resumptions_tls), ("raw-tls", raw_tls::resumptions)],
    },
    Family {
        kind: "handshake",
        unit: "connections/s",
        wires: STREAMS,
        sizes: NO_SIZE,
        amount: Amount::Timed,
        subjects: &[("ours", ours::login_null)],
    },
    Family {
        kind: "rtt-spin",
        unit: "us p50",
        wires: STREAMS,
        sizes: &[64],
        amount: Amount::Timed,
        subjects: &[("ours", ours::rtt_spin), ("raw", raw::rtt), ("raw-spin", raw::rtt_spin)],
    },
    Family {
        kind: "senders16",
        unit: "messages/s",
        wires: STREAMS,
        sizes: &[64],
        amount: Amount::Timed,
        subjects: &[("ours", ours::senders16), ("one-sender", ours::throughput)],
    },
    Family {
        kind: "call-rtt",
        unit: "us p50",
        wires: STREAMS,
        sizes: &[64],
        amount: Amount::Timed,
        subjects: &[("ours", ours::call_rtt), ("shared", ours::call_rtt_shared), ("rtt", ours::rtt)],
    },
    Family {
        kind: "calls-1000",
        unit: "calls/s",
        wires: STREAMS,
        sizes: &[64],
        amount: Amount::Timed,
        subjects: &[("ours", ours::calls), ("shared", ours::calls_shared), ("throughput", ours::throughput)],
    },
    Family {
        kind: "login",
        unit: "logins/s",
        wires: &[("scram", Wire::Unix)],
        sizes: NO_SIZE,
        amount: Amount::Timed,
        subjects: &[("ours", ours::login_scram), ("null", ours::login_null)],
    },
    Family {
        kind: "idle",
        unit: "bytes each",
        wires: STREAMS,
        sizes: NO_SIZE,
        amount: Amount::Fixed(10_000),
        subjects: &[("ours", ours::idle_scram), ("null", ours::idle_null)],
    },
    Family {
        kind: "certgen",
        unit: "us p50",
        wires: &[("p256", Wire::Unix)],
        sizes: NO_SIZE,
        amount: Amount::Timed,
        subjects: &[
            ("ours", certgen::ours),
            ("openssl", certgen::openssl),
            ("ours-disk", certgen::ours_on_disk),
            ("openssl-disk", certgen::openssl_on_disk),
        ],
    },
    Family {
        kind: "zmq/pushpull",
        unit: "messages/s",
        wires: SOCKETS,
        sizes: SIZES,
        amount: Amount::Timed,
        subjects: &[
            ("ours", |job| patterns::run(&ours::ENDS, Pattern::PushPull, job)),
            ("libzmq", |job| patterns::run(&libzmq::ENDS, Pattern::PushPull, job)),
            ("zeromq", |job| patterns::run(&zeromq::ENDS, Pattern::PushPull, job)),
            ("ours-single", |job| patterns::run(&ours::ENDS_SINGLE, Pattern::PushPull, job)),
            ("raw", raw::throughput),
        ],
    },
    Family {
        kind: "zmq/dealerrouter",
        unit: "messages/s",
        wires: SOCKETS,
        sizes: SIZES,
        amount: Amount::Timed,
        subjects: &[
            ("ours", |job| patterns::run(&ours::ENDS, Pattern::DealerRouter(1), job)),
            ("libzmq", |job| patterns::run(&libzmq::ENDS, Pattern::DealerRouter(1), job)),
            ("zeromq", |job| patterns::run(&zeromq::ENDS, Pattern::DealerRouter(1), job)),
            ("ours-single", |job| patterns::run(&ours::ENDS_SINGLE, Pattern::DealerRouter(1), job)),
            ("raw", raw::throughput),
        ],
    },
    Family {
        kind: "zmq/pubsub10",
        unit: "messages/s",
        wires: SOCKETS,
        sizes: SIZES,
        amount: Amount::Timed,
        subjects: &[
            ("ours", |job| patterns::run(&ours::ENDS, Pattern::PubSub(10), job)),
            ("libzmq", |job| patterns::run(&libzmq::ENDS, Pattern::PubSub(10), job)),
            ("zeromq", |job| patterns::run(&zeromq::ENDS, Pattern::PubSub(10), job)),
            ("ours-single", |job| patterns::run(&ours::ENDS_SINGLE, Pattern::PubSub(10), job)),
            ("raw", raw::throughput_of_ten),
        ],
    },
    Family {
        kind: "zmq/reqrep",
        unit: "us p50",
        wires: SOCKETS,
        sizes: SIZES,
        amount: Amount::Timed,
        subjects: &[
            ("ours", |job| patterns::run(&ours::ENDS, REQUESTS, job)),
            ("libzmq", |job| patterns::run(&libzmq::ENDS, REQUESTS, job)),
            ("zeromq", |job| patterns::run(&zeromq::ENDS, REQUESTS, job)),
            ("raw", raw::rtt),
            ("ours-asleep", |job| patterns::run(&ours::ENDS, Pattern::ReqRep(Waiting::Asleep), job)),
            ("ours-spin", |job| patterns::run(&ours::ENDS, Pattern::ReqRep(Waiting::Spinning), job)),
        ],
    },
    Family {
        kind: "zmq/reqrep-one-core",
        unit: "us p50",
        wires: SOCKETS,
        sizes: &[64],
        amount: Amount::Timed,
        subjects: &[
            ("ours", |job| patterns::run_on_one_core(&ours::ENDS, REQUESTS, job)),
            ("ours-asleep", |job| {
                patterns::run_on_one_core(&ours::ENDS, Pattern::ReqRep(Waiting::Asleep), job)
            }),
            ("ours-spin", |job| {
                patterns::run_on_one_core(&ours::ENDS, Pattern::ReqRep(Waiting::Spinning), job)
            }),
            ("libzmq", |job| patterns::run_on_one_core(&libzmq::ENDS, REQUESTS, job)),
        ],
    },
    Family {
        kind: "zmq/reqrep-cpu",
        unit: "ns of CPU",
        wires: SOCKETS,
        sizes: &[64],
        amount: Amount::Fixed(20_000),
        subjects: &[
            ("ours", |job| patterns::answering_cpu(&ours::ENDS, Waiting::Default, job)),
            ("ours-asleep", |job| patterns::answering_cpu(&ours::ENDS, Waiting::Asleep, job)),
            ("ours-spin", |job| patterns::answering_cpu(&ours::ENDS, Waiting::Spinning, job)),
            ("libzmq", |job| patterns::answering_cpu(&libzmq::ENDS, Waiting::Default, job)),
        ],
    },
    Family {
        kind: "zmq/proxy",
        unit: "messages/s",
        wires: SOCKETS,
        sizes: SIZES,
        amount: Amount::Timed,
        subjects: &[
            ("ours", |job| patterns::run_through(ours::PROXY, &ours::ENDS, Pattern::PushPull, job)),
            ("libzmq", |job| patterns::run_through(libzmq::PROXY, &ours::ENDS, Pattern::PushPull, job)),
        ],
    },
    Family {
        kind: "zmq/proxy-reqrep",
        unit: "us p50",
        wires: SOCKETS,
        sizes: &[64],
        amount: Amount::Timed,
        subjects: &[
            ("ours", |job| patterns::run_through(ours::PROXY, &ours::ENDS, REQUESTS, job)),
            ("libzmq", |job| patterns::run_through(libzmq::PROXY, &ours::ENDS, REQUESTS, job)),
            ("zeromq", |job| patterns::run_through(zeromq::PROXY, &ours::ENDS, REQUESTS, job)),
        ],
    },
    Family {
        kind: "zmq/curve",
        unit: "messages/s",
        wires: &[("tcp", Wire::Tcp)],
        sizes: SIZES,
        amount: Amount::Timed,
        subjects: &[
            ("ours", |job| patterns::run(&ours::ENDS, Pattern::Curve, job)),
            ("libzmq", |job| patterns::run(&libzmq::ENDS, Pattern::Curve, job)),
            ("plain", |job| patterns::run(&ours::ENDS, Pattern::PushPull, job)),
        ],
    },
    Family {
        kind: "zmq/pub1-cpu",
        unit: "ns of CPU",
        wires: &[("tcp", Wire::Tcp)],
        sizes: &[64, 1024],
        amount: Amount::Fixed(50_000),
        subjects: &[
            ("ours", |job| patterns::sender_cpu(&ours::ENDS, Pattern::PubSub(1), job)),
            ("libzmq", |job| patterns::sender_cpu(&libzmq::ENDS, Pattern::PubSub(1), job)),
            ("ours-single", |job| patterns::sender_cpu(&ours::ENDS_SINGLE, Pattern::PubSub(1), job)),
        ],
    },
    Family {
        kind: "zmq/pub100-cpu",
        unit: "ns of CPU",
        wires: &[("tcp", Wire::Tcp)],
        sizes: &[64, 1024],
        amount: Amount::Fixed(50_000),
        subjects: &[
            ("ours", |job| patterns::sender_cpu(&ours::ENDS, Pattern::PubSub(100), job)),
            ("libzmq", |job| patterns::sender_cpu(&libzmq::ENDS, Pattern::PubSub(100), job)),
            ("ours-single", |job| patterns::sender_cpu(&ours::ENDS_SINGLE, Pattern::PubSub(100), job)),
        ],
    },
    Family {
        kind: "zmq/router10",
        unit: "messages/s",
        wires: &[("tcp", Wire::Tcp)],
        sizes: &[64],
        amount: Amount::Timed,
        subjects: &[("ours", |job| patterns::run(&ours::ENDS, Pattern::DealerRouter(10), job))],
    },
    Family {
        kind: "zmq/router100",
        unit: "messages/s",
        wires: &[("tcp", Wire::Tcp)],
        sizes: &[64],
        amount: Amount::Timed,
        subjects: &[("ours", |job| patterns::run(&ours::ENDS, Pattern::DealerRouter(100), job))],
    },
    Family {
        kind: "zmq/router1000",
        unit: "messages/s",
        wires: &[("tcp", Wire::Tcp)],
        sizes: &[64],
        amount: Amount::Timed,
        subjects: &[("ours", |job| patterns::run(&ours::ENDS, Pattern::DealerRouter(1000), job))],
    },
    Family {
        kind: "zmq/router10-memory",
        unit: "bytes a peer",
        wires: &[("tcp", Wire::Tcp)],
        sizes: &[64],
        amount: Amount::Fixed(10_000),
        subjects: &[("ours", |job| patterns::receiver_memory(&ours::ENDS, 10, job))],
    },
    Family {
        kind: "zmq/router100-memory",
        unit: "bytes a peer",
        wires: &[("tcp", Wire::Tcp)],
        sizes: &[64],
        amount: Amount::Fixed(10_000),
        subjects: &[("ours", |job| patterns::receiver_memory(&ours::ENDS, 100, job))],
    },
    Family {
        kind: "zmq/router1000-memory",
        unit: "bytes a peer",
        wires: &[("tcp", Wire::Tcp)],
        sizes: &[64],
        amount: Amount::Fixed(10_000),
        subjects: &[("ours", |job| patterns::receiver_memory(&ours::ENDS, 1000, job))],
    },
    Family {
        kind: "idle",
        unit: "bytes each",
        wires: TLS,
        sizes: NO_SIZE,
        amount: Amount::Fixed(10_000),
        subjects: &[("ours", ours::idle_tls)],
    },
];

/// Every case of the table, in its order.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for family in FAMILIES {
        for &(wire_name, wire) in family.wires {
            for &size in family.sizes {
                let name = format!("{}/{wire_name}", family.kind);
                cases.push(Case {
                    name: if family.sizes == NO_SIZE { name } else { format!("{name}/{size}") },
                    unit: family.unit,
                    wire,
                    size,
                    amount: family.amount,
                    subjects: family.subjects,
                });
            }
        }
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_names_are_unique() {
        let mut names: Vec<_> = all().into_iter().map(|case| case.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
