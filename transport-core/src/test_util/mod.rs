//! What tests of programs that use connections need: the feature `test-util`.
//!
//! | item | for what |
//! |---|---|
//! | [`pair`], [`pair_over`] | both ends of an authenticated connection in one call |
//! | [`virtual_time`] | hours that pass in milliseconds, and the same run for the same seed |
//! | [`sweep`] | a test run for hundreds of seeds; the one that fails is printed |
//! | [`FaultyTransport`] | any transport, with what a network does to it: cut, delay, corrupt, split, stall, refuse, partition |
//! | [`ScriptedPeer`] | a peer that sends the bytes it is told to and expects the bytes it is told to |
//!
//! Not for production: nothing here is needed there.
//!
//! # Determinism
//!
//! In [`virtual_time`], with all tasks in its one thread and all chance drawn from [`Random`], the same seed gives the
//! same run, event for event. What breaks it is what comes from outside: the system's clock, other threads, sockets,
//! the order of a `HashMap`, and `tokio::select!` without `biased`.

mod faulty;
mod pair;
mod random;
mod scripted_peer;
mod sweep;
mod virtual_time;

pub use faulty::{Direction, FaultControl, FaultPlan, FaultyTransport};
pub use pair::{PairError, pair, pair_over};
pub use random::Random;
pub use scripted_peer::{ScriptError, ScriptedPeer};
pub use sweep::sweep;
pub use virtual_time::virtual_time;
