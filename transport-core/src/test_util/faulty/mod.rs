//! A transport with what a network does to it.

mod control;
mod plan;
mod stream;
mod transport;
mod way;

pub use control::FaultControl;
pub use plan::{Direction, FaultPlan};
pub use transport::FaultyTransport;
