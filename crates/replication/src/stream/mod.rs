//! The replication streams: one per pair of brokers, opened by the follower, for all partitions that the other one leads (design section 3b).
//!
//! What a follower sends is its position and its acknowledgement at once; what a leader sends is batches, or news of its offsets. Neither end holds a rule: the
//! rules are the machine's, and the driver hands its values over here.

pub(crate) mod follower_end;
pub(crate) mod leader_end;
mod proto;
mod wire;
