//! Whether a message that was put into a pipe is still to be answered there.

/// One of the stages of a pipe's life, in which it waits for a connection and has one by turns.
///
/// ```text
/// stage       1 waits    4 is open    7 waits     8 is open    9 waits
/// since       1          1            1           1            9
///                                     | it was put back        | it went out at 8, and is gone with that connection
/// a message   put in at 1, goes out at 4, comes back, goes out at 8
/// ```
///
/// That is so for the message that was put in last: those before it may have gone out before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pipe: u64,
    /// Greater than those of all earlier stages.
    number: u64,
    /// The first stage of which the last message may be here.
    since: u64,
}

impl Stage {
    /// The first one of a pipe.
    pub(super) fn first(pipe: u64, number: u64) -> Stage {
        Stage { pipe, number, since: number }
    }

    /// The next one, which what was put in last comes along to or not.
    pub(super) fn next(self, number: u64, comes_along: bool) -> Stage {
        Stage { number, since: if comes_along { self.since } else { number }, ..self }
    }

    pub(crate) fn pipe(self) -> u64 {
        self.pipe
    }

    /// Whether the message that was put into this pipe last is here, if that was at `stage`.
    pub(crate) fn has(self, stage: Stage) -> bool {
        self.pipe == stage.pipe && self.since <= stage.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_docs_holds() {
        let one = Stage::first(0, 1);
        let four = one.next(4, true);
        let eight = four.next(7, true).next(8, true);
        let nine = eight.next(9, false);
        assert!(one.has(one) && four.has(one) && eight.has(one) && eight.has(four) && nine.has(nine));
        assert!(!nine.has(one) && !nine.has(four) && !nine.has(eight));
        assert!(!Stage::first(2, 3).has(one), "of another pipe");
    }
}
