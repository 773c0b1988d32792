//! What a log knows of its idempotent producers.

pub(crate) mod replay;
pub(crate) mod snapshot;
pub(crate) mod state;
