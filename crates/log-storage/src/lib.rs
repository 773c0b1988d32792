//! One partition's log on disk, in Kafka's layout and formats; no network, no async runtime.
//!
//! [`Log`] is the log; [`FileSystem`] its only way to a disk; [`Flusher`] the storage threads of a log directory. What blocks is handed out as a value
//! (`begin_…` under the owner's lock, `run` or `execute` off it, `complete_…` under it again).

mod checkpoint_job;
mod checkpoints;
pub mod config;
mod disk_reserve;
mod error;
mod file_names;
pub mod file_system;
mod flush;
mod flusher;
mod index;
mod leader_epoch_cache;
mod log;
mod producer_replay;
mod producer_snapshot;
mod producer_state;
mod read_plan;
mod recent_batches;
mod recovery;
mod removal;
mod scan;
mod segment;
#[cfg(test)]
mod test_batches;
mod timestamp_lookup;
mod truncation;
mod turn;

pub use checkpoint_job::{Checkpoint, CheckpointDone};
pub use checkpoints::{CheckpointEntry, Checkpoints, PartitionCheckpoint};
pub use config::{LogConfig, Recompression};
pub use disk_reserve::{DiskReserve, MAX_RESERVE_BYTES};
pub use error::{
    AppendError, FatalError, FatalHandler, FollowerAppendError, NotWritable, OpenError, ReadError,
};
#[cfg(any(test, feature = "simulation"))]
pub use file_system::{CrashMode, Fault, FaultOperation, SimulatedDisk};
pub use file_system::{File, FileSystem, OsFileSystem};
pub use flush::{Flush, FlushDone};
pub use flusher::{FlushMark, FlushObserver, Flushable, Flusher, FlusherOptions, QueueFull};
pub use leader_epoch_cache::EpochEntry;
pub use log::{
    AppendOrigin, AppendOutcome, Appended, Corruption, Duplicate, FlushWish, FollowerAppend,
    LeaderAppend, Log, Minimum, OpenOptions, ProducerTracking, ReadRequest, Recovery,
    TimestampAndOffset, TimestampQuery, TruncationGeneration,
};
pub use read_plan::ReadPlan;
pub use removal::{DelayedRemoval, Removal};
pub use timestamp_lookup::TimestampLookup;
pub use truncation::{Truncation, TruncationDone};
pub use turn::Retirement;
