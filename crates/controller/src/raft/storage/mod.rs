//! Raft's files: the log and the vote.
//!
//! From the top: `log_store` is what openraft sees, `storage_thread` the one thread that touches the files, `raft_log` the entries in a segment log of
//! ours, `small_file` the vote and its like.

pub(super) mod log_store;
pub(super) mod raft_log;
pub(super) mod small_file;
pub(super) mod storage_thread;
