//! Which sockets talk to each other, and how a message looks at either end.

/// A type of ours and one of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) ours: &'static str,
    pub(crate) theirs: &'static str,
}

/// Every pair that RFC 37 allows, each type on either side.
pub(crate) const PAIRS: [Pair; 21] = [
    pair("REQ", "REP"),
    pair("REP", "REQ"),
    pair("REQ", "ROUTER"),
    pair("ROUTER", "REQ"),
    pair("DEALER", "REP"),
    pair("REP", "DEALER"),
    pair("DEALER", "ROUTER"),
    pair("ROUTER", "DEALER"),
    pair("DEALER", "DEALER"),
    pair("ROUTER", "ROUTER"),
    pair("PUB", "SUB"),
    pair("SUB", "PUB"),
    pair("XPUB", "SUB"),
    pair("SUB", "XPUB"),
    pair("PUB", "XSUB"),
    pair("XSUB", "PUB"),
    pair("XPUB", "XSUB"),
    pair("XSUB", "XPUB"),
    pair("PUSH", "PULL"),
    pair("PULL", "PUSH"),
    pair("PAIR", "PAIR"),
];

pub(crate) const fn pair(ours: &'static str, theirs: &'static str) -> Pair {
    Pair { ours, theirs }
}

/// One of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Ours,
    Theirs,
}

/// A way for messages: what is sent behind `front` arrives behind `before`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) from: Side,
    pub(crate) front: &'static [&'static str],
    pub(crate) before: &'static [&'static str],
}

impl Side {
    pub(crate) fn other(self) -> Side {
        match self {
            Side::Ours => Side::Theirs,
            Side::Theirs => Side::Ours,
        }
    }

    /// The name under which a ROUTER knows its socket.
    pub(crate) fn routing_id(self) -> &'static str {
        match self {
            Side::Ours => "ours",
            Side::Theirs => "theirs",
        }
    }

    /// The first part of a message to this socket or from it, at a ROUTER.
    fn routed(self) -> &'static [&'static str] {
        match self {
            Side::Ours => &["ours"],
            Side::Theirs => &["theirs"],
        }
    }

    /// The same for a REQ, with its empty part.
    fn routed_request(self) -> &'static [&'static str] {
        match self {
            Side::Ours => &["ours", ""],
            Side::Theirs => &["theirs", ""],
        }
    }
}

impl Pair {
    pub(crate) fn of(self, side: Side) -> &'static str {
        match side {
            Side::Ours => self.ours,
            Side::Theirs => self.theirs,
        }
    }

    pub(crate) fn name(self) -> String {
        format!("{}-{}", self.ours, self.theirs)
    }

    /// The ways of messages, in the order in which they can be used.
    pub(crate) fn ways(self) -> Vec<Way> {
        let sides = [Side::Ours, Side::Theirs];
        // Whoever is first in one of these speaks first.
        sides
            .into_iter()
            .find_map(|first| ways(first, self.of(first), self.of(first.other())))
            .unwrap_or_default()
    }

    /// Whether each message waits for its answer.
    pub(crate) fn is_lock_step(self) -> bool {
        [self.ours, self.theirs].iter().any(|r#type| matches!(*r#type, "REQ" | "REP"))
    }

    /// The side that publishes.
    pub(crate) fn publisher(self) -> Option<Side> {
        [Side::Ours, Side::Theirs].into_iter().find(|side| matches!(self.of(*side), "PUB" | "XPUB"))
    }
}

fn ways(first: Side, r#type: &str, other: &str) -> Option<Vec<Way>> {
    let there = |front, before| Way { from: first, front, before };
    let back = |front, before| Way { from: first.other(), front, before };
    let (me, you) = (first.routed(), first.other().routed());
    let asked = first.routed_request();
    Some(match (r#type, other) {
        ("REQ", "REP") | ("DEALER", "DEALER") | ("PAIR", "PAIR") => vec![there(&[], &[]), back(&[], &[])],
        ("REQ", "ROUTER") => vec![there(&[], asked), back(asked, &[])],
        ("DEALER", "REP") => vec![there(&[""], &[]), back(&[], &[""])],
        ("DEALER", "ROUTER") => vec![there(&[], me), back(me, &[])],
        ("ROUTER", "ROUTER") => vec![there(you, me), back(me, you)],
        ("PUB" | "XPUB", "SUB") | ("PUB", "XSUB") | ("PUSH", "PULL") => vec![there(&[], &[])],
        ("XPUB", "XSUB") => vec![there(&[], &[]), back(&[], &[])],
        _ => return None,
    })
}
