//! The table of what is measured: a row a family of cases, with the subjects that can do it.
//!
//! To add a case, add a row; to add a subject, name its functions in the rows it can do. A subject named in
//! no row of a case is simply not run for it, and ratios to it are then null.

use crate::job::{Wire, Work};
use crate::subjects::{codec, libzmq, ours, raw, zeromq};

/// One case: a piece of work that all its subjects do alike.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) wire: Wire,
    pub(crate) size: usize,
    pub(crate) subjects: &'static [(&'static str, Work)],
}

/// A row of the table: the cases `kind/wire/size` for every wire and size.
struct Family {
    kind: &'static str,
    unit: &'static str,
    wires: &'static [Wire],
    sizes: &'static [usize],
    subjects: &'static [(&'static str, Work)],
}

const STREAMS: &[Wire] = &[Wire::Tcp, Wire::Unix];
const SIZES: &[usize] = &[64, 1024, 65536];

const FAMILIES: &[Family] = &[
    Family {
        kind: "throughput",
        unit: "messages/s",
        wires: STREAMS,
        sizes: SIZES,
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
        subjects: &[
            ("ours", ours::rtt),
            ("raw", raw::rtt),
            ("codec", codec::rtt),
            ("libzmq", libzmq::rtt),
            ("zeromq", zeromq::rtt),
        ],
    },
    Family {
        kind: "rtt-spin",
        unit: "us p50",
        wires: STREAMS,
        sizes: &[64],
        subjects: &[("ours", ours::rtt_spin), ("raw", raw::rtt), ("raw-spin", raw::rtt_spin)],
    },
    Family {
        kind: "senders16",
        unit: "messages/s",
        wires: STREAMS,
        sizes: &[64],
        subjects: &[("ours", ours::senders16), ("one-sender", ours::throughput)],
    },
];

/// Every case of the table, in its order.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for family in FAMILIES {
        for &wire in family.wires {
            for &size in family.sizes {
                cases.push(Case {
                    name: format!("{}/{}/{size}", family.kind, wire.name()),
                    unit: family.unit,
                    wire,
                    size,
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
