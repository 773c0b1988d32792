//! Consensus: the only place that knows openraft, terms, votes and log ids.
//!
//! [`RaftNode`] is the facade: it proposes encoded commands, answers who leads, changes the voters and hands leadership over. Below it lie
//! the log and the vote on disk (`storage`), the state machine that applies commands and publishes the image (`state_machine`), and gRPC both
//! ways (`rpc`).

mod codec;
mod config;
mod membership;
mod node;
mod rpc;
mod state_machine;
mod storage;
mod types;

pub(crate) use node::{Proposed, RaftNode, RaftOptions, RaftStatus, StatusWatch, TransferOutcome};
pub(crate) use rpc::service::Service;

/// Openraft with our types.
type Raft = openraft::Raft<types::Types, state_machine::StateMachine>;

/// Largest command that is proposed.
pub(crate) const MAX_COMMAND_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests;
