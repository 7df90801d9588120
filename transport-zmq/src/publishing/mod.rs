//! What PUB and XPUB have in common.

mod publisher;
mod subscribers;
mod topic_set;

pub(crate) use publisher::Publisher;
pub(crate) use subscribers::{Shown, Subscribers};
