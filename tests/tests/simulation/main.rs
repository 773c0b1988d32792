//! Thousands of seeded runs of the state machines under faults; and, with the cargo feature `mutations`, the proof that they see what they are there to see.
//!
//! `cluster_tests::simulator::seeds` says how `SEED` chooses one run, or a range.

mod groups;
#[cfg(feature = "mutations")]
mod mutations;
mod partitions;
mod transactions;
