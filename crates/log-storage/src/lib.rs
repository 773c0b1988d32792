//! One partition's log on disk, in Kafka's layout and formats; no network, no async runtime.
//!
//! [`Log`] is the log; [`FileSystem`] its only way to a disk; [`Flusher`] the storage threads of a log directory. What blocks is handed out as a value
//! (`begin_…` under the owner's lock, `run` or `execute` off it, `complete_…` under it again).

mod checkpoint_files;
mod compaction;
pub mod config;
mod error;
mod file_names;
pub mod file_system;
mod flusher;
mod generation;
mod jobs;
mod leader_epoch_cache;
mod log;
#[cfg(not(feature = "mutations"))]
mod mutation;
#[cfg(feature = "mutations")]
pub mod mutation;
mod producers;
mod reads;
mod recovery;
mod segment;
#[cfg(test)]
mod test_batches;

pub use checkpoint_files::{CheckpointEntry, Checkpoints, PartitionCheckpoint};
pub use compaction::{
    Clean, CleanDone, CleanError, CleanStats, CleanedLog, Pace, Replacement, Swap,
};
pub use config::{CleanupPolicy, LogConfig, Recompression};
pub use error::{
    AppendError, FatalError, FatalHandler, FollowerAppendError, NotWritable, OpenError, ReadError,
};
#[cfg(any(test, feature = "simulation"))]
pub use file_system::{CrashMode, Fault, FaultOperation, SimulatedDisk};
pub use file_system::{DiskReserve, File, FileSystem, OsFileSystem};
pub use flusher::{FlushMark, FlushObserver, Flushable, Flusher, FlusherOptions, QueueFull};
pub use generation::TruncationGeneration;
pub use jobs::checkpoint::{Checkpoint, CheckpointDone};
pub use jobs::flush::{Flush, FlushDone};
pub use jobs::removal::{DelayedRemoval, Removal};
pub use jobs::truncation::{Truncation, TruncationDone};
pub use jobs::turn::Retirement;
pub use leader_epoch_cache::EpochEntry;
pub use log::{
    AppendOrigin, AppendOutcome, Appended, CleanRequest, Cleanable, FlushWish, FollowerAppend,
    LeaderAppend, Log, OpenOptions,
};
pub use producers::ProducerTracking;
pub use producers::marker::InvalidMarker;
pub use producers::state::{ActiveProducer, Duplicate};
pub use producers::transactions::AbortedTransaction;
pub use producers::verification::VerificationGuard;
pub use reads::aborted_lookup::AbortedLookup;
pub use reads::continued::continued_at;
pub use reads::read_plan::{Minimum, ReadPlan, ReadRequest};
pub use reads::timestamp_lookup::{TimestampAndOffset, TimestampLookup, TimestampQuery};
pub use recovery::{Corruption, Recovery};
