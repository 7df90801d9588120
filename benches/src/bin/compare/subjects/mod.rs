//! The subjects: a file each, with a function of type `Work` for each kind of work it can do.
//!
//! A new subject is a file here and its functions' names in the rows of `cases`.

use crate::process::Role;

pub(crate) mod certgen;
pub(crate) mod certificates;
pub(crate) mod codec;
pub(crate) mod codec_tls;
pub(crate) mod libzmq;
pub(crate) mod openssl;
pub(crate) mod ours;
pub(crate) mod raw;
pub(crate) mod raw_tls;
pub(crate) mod runtime;
pub(crate) mod rustls_streams;
pub(crate) mod zeromq;

/// What processes of this program's own may be started as.
pub(crate) const ROLES: &[Role] = &[
    ours::SERVER,
    ours::CLIENTS,
    ours::ENDS.sender,
    ours::ENDS.receiver,
    ours::ENDS_SINGLE.sender,
    ours::ENDS_SINGLE.receiver,
    libzmq::ENDS.sender,
    libzmq::ENDS.receiver,
    zeromq::ENDS.sender,
    zeromq::ENDS.receiver,
    ours::PROXY,
    libzmq::PROXY,
    zeromq::PROXY,
];
