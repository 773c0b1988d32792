//! Consensus: the only place that knows openraft, terms, votes and log ids.
//!
//! [`RaftNode`] is the facade: it proposes encoded commands, answers who leads, changes the voters and hands leadership over. Below it lie
//! the log and the vote on disk (`log_store`, `storage_thread`, `raft_log`, `small_file`), the state machine that applies commands and
//! publishes the image (`state_machine`, with `materialized` behind it), and gRPC both ways (`network`, `service`).

mod codec;
mod config;
mod log_store;
mod materialized;
mod membership;
mod network;
mod node;
mod raft_log;
mod service;
mod small_file;
mod snapshot;
mod state_machine;
mod storage_thread;
mod types;

pub(crate) use node::{Proposed, RaftNode, RaftOptions, RaftStatus, StatusWatch, TransferOutcome};
pub(crate) use service::Service;

/// Openraft with our types.
type Raft = openraft::Raft<types::Types, state_machine::StateMachine>;

/// Largest command that is proposed.
pub(crate) const MAX_COMMAND_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests;
