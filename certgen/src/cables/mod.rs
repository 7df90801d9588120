//! Identities of the cables network.

mod identity;
mod template;

pub use identity::{CablesConfig, CablesIdentity};
pub(crate) use template::{Kind, authority, is_named, leaf};
