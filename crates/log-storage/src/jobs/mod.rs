//! What blocks on the disk, as values: begun by the log under its owner's lock, run off it on a storage thread, completed under it again.
//!
//! Owns every sync, cut, rename and removal of an open log's files. An append does three things to files itself, none of which syncs: it writes, it creates the file
//! of a new segment, and it takes back what a full disk let it write. The checkpoint files have their own room, since they are of all logs of a directory.
//! Never looks at the log: a job carries what it needs. Checkpoint, truncation and removal of one log run one at a time ([`turn`]); a flush runs beside them.

pub(crate) mod checkpoint;
pub(crate) mod flush;
pub(crate) mod removal;
pub(crate) mod truncation;
pub(crate) mod turn;
