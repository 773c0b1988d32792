//! What blocks on the disk, as values: begun by the log under its owner's lock, run off it on a storage thread, completed under it again.
//!
//! Owns every write and sync of an open log but the append's own `pwrite`: this folder is where a file is synced, cut, renamed or removed while the log is in use.
//! Never looks at the log: a job carries what it needs. Checkpoint, truncation and removal of one log run one at a time ([`turn`]); a flush runs beside them.

pub(crate) mod checkpoint;
pub(crate) mod flush;
pub(crate) mod removal;
pub(crate) mod truncation;
pub(crate) mod turn;
