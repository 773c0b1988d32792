//! Log compaction: of each key the last record stays, the others go (Kafka's `LogCleaner`, KIP-534).
//!
//! Owns what a clean keeps, how cleaned segments are written, and how they take the place of the old ones. A clean reads the closed segments below a bound that its
//! log gives (committed, flushed, checkpointed, old enough), twice: the part that was never cleaned, to learn where each key's last record is ([`offset_map`]); then
//! all of it, to write what stays ([`filter`], [`retention`]) group by group of segments ([`group`]), each of which is swapped in before the next is written ([`swap`]).
//!
//! Invariants:
//! * Offsets never change, and **a cleaned log has no holes**: where batches went, an empty one stands for their offsets (docs/adr/0014). So whatever reads a log
//!   can still tell a lost batch from one that was cleaned away.
//! * The record with a key's greatest offset stays, tombstones past their horizon apart; so does the last batch of each producer, and whatever lies above the bound.
//! * What a transaction that was aborted has left in a cleaned segment is gone, so a cleaned segment's transaction index is empty. A marker goes after all records of its
//!   transaction, in a later clean, so that no replay takes the next transaction's fate for theirs.
//! * At any moment a crash leaves, of each group, the old segments or the new one. Groups are swapped from the oldest on, so that no tombstone goes before what it
//!   has deleted.

pub(crate) mod clean;
mod filter;
pub(crate) mod group;
mod offset_map;
mod retention;
mod run;
pub(crate) mod swap;
mod transactions;
mod walk;

pub use clean::{Clean, CleanDone, CleanError, CleanStats, Pace};
pub(crate) use retention::LastBatch;
pub use run::CleanedLog;
pub use swap::{Replacement, Swap};
