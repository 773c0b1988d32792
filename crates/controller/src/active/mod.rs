//! What the active controller does, and no other node: it keeps the roster of the brokers it has heard in its own term, fences and unfences
//! them, elects, completes commands with what it alone knows, and keeps Raft's membership.

pub(crate) mod driver;
mod election_report;
pub(crate) mod evidence;
pub(crate) mod liveness;
pub(crate) mod membership_keeper;
pub(crate) mod proposer;
pub(crate) mod roster;
pub(crate) mod service;
